"""`runtime.http.call` against servers that speak raw bytes: every bad reply is an `HttpError`, within its deadline."""

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import psutil
import pytest

from runtime.http import MAX_BODY, HttpError, Reply, call

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@asynccontextmanager
async def serving(handler: Handler) -> AsyncIterator[int]:
    """A port on which `handler` answers; when it returns, its connection is closed. Leaving waits for the handlers."""
    running: set[asyncio.Task[object]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        running.add(task)
        try:
            await handler(reader, writer)
        except ConnectionError:
            pass  # the caller has heard enough
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]
    if running:
        done, pending = await asyncio.wait(running, timeout=5)
        assert not pending, "the connection was not closed"
        for task in done:
            task.result()


async def reply_to(raw: bytes, max_body: int = MAX_BODY) -> Reply:
    """What `call` makes of a server that answers `raw` and closes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(raw)
        await writer.drain()

    async with serving(handler) as port:
        return await call("127.0.0.1", port, "GET", "/x", timeout=5, max_body=max_body)


async def test_a_reply_with_a_length_is_read() -> None:
    reply = await reply_to(b'HTTP/1.1 200 OK\r\nContent-Length: 11\r\nX-A: b\r\n\r\n{"job": ""}')
    assert (reply.status, reply.json(), reply.headers["x-a"]) == (200, {"job": ""}, "b")


async def test_a_chunked_reply_is_put_together() -> None:
    reply = await reply_to(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\n[1,\r\n2\r\n2]\r\n0\r\n\r\n")
    assert reply.json() == [1, 2]


async def test_a_reply_that_ends_with_its_connection_is_read() -> None:
    assert (await reply_to(b"HTTP/1.0 200 OK\r\n\r\nnull")).json() is None


async def test_an_interim_reply_is_not_the_reply() -> None:
    reply = await reply_to(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 204 No Content\r\n\r\n")
    assert (reply.status, reply.body) == (204, b"")


async def test_an_error_status_is_a_reply() -> None:
    assert (await reply_to(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")).status == 503


async def test_the_request_says_what_it_should() -> None:
    heard = asyncio.get_running_loop().create_future()

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        heard.set_result((head.decode(), await reader.readexactly(17)))
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nnull")

    async with serving(handler) as port:
        headers = {"Authorization": "Bearer t"}
        await call("127.0.0.1", port, "POST", "/a?b=c", payload={"steps": [1, 2]}, headers=headers, timeout=5)
    head, body = await heard
    lines = head.lower().split("\r\n")
    assert lines[0] == "post /a?b=c http/1.1"
    assert {f"host: 127.0.0.1:{port}", "content-length: 17", "connection: close", "authorization: bearer t"} <= set(lines)
    assert body == b'{"steps": [1, 2]}'


@pytest.mark.parametrize(
    ("raw", "says"),
    [
        (b"", "malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-", "malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n12345", "malformed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n123", "malformed"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", "malformed"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n", "malformed"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "malformed"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"a" * 200_000, "malformed"),
    ],
    ids=["silent", "head", "body", "chunk", "chunk size", "two lengths", "switch", "no HTTP", "endless head"],
)
async def test_a_reply_that_is_cut_off_or_malformed_is_no_reply(raw: bytes, says: str) -> None:
    with pytest.raises(HttpError, match=says):
        await reply_to(raw)


async def test_a_reply_larger_than_allowed_is_refused_before_it_is_all_read() -> None:
    sent = 0

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            await writer.drain()
            sent += 65536

    async with serving(handler) as port:
        with pytest.raises(HttpError, match="larger than 100000 bytes"):
            await call("127.0.0.1", port, "GET", "/x", timeout=5, max_body=100_000)
    assert sent < 50_000_000


async def test_a_body_of_exactly_the_limit_is_read() -> None:
    assert (await reply_to(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n1234", max_body=4)).body == b"1234"


@pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234"], ids=["at once", "in its body"])
async def test_a_server_that_stops_answering_costs_no_more_than_the_deadline(head: bytes) -> None:
    hung = asyncio.Event()

    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        await hung.wait()

    began = time.monotonic()
    async with serving(handler) as port:
        with pytest.raises(HttpError, match=r"no reply within 0\.2 s"):
            await call("127.0.0.1", port, "GET", "/x", timeout=0.2)
        hung.set()
    assert time.monotonic() - began < 2


async def test_a_server_that_drips_costs_no_more_than_the_deadline() -> None:
    async def handler(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.01)

    async with serving(handler) as port:
        with pytest.raises(HttpError, match="no reply within"):
            await call("127.0.0.1", port, "GET", "/x", timeout=0.2)


async def test_a_request_that_is_not_read_costs_its_deadline_and_keeps_no_connection() -> None:
    hung = asyncio.Event()

    async def handler(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
        await hung.wait()

    async with serving(handler) as port:
        with pytest.raises(HttpError, match="no reply within"):
            await call("127.0.0.1", port, "POST", "/x", payload="x" * 30_000_000, timeout=0.5)
        await asyncio.sleep(0)  # a transport closes its socket in the loop's next turn
        ours = [entry for entry in psutil.Process().net_connections("tcp") if getattr(entry.raddr, "port", 0) == port]
        assert not [entry for entry in ours if entry.status == psutil.CONN_ESTABLISHED]
        hung.set()


async def test_a_closed_port_is_named() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))  # bound, not listening: nobody else takes it meanwhile
        port = listener.getsockname()[1]
        with pytest.raises(HttpError, match=f"GET /x on port {port}: .*"):
            await call("127.0.0.1", port, "GET", "/x", timeout=5)


async def test_a_connection_that_is_reset_is_no_reply() -> None:
    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n1234")
        await writer.drain()
        writer.transport.abort()

    async with serving(handler) as port:
        with pytest.raises(HttpError):
            await call("127.0.0.1", port, "GET", "/x", timeout=5)


async def test_a_cancelled_call_ends_and_closes_its_connection() -> None:
    arrived, gone = asyncio.Event(), asyncio.Event()

    async def handler(reader: asyncio.StreamReader, _: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        arrived.set()
        assert await reader.read() == b""
        gone.set()

    async with serving(handler) as port, asyncio.timeout(5):
        task = asyncio.ensure_future(call("127.0.0.1", port, "GET", "/x", timeout=60))
        await arrived.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await gone.wait()


@pytest.mark.parametrize("body", [b"", b"{", b"\xff", b"[" * 100_000], ids=["empty", "cut off", "no text", "too deep"])
def test_a_body_that_is_not_json_is_an_error_of_the_reply(body: bytes) -> None:
    with pytest.raises(HttpError, match="not JSON"):
        Reply(200, body).json()
