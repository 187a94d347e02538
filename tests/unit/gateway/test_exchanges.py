"""Requests and replies through a real gateway, over real sockets."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.eventually import eventually
from tests.unit.gateway.rig import Rig, Wire, answering, request

FAST = settings(deadline=None, max_examples=25)


async def test_two_requests_in_one_segment_are_answered_in_order_each_by_its_own_users_webui(rig: Rig) -> None:
    slow = asyncio.Event()

    async def late(wire: Wire) -> None:
        await wire.request()
        await slow.wait()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nalice")

    rig.alice.handler = late
    rig.bob.handler = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nbob")
    wire = await rig.connect()
    await wire.send(
        request("GET /1") + request("GET /2", host="bob.localhost") + request("GET /_atelier/healthz", host="localhost")
    )
    await eventually(lambda: rig.alice.connections == 1)
    slow.set()
    assert [(await wire.reply()).body for _ in range(3)] == [b"alice", b"bob", b"GET /_atelier/healthz 0"]


async def test_pipelined_requests_with_bodies_do_not_run_into_each_other(rig: Rig) -> None:
    wire = await rig.connect()
    await wire.send(
        request("POST /1", "Content-Length: 5", body=b"hello")
        + request("POST /2", "Transfer-Encoding: chunked", body=b"3\r\nabc\r\n0\r\nX: dropped\r\n\r\n")
        + request("GET /3")
        + request("PUT /4", "Content-Length: 2", body=b"hi")
    )
    replies = [(await wire.reply()).body.decode() for _ in range(4)]
    assert replies == ["POST /1 5", "POST /2 3", "GET /3 0", "PUT /4 2"]
    assert [message.body for message in rig.alice.seen] == [b"hello", b"abc", b"", b"hi"]


async def test_a_thousand_pipelined_requests_are_answered_in_order(rig: Rig) -> None:
    wire = await rig.connect()
    await wire.send(b"".join(request(f"GET /{number}") for number in range(1000)))
    assert [(await wire.reply()).body.decode() for _ in range(1000)] == [f"GET /{number} 0" for number in range(1000)]


async def test_a_request_may_arrive_byte_by_byte(rig: Rig) -> None:
    wire = await rig.connect()
    for byte in request("POST /x", "Transfer-Encoding: chunked", body=b"5;ext\r\nhello\r\n0\r\n\r\n"):
        await wire.send(bytes((byte,)))
        await asyncio.sleep(0)
    assert (await wire.reply()).body == b"POST /x 5"
    assert rig.alice.seen[0].body == b"hello"


async def test_a_reply_may_arrive_byte_by_byte(rig: Rig) -> None:
    async def dripping(wire: Wire) -> None:
        await wire.request()
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;x\r\nhello\r\n1\r\n!\r\n0\r\nA: b\r\n\r\n":
            await wire.send(bytes((byte,)))
            await asyncio.sleep(0)

    rig.alice.handler = dripping
    reply = await rig.ask(request())
    assert (reply.start, reply.body, reply.get("transfer-encoding")) == ("200", b"hello!", "chunked")


STREAM = (
    request("POST /1", "Content-Length: 10", body=b"0123456789")
    + request("GET /2", host="bob.localhost")
    + request("PUT /3", "Transfer-Encoding: chunked", body=b"a\r\n0123456789\r\n2;x=y\r\nab\r\n0\r\nT: t\r\n\r\n")
    + request("POST /4", "Content-Length: 1", "Transfer-Encoding: chunked", body=b"0\r\n\r\n")
)
ANSWERS = [("200", b"POST /1 10"), ("200", b"GET /2 0"), ("200", b"PUT /3 12")]


async def test_any_split_of_the_stream_is_the_same_exchange(rig: Rig) -> None:
    @FAST
    @given(st.lists(st.integers(1, len(STREAM) - 1), max_size=12, unique=True).map(sorted))
    async def exchanged(cuts: list[int]) -> None:
        wire = await rig.connect()
        for start, end in zip([0, *cuts], [*cuts, len(STREAM)], strict=True):
            await wire.send(STREAM[start:end])
            await asyncio.sleep(0.0005)
        replies = [await wire.reply() for _ in range(4)]
        assert [(reply.start, reply.body) for reply in replies[:3]] == ANSWERS
        assert replies[3].start == "400"
        assert await wire.ended()
        await wire.close()

    await run_property(exchanged)


async def run_property(test: object) -> None:
    """A hypothesis test of a coroutine, on the loop that runs already: its examples are awaited one by one."""
    inner = test.hypothesis.inner_test  # type: ignore[attr-defined] # hypothesis' documented hook for plugins
    loop = asyncio.get_running_loop()

    def blocking(*arguments: object, **named: object) -> None:
        asyncio.run_coroutine_threadsafe(inner(*arguments, **named), loop).result(20)

    test.hypothesis.inner_test = blocking  # type: ignore[attr-defined] # the same
    await asyncio.to_thread(test)  # type: ignore[arg-type] # it takes no argument: hypothesis gives them all


async def test_a_connection_serves_many_requests_and_reuses_the_upstreams_connection(rig: Rig) -> None:
    wire = await rig.connect()
    for number in range(5):
        await wire.send(request(f"GET /{number}"))
        assert (await wire.reply()).get("connection") is None
    assert rig.alice.connections == 1
    await rig.clock.advance(600)
    await wire.send(request("GET /later"))
    assert (await wire.reply()).body == b"GET /later 0"


async def test_connection_close_is_honoured(rig: Rig) -> None:
    wire = await rig.connect()
    await wire.send(request("GET /", "Connection: close"))
    assert (await wire.reply()).get("connection") == "close"
    assert await wire.ended()
    assert rig.alice.seen[0].get("connection") is None


async def test_an_http_1_0_client_gets_a_reply_without_chunks_that_ends_with_the_connection(rig: Rig) -> None:
    rig.alice.handler = answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n")
    wire = await rig.connect()
    await wire.send(b"GET / HTTP/1.0\r\nHost: alice.localhost\r\n\r\n")
    reply = await wire.reply()
    assert (reply.body, reply.get("transfer-encoding"), reply.get("connection")) == (b"hello", None, "close")


async def test_a_reply_until_the_close_becomes_chunked_and_the_client_stays(rig: Rig) -> None:
    async def closing(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.0 200 OK\r\n\r\nhello")

    rig.alice.handler = closing
    wire = await rig.connect()
    for _ in range(2):
        await wire.send(request())
        reply = await wire.reply()
        assert (reply.body, reply.get("transfer-encoding")) == (b"hello", "chunked")


@pytest.mark.parametrize(
    ("method", "head", "length"),
    [
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 12345\r\n\r\n", "12345"),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 12345\r\nETag: x\r\n\r\n", "12345"),
    ],
)
async def test_replies_that_have_no_body(rig: Rig, method: str, head: bytes, length: str | None) -> None:
    rig.alice.handler = answering(head)
    wire = await rig.connect()
    for _ in range(2):
        await wire.send(request(f"{method} /"))
        reply = await wire.reply(method)
        assert (reply.body, reply.get("content-length"), reply.get("transfer-encoding")) == (b"", length, None)
    assert rig.alice.connections == 1


async def test_the_upstream_is_asked_before_a_body_that_awaits_its_consent(rig: Rig) -> None:
    async def consenting(wire: Wire) -> None:
        assert b"expect: 100-continue" in await wire.until(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 100 Continue\r\nX-Dropped: 1\r\n\r\n")
        assert await wire.until(b"hello") == b"hello"
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    rig.alice.handler = consenting
    wire = await rig.connect()
    await wire.send(request("POST /", "Content-Length: 5", "Expect: 100-continue"))
    assert await wire.until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    await wire.send(b"hello")
    reply = await wire.reply()
    assert (reply.body, reply.get("connection")) == (b"ok", None)


async def test_a_body_that_was_refused_unsent_ends_the_connection(rig: Rig) -> None:
    rig.alice.handler = refusing
    wire = await rig.connect()
    await wire.send(request("POST /", "Content-Length: 5", "Expect: 100-continue"))
    reply = await wire.reply()
    assert (reply.start, reply.get("connection")) == ("413", "close")
    assert await wire.ended()


async def refusing(wire: Wire) -> None:
    """Answers when it has read the head, and reads no body."""
    await wire.until(b"\r\n\r\n")
    await wire.send(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\nno")
    await asyncio.Event().wait()


async def test_an_early_reply_to_an_unfinished_upload_reaches_a_client_that_still_sends(rig: Rig) -> None:
    rig.alice.handler = refusing
    wire = await rig.connect()
    await wire.send(request("POST /", "Content-Length: 100000000", body=b"x" * 100_000))
    reply = await wire.reply()
    assert (reply.start, reply.body, reply.get("connection")) == ("413", b"no", "close")
    await wire.send(b"x" * 1_000_000)
    assert await wire.ended()


async def test_a_reply_that_begins_before_the_upload_ends_lets_it_go_on(rig: Rig) -> None:
    async def duplex(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
        for _ in range(2):
            await wire.send(await wire.until(b"5"))

    rig.alice.handler = duplex
    wire = await rig.connect()
    await wire.send(request("POST /", "Content-Length: 10", body=b"12345"))
    assert (await wire.until(b"12345")).endswith(b"\r\n\r\n12345")
    await wire.send(b"12345")
    assert await wire.until(b"12345") == b"12345"


async def test_a_client_that_closed_its_side_after_the_request_still_gets_the_reply(rig: Rig) -> None:
    wire = await rig.connect()
    wire.writer.write(request("GET /1") + request("GET /2"))
    wire.writer.write_eof()
    assert [(await wire.reply()).body for _ in range(2)] == [b"GET /1 0", b"GET /2 0"]
    assert await wire.ended()


async def test_a_client_that_leaves_in_the_middle_takes_its_upstream_along(rig: Rig) -> None:
    gone = asyncio.Event()

    async def waiting(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        while await wire.read():
            pass
        gone.set()

    rig.alice.handler = waiting
    wire = await rig.connect()
    await wire.send(request("POST /", "Content-Length: 100", body=b"half"))
    await eventually(lambda: rig.alice.connections == 1)
    await wire.close()
    async with asyncio.timeout(10):
        await gone.wait()
    await eventually(lambda: rig.gateway.open_connections == 0)
    assert rig.gateway.counters.requests["webui", "aborted"] == 1
