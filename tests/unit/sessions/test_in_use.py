"""A session in use: idle, busy, unknown, lost, and what a person does in it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from allocator.sessions.api import SessionRefused
from allocator.sessions.context import Timing
from allocator.sessions.model import SessionState
from runtime.names import BUSY_ANNOTATION
from tests.sessions_world import FLEET, Replica, World, user, world

ACTIVE, ENDING = SessionState.ACTIVE, SessionState.ENDING
SLOW = Timing(lease_seconds=30, sync=10)
"""For tests in which minutes pass."""


@asynccontextmanager
async def in_use(busy: str = "idle", **profile: Any) -> AsyncIterator[tuple[World, Replica, str]]:
    """A world, a replica, and the GameServer that artist 1 uses."""
    async with world(SLOW, **profile) as w:
        (server,) = w.cluster.add(FLEET)
        replica = await w.replica()
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is ACTIVE)
        if busy:
            w.cluster.say_busy(server.name, busy)
        yield w, replica, server.name


async def test_an_idle_session_is_warned_then_released_then_forgotten() -> None:
    async with in_use() as (w, replica, server):
        ended: list[tuple[str, str]] = []
        replica.service.on_end(lambda uid, reason: ended.append((uid, reason)))
        uid = w.cluster.servers.get(server).uid
        began = w.clock.monotonic()
        await w.until(lambda: w.state("u1") is ENDING, within=400, step=1)
        assert 240 <= w.clock.monotonic() - began <= 255
        view = replica.service.view("u1")
        assert view.releases_at == pytest.approx(view.now + 60, abs=6)
        assert replica.service.route("u1") is not None
        await w.until(lambda: w.state("u1") is SessionState.ENDED, within=90, step=1)
        assert w.clock.monotonic() - began >= 300
        assert ended == [(uid, "It was idle for 5 minutes.")]
        assert w.cluster.servers.list().items == ()
        assert replica.service.view("u1").reason == "It was idle for 5 minutes."
        await w.until(lambda: w.state("u1") is SessionState.NONE, within=700, step=5)


async def test_activity_in_the_warning_clears_it_at_once() -> None:
    async with in_use() as (w, replica, _):
        await w.until(lambda: w.state("u1") is ENDING, within=400, step=1)
        await replica.service.presence(user(1), "pointer")
        assert w.state("u1") is ACTIVE
        view = replica.service.view("u1")
        assert view.last_activity is not None
        assert (view.last_activity.kind, view.last_activity.source) == ("presence", "pointer")
        await w.clock.advance(200)
        assert w.state("u1") is ACTIVE


async def test_a_job_in_the_warning_clears_it_first() -> None:
    async with in_use() as (w, replica, _):
        await w.until(lambda: w.state("u1") is ENDING, within=400, step=1)
        assert await replica.service.admit("u1")
        assert w.state("u1") is ACTIVE


async def test_a_request_in_the_warning_is_written_through() -> None:
    async with in_use() as (w, replica, _):
        await w.until(lambda: w.state("u1") is ENDING, within=400, step=1)
        replica.service.activity("u1", "generation")
        await w.clock.advance(0)
        assert w.state("u1") is ACTIVE


async def test_more_time_can_be_asked_for() -> None:
    async with in_use() as (w, replica, _):
        await w.until(lambda: w.state("u1") is ENDING, within=400, step=1)
        view = await replica.service.extend(user(1))
        assert view.state is ACTIVE
        assert view.releases_at == pytest.approx(view.now + 300)
        with pytest.raises(SessionRefused, match="no running WebUI"):
            await replica.service.extend(user(2))


async def test_steady_presence_is_written_coarsely_and_keeps_the_session() -> None:
    async with in_use() as (w, replica, _):
        replica.link.calls.clear()
        for _ in range(120):
            await replica.service.presence(user(1), "pointer")
            await w.clock.advance(5)
        assert w.state("u1") is ACTIVE
        renewals = 600 / w.timing.renew * 2
        assert replica.link.calls.count("update") <= renewals + 12


async def test_busy_is_never_cut_for_idleness() -> None:
    async with in_use("busy") as (w, replica, server):
        await w.clock.advance(1200)
        assert w.state("u1") is ACTIVE
        assert replica.service.view("u1").alive_because == "The WebUI is working."
        w.cluster.say_busy(server, "idle")
        await w.clock.advance(200)
        assert w.state("u1") is ACTIVE
        await w.until(lambda: w.state("u1") is SessionState.ENDED, within=200, step=5)


async def test_busy_for_ever_is_released_at_its_limit() -> None:
    async with in_use("busy", busy_limit=900, unknown_limit=600) as (w, _, server):
        w.cluster.working.add(server)
        await w.clock.advance(800)
        assert w.state("u1") is ACTIVE
        await w.until(lambda: w.state("u1") is SessionState.ENDED, within=200, step=5)


async def test_unknown_is_kept_until_its_own_limit() -> None:
    async with in_use("", unknown_limit=900) as (w, replica, _):
        await w.clock.advance(800)
        assert w.state("u1") is ACTIVE
        await w.until(lambda: w.state("u1") is SessionState.ENDED, within=200, step=5)
        assert "did not say" in replica.service.view("u1").reason


async def test_a_webui_that_falls_silent_before_its_sidecar_says_so_is_told_as_silent() -> None:
    async with in_use("idle", unknown_limit=900) as (w, replica, server):
        w.cluster.dead.add(server)
        await w.clock.advance(800)
        assert w.state("u1") is not SessionState.ENDED
        await w.until(lambda: w.state("u1") is SessionState.ENDED, within=900, step=5)
        assert "did not say" in replica.service.view("u1").reason


async def test_a_webui_that_works_when_asked_is_not_released() -> None:
    async with in_use("idle") as (w, _, server):
        w.cluster.working.add(server)
        await w.clock.advance(400)
        assert w.state("u1") is ACTIVE
        w.cluster.working.clear()
        await w.until(lambda: w.state("u1") is SessionState.ENDED, within=400, step=5)


async def test_a_failed_probe_is_not_idle() -> None:
    async with in_use("idle", unknown_limit=900) as (w, _, server):
        w.cluster.dead.add(server)
        await w.clock.advance(700)
        assert w.state("u1") is ACTIVE
        await w.until(lambda: w.state("u1") is SessionState.ENDED, within=700, step=5)


async def test_garbage_from_the_pod_is_unknown() -> None:
    async with in_use("") as (w, replica, name):
        for text in ("", "[]", "{}", '{"state":"busy","since":1e999}', '{"state":"x","since":1}', "[" * 9000):
            server = w.cluster.servers.get(name)
            w.cluster.servers.update(replace(server, annotations={**server.annotations, BUSY_ANNOTATION: text}))
            await w.clock.advance(0)
            busy = replica.service.view("u1").busy
            assert busy is not None
            assert busy.state == "unknown"


async def test_an_outage_longer_than_the_idle_timeout_releases_nobody_on_return() -> None:
    async with in_use() as (w, replica, _):
        other = await w.replica()
        for each in (replica, other):
            each.link.away = True
        await w.clock.advance(300)
        await other.service.presence(user(1), "keyboard")
        await w.clock.advance(100)
        for each in (replica, other):
            each.link.away = False
        await w.clock.advance(60)
        assert w.state("u1") is ACTIVE
        session = w.session("u1")
        assert session is not None
        assert session.activity is not None
        assert session.activity.source == "keyboard"


async def test_a_replica_that_comes_back_last_still_counts() -> None:
    async with in_use() as (w, leader, _):
        late = await w.replica()
        for each in (leader, late):
            each.link.away = True
        await w.clock.advance(300)
        await late.service.presence(user(1), "keyboard")
        await w.clock.advance(100)
        leader.link.away = False
        await w.clock.advance(25)
        assert leader.service.stats().leading
        assert w.state("u1") is ACTIVE
        late.link.away = False
        await w.clock.advance(60)
        assert w.state("u1") is ACTIVE


async def test_a_dead_replica_holds_nothing_back_for_long() -> None:
    async with in_use() as (w, _, _):
        other = await w.replica()
        other.kill()
        await w.until(lambda: w.state("u1") is SessionState.ENDED, within=400, step=5)
        assert [lease.holder for lease in w.cluster.leases.list({"atelier.dev/kind": "replica"}).items] == ["replica-0"]


async def test_the_age_limit_ends_it_whatever_happens_in_it() -> None:
    async with in_use("busy", max_age=600) as (w, replica, server):
        w.cluster.working.add(server)
        await w.until(lambda: w.state("u1") is ENDING, within=600, step=5)
        await replica.service.extend(user(1))
        assert w.state("u1") is ENDING
        await w.until(lambda: w.state("u1") is SessionState.ENDED, within=90, step=5)
        assert replica.service.view("u1").reason == "A session lasts at most 10 minutes."


async def test_a_release_is_not_late_because_others_are_at_work() -> None:
    """Their activity is written once a minute: that it is not written yet says nothing of this user's."""
    async with world(SLOW) as w:
        w.cluster.add(FLEET, 2)
        replica = await w.replica()
        for key in ("u1", "u2"):
            await replica.service.start(user(key.removeprefix("u")))
            await w.until(lambda: w.state(key) is ACTIVE)  # noqa: B023 - it is over before the next one
            w.cluster.say_busy(w.server_of(key), "idle")
            await w.clock.advance(25)
        ends = replica.service.view("u1").releases_at
        assert ends is not None
        while w.state("u1") in (ACTIVE, ENDING):
            await replica.service.presence(user(2), "pointer")
            await w.clock.advance(5)
        assert ends <= w.clock.time() <= ends + 15
        assert w.state("u2") is ACTIVE
