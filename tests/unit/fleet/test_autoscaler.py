"""Autoscaling: a proper answer sets the replicas, everything else leaves the Fleet alone."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.base import GameServer
from fleet.local.autoscaler import LEAST_SECONDS, SYNC_SECONDS, Autoscaler, Webhook, answer, review
from fleet.local.controller import Controller, FleetStatus
from fleet.local.machine import Gpus
from fleet.local.store import Store, Versions
from fleet.local.template import FleetSpec
from runtime.names import GameServerState
from tests.fake_clock import FakeClock

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(["response", "uid", "scale", "replicas"]), inner),
    max_leaves=10,
)
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]
STATUS = FleetStatus(replicas=4, ready=1, reserved=0, allocated=2)


@settings(deadline=None)
@given(JSON)
def test_garbage_is_never_a_number_of_replicas(body: object) -> None:
    with pytest.raises(ValueError, match="no response to this review"):
        answer(body, "the uid that was asked with", STATUS)


@pytest.mark.parametrize("replicas", [-1, 1001, True, 2.0, "3", None])
def test_replicas_that_make_no_sense_are_refused(replicas: object) -> None:
    with pytest.raises(ValueError, match="makes no sense"):
        answer({"response": {"uid": "u", "scale": True, "replicas": replicas}}, "u", STATUS)


def test_an_answer_names_the_replicas_or_says_that_those_there_are_right() -> None:
    assert answer({"response": {"uid": "u", "scale": True, "replicas": 0}}, "u", STATUS) == 0
    assert answer({"response": {"uid": "u", "scale": False, "replicas": 9}}, "u", STATUS) == STATUS.replicas


def test_a_review_has_agones_shape() -> None:
    assert review("u", "easel", STATUS) == {
        "request": {
            "uid": "u",
            "name": "easel",
            "namespace": "default",
            "status": {"replicas": 4, "readyReplicas": 1, "reservedReplicas": 0, "allocatedReplicas": 2},
        },
        "response": None,
    }


class Rig:
    """An autoscaler that asks a real server; the Fleet's controller does not run, so replicas are only wanted."""

    def __init__(self, folder: Path, port: int) -> None:
        self.clock = FakeClock()
        self.store: Store[GameServer] = Store(Versions(), self.clock)
        specs = [FleetSpec("easel", (), replicas=2)]
        self.controller = Controller(self.store, specs, self.clock, run=folder, gpus=Gpus([]), environment={})
        self.token = folder / "operator.token"
        self.token.write_text("secret\n")
        webhook = Webhook(f"http://127.0.0.1:{port}/autoscale", self.token)
        self.autoscaler = Autoscaler(webhook, ["easel"], self.controller, self.clock)

    async def until_asked(self, times: int = 1) -> None:
        """So many reviews have had their effect."""
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            task = group.create_task(self.autoscaler.run())
            for number in range(times):
                while not self.clock.sleepers:
                    await asyncio.sleep(0.001)
                if number + 1 < times:
                    await self.clock.advance(SYNC_SECONDS)
            task.cancel()


@asynccontextmanager
async def rig(folder: Path, handler: Answer) -> AsyncIterator[Rig]:
    app = web.Application()
    app.router.add_post("/autoscale/easel", handler)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield Rig(folder, runner.addresses[0][1])
    finally:
        await runner.cleanup()


async def test_the_answer_sets_the_replicas_and_the_token_is_shown(tmp_path: Path) -> None:
    asked: list[object] = []

    async def handler(request: web.Request) -> web.Response:
        body = await request.json()
        asked.append((request.headers["Authorization"], body["request"]["status"]))
        return web.json_response({"response": {"uid": body["request"]["uid"], "scale": True, "replicas": 5}})

    async with rig(tmp_path, handler) as r:
        r.store.create(GameServer("a", "", "", "easel", GameServerState.ALLOCATED, 0.0))
        r.store.create(GameServer("b", "", "", "easel", GameServerState.READY, 0.0))
        r.store.create(GameServer("c", "", "", "easel", GameServerState.READY, 0.0, deleting=True))
        r.store.create(GameServer("d", "", "", "other", GameServerState.READY, 0.0))
        await r.until_asked(2)
        assert r.controller.replicas("easel") == 5
        assert r.autoscaler.problems == {}
    counts = {"replicas": 2, "readyReplicas": 1, "reservedReplicas": 0, "allocatedReplicas": 1}
    assert asked == [("Bearer secret", counts)] * 2


async def unavailable(request: web.Request) -> web.Response:
    return web.json_response({"response": {"scale": True, "replicas": 0}}, status=503)


async def someone_elses_answer(request: web.Request) -> web.Response:
    return web.json_response({"response": {"uid": "another", "scale": True, "replicas": 0}})


async def no_json(request: web.Request) -> web.Response:
    return web.Response(text="<html>")


@pytest.mark.parametrize("handler", [unavailable, someone_elses_answer, no_json])
async def test_anything_but_an_answer_leaves_the_fleet_alone_and_is_told(tmp_path: Path, handler: Answer) -> None:
    async with rig(tmp_path, handler) as r:
        await r.until_asked()
        assert r.controller.replicas("easel") == 2
        assert r.autoscaler.problems["easel"]


async def test_without_an_allocator_or_its_token_the_fleet_stays_and_recovers(tmp_path: Path) -> None:
    async def handler(request: web.Request) -> web.Response:
        uid = (await request.json())["request"]["uid"]
        return web.json_response({"response": {"uid": uid, "scale": True, "replicas": 1}})

    nobody = Rig(tmp_path, 1)
    await nobody.until_asked()
    assert nobody.controller.replicas("easel") == 2
    async with rig(tmp_path, handler) as r:
        r.token.unlink()
        await r.until_asked()
        assert (r.controller.replicas("easel"), list(r.autoscaler.problems)) == (2, ["easel"])
        r.token.write_text("secret")
        await r.clock.advance(SYNC_SECONDS)
        await r.until_asked()
        assert (r.controller.replicas("easel"), r.autoscaler.problems) == (1, {})


async def test_who_found_nothing_does_not_wait_for_the_next_second(tmp_path: Path) -> None:
    reviews = 0

    async def handler(request: web.Request) -> web.Response:
        nonlocal reviews
        reviews += 1
        uid = (await request.json())["request"]["uid"]
        return web.json_response({"response": {"uid": uid, "scale": True, "replicas": 1}})

    async with rig(tmp_path, handler) as r, asyncio.TaskGroup() as group:
        task = group.create_task(r.autoscaler.run())
        async with asyncio.timeout(10):
            while not r.clock.sleepers:
                await asyncio.sleep(0.001)
            for _ in range(5):
                r.autoscaler.ask_now("easel")
            await r.clock.advance(LEAST_SECONDS)
            while reviews < 2:
                await asyncio.sleep(0.001)
        assert reviews == 2
        task.cancel()
