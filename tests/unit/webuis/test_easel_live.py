"""Easel's live channel, its echo and its failures within the process."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from tests.fake_clock import FakeClock
from tests.unit.webuis.easel_client import API, Easel, running, until
from webuis.easel.failures import Start


@pytest.fixture
async def easel(tmp_path: Path) -> AsyncIterator[Easel]:
    async with running(tmp_path) as client:
        yield client


async def test_the_socket_tells_the_state_at_once_and_each_change(tmp_path: Path) -> None:
    clock = FakeClock()
    async with (
        running(tmp_path, clock, step_seconds=1.0) as easel,
        asyncio.timeout(10),
        easel.client.ws_connect("/ws") as socket,
    ):
        assert (await socket.receive_json())["state"]["job"] == ""
        async with asyncio.TaskGroup() as group:
            made = group.create_task(easel.generate(steps=2))
            told: list[int] = []
            while 2 not in told:
                progress = await socket.receive_json()
                step = progress["state"]["sampling_step"]
                assert bool(progress["current_image"]) == (step > 0)
                told.append(step)
                if step:
                    await until(lambda: clock.sleepers == 1)
                    await clock.advance(1.0)
            await made
        assert 1 in told
        assert (await socket.receive_json())["state"]["job"] == ""


async def test_pages_that_come_and_go_disturb_nobody(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock, step_seconds=1.0) as easel, asyncio.TaskGroup() as group:
        made = group.create_task(easel.generate(steps=3))
        await until(lambda: clock.sleepers == 1)
        for _ in range(3):
            async with easel.client.ws_connect("/ws") as socket:
                assert (await socket.receive_json())["state"]["job"] == "txt2img"
            await until(lambda: clock.sleepers == 1)
            await clock.advance(1.0)
        await made


async def test_a_plain_request_for_the_socket_is_refused(easel: Easel) -> None:
    async with easel.client.get("/ws") as reply:
        assert reply.status == 400


async def test_the_echo_tells_every_header_that_arrived(easel: Easel) -> None:
    async with easel.client.get("/easel/echo?a=b", headers={"X-Secret": "s", "Cookie": "c=d"}) as reply:
        told = await reply.json()
    assert told["path"] == "/easel/echo?a=b"
    assert ["X-Secret", "s"] in told["headers"]
    assert ["Cookie", "c=d"] in told["headers"]


async def test_the_service_worker_asks_for_the_whole_origin(easel: Easel) -> None:
    async with easel.client.get("/easel/sw.js") as reply:
        assert reply.content_type in {"text/javascript", "application/javascript"}
        assert reply.headers["Service-Worker-Allowed"] == "/"


@pytest.mark.parametrize("path", ["/", "/easel/easel.css", "/easel/easel.js", "/easel/gallery.js", "/easel/icon.svg"])
async def test_the_page_is_there_and_is_asked_about_before_it_is_used_again(easel: Easel, path: str) -> None:
    async with easel.client.get(path) as reply:
        assert reply.status == 200
        assert reply.headers["Cache-Control"] == "no-cache"
        assert reply.headers["ETag"]


async def test_a_slow_start_is_not_ready_until_it_is_over(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock, start=Start(seconds=30)) as easel:
        for seconds, status in ((0, 503), (29.5, 503), (0.5, 200)):
            await clock.advance(seconds)
            async with easel.client.get("/internal/ping") as reply:
                assert reply.status == status


async def test_never_ready_is_never_ready(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock, start=Start(never=True)) as easel:
        await clock.advance(1e9)
        async with easel.client.get("/internal/ping") as reply:
            assert reply.status == 503


async def test_slow_answers_come_late_until_told_otherwise(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock) as easel, asyncio.TaskGroup() as group:
        await easel.post("/easel/fail", {"how": "slow", "seconds": 60})
        answer = group.create_task(easel.get("/internal/ping"))
        await until(lambda: clock.sleepers == 1)
        await clock.advance(59)
        assert not answer.done()
        await clock.advance(1)
        assert await answer == {}
        await easel.post("/easel/fail", {"how": "none"})
        assert await easel.get("/internal/ping") == {}


async def test_after_stop_answering_connections_are_taken_and_nothing_is_said(easel: Easel) -> None:
    await easel.post("/easel/fail", {"how": "stop-answering"})
    with pytest.raises(TimeoutError):
        await easel.client.get("/internal/ping", timeout=aiohttp.ClientTimeout(total=0.2))
    await easel.post("/easel/fail", {"how": "none"})
    assert await easel.get(f"{API}/progress")


@pytest.mark.parametrize("body", [{}, [], {"how": "explode"}, {"how": None}, {"how": "slow", "seconds": "x"}])
async def test_an_unknown_failure_is_refused(easel: Easel, body: object) -> None:
    assert await easel.refused("/easel/fail", body) == 422
