"""A session that ends: released, lost, or taken from under it."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from allocator.sessions.api import SessionRefused
from allocator.sessions.context import Timing
from allocator.sessions.model import SessionState
from fleet.base import GameServer, Listing
from runtime.names import NONCE_ANNOTATION, USER_LABEL, GameServerState
from tests.fake_fleet import Fault
from tests.sessions_world import FLEET, Replica, World, user, world

ACTIVE, RELEASING = SessionState.ACTIVE, SessionState.RELEASING
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


async def test_a_webui_that_vanishes_fails_the_session_with_a_reason() -> None:
    async with in_use() as (w, replica, server):
        w.cluster.remove(server)
        await w.until(lambda: w.state("u1") is SessionState.FAILED, within=3)
        assert "ended unexpectedly; your files are safe" in replica.service.view("u1").reason
        assert replica.service.route("u1") is None
        w.cluster.add(FLEET)
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is ACTIVE)


async def test_an_unhealthy_webui_fails_the_session_and_is_deleted() -> None:
    async with in_use() as (w, _, server):
        w.cluster.set_state(server, GameServerState.UNHEALTHY)
        await w.until(lambda: w.state("u1") is SessionState.FAILED, within=3)
        await w.until(lambda: w.cluster.servers.find(server) is None, within=10)


async def test_ready_while_allocated_harms_its_own_session_only() -> None:
    async with in_use() as (w, replica, server):
        w.cluster.set_state(server, GameServerState.READY)
        view = await replica.service.start(user(2))
        assert view.gameserver == ""
        await w.until(lambda: w.state("u1") is SessionState.FAILED, within=3)
        await w.until(lambda: w.cluster.servers.find(server) is None, within=10)
        assert w.state("u2") is SessionState.QUEUED


async def test_a_release_waits_for_the_gameserver_to_be_gone() -> None:
    async with in_use() as (w, replica, server):
        w.cluster.mark_deleting(server)
        await w.done(replica.service.release("u1", "Released by its user."))
        await w.clock.advance(30)
        assert w.state("u1") is RELEASING
        assert replica.service.route("u1") is None
        w.cluster.remove(server)
        await w.until(lambda: w.state("u1") is SessionState.ENDED, within=10)


async def test_the_delete_is_lost_refused_and_late() -> None:
    async with in_use() as (w, replica, server):
        replica.link.fail("delete", Fault.TIMEOUT, Fault.CONFLICT, Fault.LATE)
        await w.done(replica.service.release("u1", "Released by its user."))
        assert replica.service.route("u1") is None
        assert not await replica.service.admit("u1")
        await w.until(lambda: w.state("u1") is SessionState.ENDED, within=60)
        assert w.cluster.servers.find(server) is None


@pytest.mark.parametrize("field", ["nonce", "label"])
async def test_a_server_that_the_allocation_did_not_mark_for_this_user_is_not_routed(field: str) -> None:
    async with in_use() as (w, replica, name):
        server = w.cluster.servers.get(name)
        if field == "nonce":
            server = replace(server, annotations={**server.annotations, NONCE_ANNOTATION: "another"})
        else:
            server = replace(server, labels={USER_LABEL: "u2"})
        w.cluster.servers.update(server)
        await w.clock.advance(0)
        assert replica.service.route("u1") is None
        assert replica.service.route("u2") is None


async def test_the_leader_dies_during_a_release() -> None:
    async with in_use() as (w, leader, server):
        await w.replica()
        leader.link.fail("delete", Fault.TIMEOUT)
        await w.done(leader.service.release("u1", "Released by its user."))
        leader.kill()
        await w.until(lambda: w.state("u1") is SessionState.ENDED, within=60)
        assert w.cluster.servers.find(server) is None


async def test_a_lease_deleted_by_hand_ends_the_route_and_the_gameserver() -> None:
    async with in_use() as (w, replica, server):
        ended: list[str] = []
        replica.service.on_end(lambda _, reason: ended.append(reason))
        lease = w.cluster.leases.get("u1")
        w.cluster.leases.remove("u1", lease.uid, None)
        await w.clock.advance(0)
        assert replica.service.route("u1") is None
        assert len(ended) == 1
        await w.until(lambda: w.cluster.servers.find(server) is None, within=w.timing.settling + 10)


async def test_a_lease_of_another_schema_is_left_alone() -> None:
    async with in_use() as (w, replica, server):
        lease = w.cluster.leases.get("u1")
        w.cluster.leases.update(replace(lease, annotations={**lease.annotations, "atelier.dev/schema": "99"}))
        await w.clock.advance(60)
        assert w.cluster.servers.get(server).state is GameServerState.ALLOCATED
        with pytest.raises(SessionRefused, match="another version"):
            await w.done(replica.service.start(user(1)))


async def test_a_restarted_allocator_goes_on_where_the_last_one_was() -> None:
    async with in_use() as (w, first, _):
        await w.clock.advance(100)
        await first.service.presence(user(1), "pointer")
        await w.clock.advance(60)
        first.kill()
        second = await w.replica()
        assert second.service.route("u1") is not None
        view = second.service.view("u1")
        assert view.last_activity is not None
        assert view.now - view.last_activity.at < 120
        await w.until(lambda: w.state("u1") is SessionState.ENDED, within=400, step=5)


async def test_changes_tell_each_state_and_never_miss_the_last() -> None:
    async with in_use() as (w, replica, _):
        seen: list[SessionState] = []

        async def follow() -> None:
            async for view in replica.service.changes("u1"):
                seen.append(view.state)
                if view.state is SessionState.ENDED:
                    return

        task = w.group.create_task(follow())
        await w.clock.advance(0)
        await w.done(replica.service.release("u1", "enough"))
        await w.until(task.done, within=20)
        assert seen[0] is ACTIVE
        assert seen[-1] is SessionState.ENDED


async def test_a_webui_that_says_ready_again_and_again_slows_down_nobody_elses_start() -> None:
    """What a user's own code calls is no start: neither a slow one for the expected times, nor a failed one."""
    async with in_use() as (w, replica, server):
        await w.clock.advance(100)
        asked = GameServerState.REQUEST_READY
        for state in (asked, GameServerState.READY, asked, GameServerState.SHUTDOWN):
            w.cluster.set_state(server, state)
        await w.clock.advance(0)
        assert replica.service.stats().failed_starts[FLEET] == 0
        await replica.service.start(user(2))
        await w.clock.advance(1)
        eta = replica.service.view("u2").eta_seconds
        assert eta is not None
        assert eta < 10


async def test_a_page_is_not_sent_to_a_webui_that_is_lost_before_a_leader_has_seen_it() -> None:
    async with world() as w:
        (server,) = w.cluster.add(FLEET)
        leader, other = await w.replica(), await w.replica()
        await other.service.start(user(1))
        await w.until(lambda: other.service.view("u1").state is ACTIVE)
        leader.kill()
        w.cluster.remove(server.name)
        await w.clock.advance(0)
        view = other.service.view("u1")
        assert (w.state("u1"), view.state, other.service.route("u1")) == (ACTIVE, SessionState.RELEASING, None)
        assert "files are safe" in view.step
        await w.until(lambda: other.service.view("u1").state is SessionState.FAILED)


@pytest.mark.parametrize("orphaned", [False, True])
async def test_a_gameserver_that_changes_all_the_time_is_deleted_all_the_same(
    orphaned: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What runs in it writes annotations, and so changes its version between any read and the delete."""
    async with in_use(warm=1) as (w, replica, server):
        listed, reads = w.cluster.servers.list, list[Listing[GameServer]]()

        def changed_after_each_read(labels: Mapping[str, str] | None = None) -> Listing[GameServer]:
            found = listed(labels)
            reads.append(found)
            if w.cluster.servers.find(server) and len(reads) < 100:
                w.cluster.say_busy(server, "idle")
            return found

        monkeypatch.setattr(w.cluster.servers, "list", changed_after_each_read)
        if orphaned:
            lease = w.cluster.leases.get("u1")
            w.cluster.leases.remove("u1", lease.uid, None)
        else:
            await replica.service.release("u1", "Released by its user.")
        await w.until(lambda: w.cluster.servers.find(server) is None, within=40)
        assert len(reads) < 50
