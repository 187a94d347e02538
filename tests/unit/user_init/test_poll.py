"""The long poll's port takes what anybody sends: bounded, and never an answer to a question that was not understood."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus

import pytest

from tests.eventually import eventually
from user_init import poll
from user_init.poll import Answer
from user_init.progress import Progress, Step


@asynccontextmanager
async def serving(ask: poll.Ask) -> AsyncIterator[int]:
    listening = socket.create_server(("127.0.0.1", 0))
    task = asyncio.create_task(poll.serve(listening, ask))
    try:
        yield listening.getsockname()[1]
    finally:
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task


async def echo(nonce: str) -> Answer:
    return Answer(HTTPStatus.OK, {"nonce": nonce})


async def send(port: int, raw: bytes) -> tuple[int, dict[str, object]]:
    """The status and body of the reply, which ends with the connection; 0 when there is none."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    reply = b""
    async with asyncio.timeout(10):
        writer.write(raw)
        with suppress(ConnectionResetError):
            reply = await reader.read()
        writer.close()
    if not reply:
        return 0, {}
    head, _, body = reply.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


GET = b"GET /prepared?nonce=n HTTP/1.1\r\nHost: x\r\n\r\n"


async def test_a_poll_is_answered_and_the_connection_ends() -> None:
    async with serving(echo) as port:
        assert await send(port, GET) == (200, {"nonce": "n"})
        assert await send(port, GET + GET) == (200, {"nonce": "n"})


@pytest.mark.parametrize(
    ("raw", "status"),
    [
        (GET.replace(b"/prepared", b"/"), 404),
        (GET.replace(b"/prepared", b"/prepared/../prepared"), 404),
        (b"POST /prepared?nonce=n HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", 405),
        (GET.replace(b"?nonce=n", b""), 400),
        (GET.replace(b"?nonce=n", b"?nonce="), 400),
        (GET.replace(b"nonce=n", b"nonce=n&nonce=m"), 400),
        (GET.replace(b"Host: x", b"X: " + b"x" * 20_000), 431),
        (b"POST /prepared?nonce=n HTTP/1.1\r\nHost: x\r\nContent-Length: 9999\r\n\r\n" + b"x" * 9999, 413),
        (b"nonsense\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01", 400),
    ],
)
async def test_what_is_no_poll_gets_an_error(raw: bytes, status: int) -> None:
    async with serving(echo) as port:
        assert (await send(port, raw))[0] == status


async def test_one_that_never_finishes_its_request_is_hung_up_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll, "REQUEST_SECONDS", 0.05)
    async with serving(echo) as port:
        assert await send(port, b"GET /prepared?nonce=n HTTP/1.1\r\n") == (0, {})
        assert (await send(port, GET))[0] == 200


async def test_too_many_at_once_are_turned_away_and_the_rest_is_served(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(poll, "MAX_CONNECTIONS", 3)
    go, waiting = asyncio.Event(), []

    async def wait(nonce: str) -> Answer:
        waiting.append(nonce)
        await go.wait()
        return await echo(nonce)

    async with serving(wait) as port:
        polls = [asyncio.create_task(send(port, GET)) for _ in range(3)]
        await eventually(lambda: len(waiting) == 3)
        assert await send(port, GET) == (0, {})
        go.set()
        assert [status for status, _ in await asyncio.gather(*polls)] == [200, 200, 200]
        assert (await send(port, GET))[0] == 200


async def test_stopping_ends_the_polls_that_wait() -> None:
    async def never(nonce: str) -> Answer:
        await asyncio.get_running_loop().create_future()
        raise AssertionError

    async with serving(never) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(GET)
        await asyncio.sleep(0.02)
    assert await reader.read() == b""
    writer.close()


async def test_a_nonce_is_compared_whole_and_may_be_any_text() -> None:
    progress = Progress(poll_seconds=0.01)
    progress.allocated("nonce")
    for other in ("nonc", "nonce2", "NONCE", "", "nönce", "\udcff"):
        assert (await progress.answer(other)).status == HTTPStatus.CONFLICT
    assert (await progress.answer("nonce")).status == HTTPStatus.GATEWAY_TIMEOUT
    progress.prepared((Step("folders", 0.5),))
    answer = await progress.answer("nonce")
    assert (answer.status, answer.body["steps"]) == (HTTPStatus.OK, [{"name": "folders", "seconds": 0.5}])
