"""What the sidecar makes of a WebUI's answers, with a server that answers whatever the test says."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from runtime.clock import SystemClock
from sidecar import prober
from sidecar.prober import Prober
from tests.fake_clock import FakeClock
from webuis import registry
from webuis.base import Busy, BusyState, WebUI

IDLE = b'{"progress": 0, "state": {"job": "", "job_count": 0}}'
BUSY = b'{"progress": 0.5, "state": {"job": "Batch 1", "job_count": 2}}'
IMAGE = b'{"images": [], "info": "a lake"}'
PING, PROGRESS, TXT2IMG = "/internal/ping", "/sdapi/v1/progress", "/sdapi/v1/txt2img"


class Answers:
    """The status and the body for each path; None: no answer at all. `asked` has the paths in their order."""

    def __init__(self) -> None:
        self.replies: dict[str, tuple[int, bytes] | None] = {}
        self.asked: list[str] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split()[1].decode().partition("?")[0]
        self.asked.append(path)
        reply = self.replies.get(path, (404, b"{}"))
        if reply is None:
            await reader.read()
        else:
            writer.write(b"HTTP/1.1 %d X\r\nContent-Length: %d\r\n\r\n%s" % (reply[0], len(reply[1]), reply[1]))
        writer.close()


@pytest.fixture
async def answers() -> AsyncIterator[Answers]:
    answers = Answers()
    server = await asyncio.start_server(answers.serve, "127.0.0.1", 0)
    async with server:
        answers.port = server.sockets[0].getsockname()[1]
        yield answers


@pytest.fixture(autouse=True)
def short_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prober, "DEADLINE", 0.2)


def asking(answers: Answers, webui: WebUI | None = None) -> Prober:
    return Prober(webui or registry.get("a1111"), answers.port, SystemClock(), load_deadline=0.2)


async def test_a_webui_that_serves_and_made_an_image_is_loaded(answers: Answers) -> None:
    answers.replies = {PING: (200, b"{}"), TXT2IMG: (200, IMAGE)}
    assert await asking(answers).is_loaded()


@pytest.mark.parametrize(
    "replies",
    [
        {PING: (503, b"{}")},
        {PING: (302, b"")},
        {PING: None},
        {PING: (200, b"{}"), TXT2IMG: (500, IMAGE)},
        {PING: (200, b"{}"), TXT2IMG: (404, b"{}")},
        {PING: (200, b"{}"), TXT2IMG: (200, b"{}")},
        {PING: (200, b"{}"), TXT2IMG: (200, b"<html>")},
        {PING: (200, b"{}"), TXT2IMG: None},
    ],
)
async def test_a_webui_is_not_loaded_when(answers: Answers, replies: dict[str, tuple[int, bytes] | None]) -> None:
    answers.replies = replies
    assert not await asking(answers).is_loaded()


async def test_the_model_is_not_asked_for_before_the_webui_serves(answers: Answers) -> None:
    answers.replies = {PING: (503, b"{}"), TXT2IMG: (200, IMAGE)}
    assert not await asking(answers).is_loaded()
    assert answers.asked == [PING]


async def test_a_webui_without_a_question_for_its_model_has_it_when_it_serves(answers: Answers) -> None:
    answers.replies = {PING: (200, b"")}
    assert await asking(answers, replace(registry.get("a1111"), model_loaded=None)).is_loaded()


@pytest.mark.parametrize(
    ("reply", "busy", "answered"),
    [
        ((200, BUSY), Busy(BusyState.BUSY, "Batch 1"), True),
        ((200, IDLE), Busy(BusyState.IDLE), True),
        ((200, b"{}"), Busy(BusyState.UNKNOWN), True),
        ((200, b"no json"), Busy(BusyState.UNKNOWN), True),
        ((500, IDLE), Busy(BusyState.UNKNOWN), True),
        ((404, IDLE), Busy(BusyState.UNKNOWN), True),
        (None, Busy(BusyState.UNKNOWN), False),
    ],
)
async def test_only_a_good_answer_says_that_it_is_busy_or_idle(
    answers: Answers, reply: tuple[int, bytes] | None, busy: Busy, answered: bool
) -> None:
    answers.replies = {PROGRESS: reply}
    evidence = await asking(answers).busy()
    assert (evidence.busy, evidence.answered) == (busy, answered)


async def test_a_webui_that_is_not_there_is_unknown(answers: Answers) -> None:
    clock = FakeClock()
    nobody = Prober(registry.get("easel"), 1, clock, load_deadline=0.2)
    evidence = await nobody.busy()
    assert (evidence.busy.state, evidence.answered) == (BusyState.UNKNOWN, False)
    assert (evidence.at, evidence.time) == (clock.monotonic(), clock.time())
    assert not await nobody.is_loaded()
