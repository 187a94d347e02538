"""WebUIs that are down, die, or send what is no valid HTTP; and the connections to them."""

import asyncio
import json

import pytest

from tests.eventually import eventually
from tests.unit.gateway.rig import ALICE, Rig, Wire, answering, request

NAVIGATION = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", "Sec-Fetch-Site: same-origin")


async def unanswering(wire: Wire) -> None:
    """Takes a request and closes."""
    await wire.request()


async def test_a_webui_that_is_down_gives_json_and_says_when_to_come_back(rig: Rig) -> None:
    await rig.alice.stop()
    wire = await rig.connect()
    for _ in range(2):
        await wire.send(request("GET /poll"))
        reply = await wire.reply()
        assert (reply.start, reply.get("retry-after")) == ("503", "2")
        assert json.loads(reply.body)["error"]["code"] == "webui_unavailable"


async def test_a_navigation_to_a_webui_that_is_down_gives_the_pages_explanation(rig: Rig) -> None:
    rig.app.handler = answering(b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 5\r\nContent-Length: 4\r\n\r\ndown")
    await rig.alice.stop()
    reply = await rig.ask(request("GET /?a=b", *NAVIGATION))
    assert (reply.start, reply.body, reply.get("retry-after")) == ("503", b"down", "5")


async def test_the_explanation_is_asked_for_as_the_user(rig: Rig) -> None:
    rig.alice.handler = unanswering
    await rig.ask(request("GET /?a=b", *NAVIGATION))
    (asked,) = rig.app.seen
    assert (asked.start, asked.get("x-atelier-user")) == ("GET /_atelier/unavailable", ALICE.encode().decode())


async def test_pages_that_are_down_are_told(rig: Rig) -> None:
    await rig.app.stop()
    reply = await rig.ask(request("GET /_atelier/healthz"))
    assert (reply.start, json.loads(reply.body)["error"]["code"]) == ("503", "unavailable")


async def test_a_webui_that_dies_before_it_answers(rig: Rig) -> None:
    rig.alice.handler = unanswering
    reply = await rig.ask(request("POST /x", "Content-Length: 2", body=b"{}"))
    assert reply.start == "503"
    assert rig.alice.connections == 1


@pytest.mark.parametrize(
    "begun",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n",
    ],
)
@pytest.mark.parametrize("version", [b"1.1", b"1.0"])
async def test_a_reply_that_is_cut_is_not_passed_off_as_whole(rig: Rig, begun: bytes, version: bytes) -> None:
    die = asyncio.Event()

    async def dying(wire: Wire) -> None:
        await wire.request()
        await wire.send(begun)
        await die.wait()

    rig.alice.handler = dying
    wire = await rig.connect()
    await wire.send(b"GET / HTTP/" + version + b"\r\nHost: alice.localhost\r\n\r\n")
    await wire.until(b"half")
    die.set()
    with pytest.raises(ConnectionResetError):
        await wire.until(b"0\r\n\r\n")
    assert rig.gateway.counters.requests["webui", "aborted"] == 1


BAD_REPLIES = {
    "CL.TE": b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "bytes after the body": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\n",
    "bytes after 204": b"HTTP/1.1 204 No Content\r\n\r\nbody",
    "bytes after the last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nHTTP/1.1 ",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "bad chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    "unsolicited 101": b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n",
    "unsolicited 100": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n",
    "no HTTP": b"\x15\x03\x03\x00\x02\x02\x28",
    "a head without end": b"HTTP/1.1 200 OK\r\nX: " + b"x" * 70_000,
}


@pytest.mark.parametrize("name", BAD_REPLIES)
async def test_a_reply_that_is_no_valid_http_is_not_passed_on(rig: Rig, name: str) -> None:
    rig.alice.handler = answering(BAD_REPLIES[name])
    wire = await rig.connect()
    await wire.send(request())
    reply = await wire.reply()
    assert (reply.start, reply.get("connection"), json.loads(reply.body)["error"]["code"]) == ("502", "close", "bad_reply")
    assert await wire.ended()
    assert rig.gateway.counters.malformed_replies == 1


async def test_a_body_to_a_head_request_is_not_taken_for_the_next_reply(rig: Rig) -> None:
    rig.alice.handler = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    assert (await rig.ask(request("HEAD /"), "HEAD")).start == "502"


async def test_a_reply_that_nobody_asked_for_ends_the_idle_connection(rig: Rig) -> None:
    cut = asyncio.Event()

    async def talkative(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await answered.wait()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison")
        await wire.ended()
        cut.set()

    rig.alice.handler, answered = talkative, asyncio.Event()
    wire = await rig.connect()
    await wire.send(request())
    assert (await wire.reply()).body == b"ok"
    rig.alice.handler = rig.alice.echo
    answered.set()
    async with asyncio.timeout(10):
        await cut.wait()
    await wire.send(request("GET /2"))
    assert (await wire.reply()).body == b"GET /2 0"


async def close_when_idle(wire: Wire) -> None:
    """Answers once, and closes when the second request comes."""
    await wire.request()
    await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    await wire.request()


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "DELETE"])
async def test_an_idempotent_request_that_died_on_a_reused_connection_is_sent_once_more(rig: Rig, method: str) -> None:
    rig.alice.handler = close_when_idle
    wire = await rig.connect()
    await wire.send(request())
    await wire.reply()
    rig.alice.handler = rig.alice.echo
    await wire.send(request(f"{method} /again"))
    assert (await wire.reply(method)).start == "200"
    assert (rig.alice.connections, rig.gateway.counters.retries) == (2, 1)


@pytest.mark.parametrize(
    "again", [request("POST /again", "Content-Length: 0"), request("PUT /again", "Content-Length: 2", body=b"{}")]
)
async def test_a_request_that_may_have_had_an_effect_is_never_sent_twice(rig: Rig, again: bytes) -> None:
    rig.alice.handler = close_when_idle
    wire = await rig.connect()
    await wire.send(request())
    await wire.reply()
    rig.alice.handler = rig.alice.echo
    await wire.send(again)
    assert (await wire.reply()).start == "503"
    assert (rig.alice.connections, rig.gateway.counters.retries) == (1, 0)


async def test_a_request_that_was_answered_in_part_is_never_sent_twice(rig: Rig) -> None:
    async def stammering(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await wire.request()
        await wire.send(b"HTTP")

    rig.alice.handler = stammering
    wire = await rig.connect()
    await wire.send(request())
    await wire.reply()
    await wire.send(request("GET /again"))
    assert (await wire.reply()).start == "503"
    assert rig.alice.connections == 1


async def test_a_fresh_connection_that_dies_is_not_tried_again(rig: Rig) -> None:
    rig.alice.handler = unanswering
    assert (await rig.ask(request("GET /"))).start == "503"
    assert (rig.alice.connections, rig.gateway.counters.retries) == (1, 0)


async def test_a_connection_that_was_idle_for_four_seconds_is_closed_and_not_used_again(rig: Rig) -> None:
    wire = await rig.connect()
    await wire.send(request())
    await wire.reply()
    await rig.clock.advance(3.5)
    await wire.send(request())
    await wire.reply()
    assert rig.alice.connections == 1
    await rig.clock.advance(4.5)
    await wire.send(request())
    await wire.reply()
    assert rig.alice.connections == 2


async def test_an_upstream_that_closes_after_its_reply_is_not_used_again(rig: Rig) -> None:
    rig.alice.handler = answering(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok")
    wire = await rig.connect()
    for _ in range(2):
        await wire.send(request())
        assert (await wire.reply()).get("connection") is None
    assert rig.alice.connections == 2


async def test_the_idle_connections_of_a_session_end_with_it(rig: Rig) -> None:
    ended = asyncio.Event()

    async def once(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        await wire.ended()
        ended.set()

    rig.alice.handler = once
    wire = await rig.connect()
    await wire.send(request())
    await wire.reply()
    rig.routes.end(ALICE, "released")
    async with asyncio.timeout(10):
        await ended.wait()
    await wire.send(request())
    assert (await wire.reply()).start == "409"
    await eventually(lambda: rig.gateway.open_connections == 1)
