"""A first click, when nothing fails and when something does."""

import asyncio
from dataclasses import replace
from functools import partial

import pytest

from allocator.sessions.api import SessionRefused
from allocator.sessions.model import SessionState
from runtime.names import PREPARED_ANNOTATION, GameServerState
from tests.fake_fleet import Fault
from tests.sessions_world import FLEET, World, user, world

ACTIVE = SessionState.ACTIVE


def is_active(w: World, key: str) -> bool:
    return w.state(key) is ACTIVE


async def test_a_click_gives_a_route_to_the_warm_webui() -> None:
    async with world() as w:
        (server,) = w.cluster.add(FLEET)
        replica = await w.replica()
        view = await replica.service.start(user(1))
        assert view.state is SessionState.ALLOCATING
        await w.until(lambda: replica.service.route("u1") is not None, within=1)
        route = replica.service.route("u1")
        assert route is not None
        assert (route.uid, route.port) == (server.uid, server.ports["webui"])
        assert w.state("u1") is ACTIVE


async def test_50_clicks_in_parallel_get_one_gameserver() -> None:
    async with world() as w:
        w.cluster.add(FLEET, 5)
        one, two = await w.replica(), await w.replica()
        await asyncio.gather(*((one if n % 2 else two).service.start(user(1)) for n in range(50)))
        await w.until(lambda: w.state("u1") is ACTIVE)
        await w.clock.advance(60)
        assert len(w.allocated("u1")) == 1


async def test_50_users_racing_for_3_gameservers_are_served_in_order() -> None:
    async with world() as w:
        w.cluster.add(FLEET, 3)
        replica = await w.replica()
        for number in range(50):
            await replica.service.start(user(number))
            await w.clock.advance(0.01)
        await w.until(lambda: w.count(ACTIVE) == 3 and w.count(SessionState.QUEUED) == 47)
        served = [f"u{n}" for n in range(50) if w.state(f"u{n}") is ACTIVE]
        assert served == ["u0", "u1", "u2"]
        assert [replica.service.view(f"u{n}").position for n in range(3, 50)] == list(range(1, 48))
        for number in range(5):
            await replica.service.release(f"u{number}", "enough")
            w.cluster.add(FLEET)
            following = f"u{number + 3}"
            await w.until(partial(is_active, w, following))


async def test_the_reply_to_the_create_is_lost() -> None:
    async with world() as w:
        w.cluster.add(FLEET, 3)
        replica = await w.replica()
        replica.link.fail("create", Fault.LOST_REPLY)
        await w.done(replica.service.start(user(1)))
        await w.until(lambda: w.state("u1") is ACTIVE, within=2)
        assert len(w.allocated("u1")) == 1


async def test_the_create_never_arrives() -> None:
    async with world() as w:
        w.cluster.add(FLEET)
        replica = await w.replica()
        replica.link.fail("create", Fault.TIMEOUT)
        await w.done(replica.service.start(user(1)))
        await w.until(lambda: w.state("u1") is ACTIVE, within=2)


async def test_the_reply_to_the_allocation_is_lost() -> None:
    async with world() as w:
        w.cluster.add(FLEET, 3)
        replica = await w.replica()
        replica.link.fail("allocate", Fault.LOST_REPLY)
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is ACTIVE, within=3)
        assert [server.name for server in w.allocated("u1")] == [w.server_of("u1")]
        assert replica.link.calls.count("allocate") == 1


async def test_contention_and_timeouts_are_asked_again() -> None:
    async with world() as w:
        w.cluster.add(FLEET, 3)
        replica = await w.replica()
        replica.link.fail("allocate", Fault.CONTENTION, Fault.TIMEOUT, Fault.CONTENTION)
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is ACTIVE, within=5)
        assert len(w.allocated("u1")) == 1


async def test_an_allocation_that_lands_after_an_empty_list_is_deleted_after_settling() -> None:
    async with world() as w:
        w.cluster.add(FLEET, 3)
        replica = await w.replica()
        replica.link.fail("allocate", Fault.LATE)
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is ACTIVE, within=2)
        named = w.server_of("u1")
        await w.until(lambda: len(w.allocated("u1")) == 2, within=5)
        await w.clock.advance(w.timing.settling - 2)
        assert len(w.allocated("u1")) == 2
        await w.until(lambda: len(w.allocated("u1")) == 1, within=5)
        assert w.server_of("u1") == named
        assert w.state("u1") is ACTIVE


async def test_a_forged_nonce_is_not_believed() -> None:
    async with world(startup_deadline=30) as w:
        (server,) = w.cluster.add(FLEET)
        w.cluster.liars.add(server.name)
        replica = await w.replica()
        await replica.service.start(user(1))
        await w.clock.advance(10)
        assert w.state("u1") is SessionState.PREPARING
        assert replica.service.route("u1") is None, "allocated is not usable"
        await w.until(lambda: w.state("u1") is SessionState.FAILED, within=40)
        assert "not ready in time" in replica.service.view("u1").reason
        await w.until(lambda: not w.allocated("u1"), within=w.timing.settling + 5)


async def test_the_annotation_prepares_as_the_poll_does() -> None:
    async with world() as w:
        (server,) = w.cluster.add(FLEET)
        w.cluster.liars.add(server.name)
        replica = await w.replica()
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is SessionState.PREPARING)
        session = w.session("u1")
        assert session is not None
        assert session.current is not None
        now = w.cluster.servers.get(server.name)
        recorded = {**now.annotations, PREPARED_ANNOTATION: session.current.nonce}
        w.cluster.servers.update(replace(now, annotations=recorded))
        await w.until(lambda: w.state("u1") is ACTIVE, within=2)


async def test_a_gameserver_lost_while_preparing_is_replaced() -> None:
    async with world() as w:
        first, _ = w.cluster.add(FLEET, 2)
        w.cluster.dead.add(first.name)
        replica = await w.replica()
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is SessionState.PREPARING)
        w.cluster.set_state(first.name, GameServerState.UNHEALTHY)
        await w.until(lambda: w.state("u1") is ACTIVE, within=5)
        assert w.server_of("u1") != first.name


async def test_three_lost_gameservers_fail_the_session_with_a_reason() -> None:
    async with world() as w:
        servers = w.cluster.add(FLEET, 4)
        w.cluster.dead.update(server.name for server in servers)
        replica = await w.replica()
        await replica.service.start(user(1))
        for _ in range(3):
            await w.until(lambda: w.state("u1") is SessionState.PREPARING)
            w.cluster.remove(w.server_of("u1"))
            await w.clock.advance(1)
        assert w.state("u1") is SessionState.FAILED
        assert "files are safe" in replica.service.view("u1").reason


async def test_a_lost_reply_counts_no_gameserver_twice() -> None:
    async with world() as w:
        servers = w.cluster.add(FLEET, 4)
        w.cluster.dead.update(server.name for server in servers)
        replica = await w.replica()
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is SessionState.PREPARING)
        w.cluster.remove(w.server_of("u1"))
        replica.link.fail("update", Fault.LOST_REPLY)
        await w.clock.advance(2)
        session = w.session("u1")
        assert session is not None
        assert (session.state, session.failures) == (SessionState.PREPARING, 1)


async def test_an_ended_session_starts_anew_and_one_that_ends_is_refused() -> None:
    async with world() as w:
        w.cluster.add(FLEET, 2)
        replica = await w.replica()
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is ACTIVE)
        first = w.session("u1")
        await replica.service.release("u1", "enough")
        with pytest.raises(SessionRefused, match="being ended"):
            await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is SessionState.ENDED, within=10)
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is ACTIVE)
        second = w.session("u1")
        assert first is not None
        assert second is not None
        assert first.uid != second.uid


async def test_an_unknown_profile_and_an_unready_replica_are_refused() -> None:
    async with world() as w:
        replica = await w.replica()
        with pytest.raises(SessionRefused, match="no profile 'nope'"):
            await replica.service.start(user(1), "nope")
        replica.kill()
        await w.clock.advance(0)
        with pytest.raises(SessionRefused, match="is starting"):
            await replica.service.start(user(1))


async def test_the_store_is_away_when_a_person_clicks() -> None:
    async with world() as w:
        replica = await w.replica()
        replica.link.away = True
        with pytest.raises(SessionRefused, match="Try again"):
            await w.done(replica.service.start(user(1)))


async def test_whoever_hears_of_their_own_lease_last_works_on_it_alone() -> None:
    """The watch may be faster than the reply to the create: nobody else takes up what is about to be begun."""
    async with world() as w:
        w.cluster.add(FLEET, 3)
        replica = await w.replica()
        replica.link.fail("create", Fault.SLOW_REPLY)
        await w.done(replica.service.start(user(1)))
        await w.until(lambda: w.state("u1") is ACTIVE)
        assert len(w.allocated("u1")) == 1
