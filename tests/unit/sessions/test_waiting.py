"""Waiting: places in the queue, take-overs, and what ends the wait."""

from allocator.sessions.context import Timing
from allocator.sessions.model import SessionState
from allocator.settings import Profile, Settings
from tests.fake_fleet import Fault
from tests.sessions_world import FLEET, user, world

ACTIVE = SessionState.ACTIVE
SLOW = Timing(lease_seconds=30, sync=10)
"""For tests in which minutes pass."""


async def test_the_holder_dies_while_allocating_and_is_taken_over() -> None:
    async with world() as w:
        w.cluster.add(FLEET, 3)
        leader, other = await w.replica(), await w.replica()
        other.link.fail("allocate", Fault.LOST_REPLY)
        await other.service.start(user(1))
        await w.until(lambda: len(w.allocated("u1")) == 1, within=1, step=0.01)
        other.kill()
        assert w.state("u1") is SessionState.ALLOCATING
        await w.until(lambda: w.state("u1") is ACTIVE, within=15)
        assert len(w.allocated("u1")) == 1
        assert leader.service.route("u1") is not None


async def test_the_leader_dies_while_preparing_and_is_taken_over() -> None:
    async with world() as w:
        (server,) = w.cluster.add(FLEET)
        w.cluster.slow.add(server.name)
        leader = await w.replica()
        other = await w.replica()
        await leader.service.start(user(1))
        await w.until(lambda: w.state("u1") is SessionState.PREPARING, within=1)
        leader.kill()
        w.cluster.slow.clear()
        await w.until(lambda: w.state("u1") is ACTIVE, within=30)
        assert other.service.stats().leading


async def test_a_clean_stop_hands_over_at_once() -> None:
    async with world() as w:
        (server,) = w.cluster.add(FLEET)
        w.cluster.slow.add(server.name)
        leader = await w.replica()
        await w.replica()
        await leader.service.start(user(1))
        await w.until(lambda: w.state("u1") is SessionState.PREPARING, within=1)
        w.cluster.slow.clear()
        leader.stop()
        await w.until(lambda: w.state("u1") is ACTIVE, within=4)


async def test_all_replicas_die_and_a_new_one_resumes_from_the_leases() -> None:
    async with world() as w:
        (server, *_) = w.cluster.add(FLEET, 1)
        w.cluster.slow.add(server.name)
        first = await w.replica()
        await first.service.start(user(1))
        await w.until(lambda: w.state("u1") is SessionState.PREPARING, within=1)
        await first.service.start(user(2))
        await w.until(lambda: w.state("u2") is SessionState.QUEUED, within=1)
        first.kill()
        w.cluster.slow.clear()
        second = await w.replica()
        assert second.service.view("u2").position == 1
        second.service.page_seen("u2")
        await w.until(lambda: w.state("u1") is ACTIVE, within=30)
        w.cluster.add(FLEET)
        await w.until(lambda: w.state("u2") is ACTIVE, within=5)


async def test_a_released_waiting_place_stops_the_worker() -> None:
    async with world() as w:
        w.cluster.add(FLEET, 2)
        replica = await w.replica()
        replica.link.fail("allocate", Fault.LATE, Fault.TIMEOUT, Fault.TIMEOUT, Fault.TIMEOUT)
        await replica.service.start(user(1))
        await w.clock.advance(0)
        await w.done(replica.service.release("u1", "Released by its user."))
        assert w.state("u1") is SessionState.ENDED
        await w.until(lambda: len(w.allocated("u1")) == 1, within=5)
        assert replica.service.route("u1") is None
        await w.until(lambda: not w.allocated("u1"), within=w.timing.settling + 5)


async def test_a_place_in_the_queue_lapses_when_its_page_is_gone() -> None:
    async with world(SLOW) as w:
        replica = await w.replica()
        for number in (1, 2):
            await replica.service.start(user(number))
        await w.until(lambda: w.count(SessionState.QUEUED) == 2)
        for _ in range(30):
            replica.service.page_seen("u2")
            await w.clock.advance(5)
        assert w.state("u1") is SessionState.ENDED
        assert "lapsed" in replica.service.view("u1").reason
        assert (w.state("u2"), replica.service.view("u2").position) == (SessionState.QUEUED, 1)


async def test_a_page_that_only_another_replica_sees_keeps_the_place() -> None:
    async with world(SLOW) as w:
        leader, other = await w.replica(), await w.replica()
        await leader.service.start(user(1))
        for _ in range(30):
            other.service.page_seen("u1")
            await w.clock.advance(5)
        assert w.state("u1") is SessionState.QUEUED


async def test_a_newcomer_waits_behind_those_who_wait() -> None:
    async with world() as w:
        replica = await w.replica()
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is SessionState.QUEUED)
        await w.clock.advance(1)
        view = await replica.service.start(user(2))
        assert (view.state, view.position) == (SessionState.QUEUED, 2)
        assert view.step == "No WebUI is free; a new one is being asked for."


async def test_a_restart_longer_than_the_lapse_costs_nobody_their_place() -> None:
    async with world() as w:
        first = await w.replica()
        for number in (1, 2):
            await first.service.start(user(number))
        await w.until(lambda: w.count(SessionState.QUEUED) == 2)
        first.kill()
        await w.clock.advance(600)
        second = await w.replica()
        for _ in range(10):
            second.service.page_seen("u2")
            await w.clock.advance(5)
        assert w.count(SessionState.QUEUED) == 2
        for _ in range(14):
            second.service.page_seen("u2")
            await w.clock.advance(5)
        assert (w.state("u1"), w.state("u2")) == (SessionState.ENDED, SessionState.QUEUED)


async def test_a_profile_that_is_no_longer_offered_ends_the_wait_and_gives_no_other_webui() -> None:
    async with world() as w:
        (server,) = w.cluster.add(FLEET)
        w.cluster.slow.add(server.name)
        first = await w.replica()
        await first.service.start(user(1))
        await w.until(lambda: w.state("u1") is SessionState.PREPARING)
        first.kill()
        w.settings = Settings(profiles=(Profile(name="other", size=2),))
        w.cluster.add("other")
        second = await w.replica()
        await w.until(lambda: w.state("u1") is SessionState.FAILED)
        assert "no longer offered" in second.service.view("u1").reason
        await w.until(lambda: w.cluster.servers.find(server.name) is None)
        assert w.allocated("u1") == []
