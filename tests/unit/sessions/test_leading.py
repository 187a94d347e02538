"""Who leads, who counts as gone, and what is handed over."""

from dataclasses import dataclass

from allocator.sessions.expiry import Expiry
from allocator.sessions.model import SessionState
from runtime.names import GameServerState
from tests.fake_clock import FakeClock
from tests.sessions_world import FLEET, user, world


@dataclass
class Held:
    uid: str = "lease"
    holder: str = "other"
    renew_time: float | None = 1.0
    duration_seconds: int | None = 9


async def test_expiry_counts_from_the_last_change_seen_here() -> None:
    clock = FakeClock()
    expiry, held = Expiry(clock), Held(renew_time=-1e9)
    assert not expiry.expired(held)
    await clock.advance(8)
    held.renew_time = -1e9 + 1
    assert not expiry.expired(held)
    await clock.advance(9)
    assert not expiry.expired(held)
    await clock.advance(0.1)
    assert expiry.expired(held)
    expiry.forget()
    assert not expiry.expired(held)
    assert expiry.expired(Held(holder=""))


async def test_one_leads_and_another_takes_over() -> None:
    async with world() as w:
        first, second = await w.replica(), await w.replica()
        assert [one.service.stats().leading for one in (first, second)] == [True, False]
        first.kill()
        await w.until(lambda: second.service.stats().leading, within=15)


async def test_a_leader_without_the_store_steps_down_before_another_steps_up() -> None:
    async with world() as w:
        first, second = await w.replica(), await w.replica()
        first.link.away = True
        for _ in range(60):
            await w.clock.advance(0.25)
            assert [one.service.stats().leading for one in (first, second)].count(True) <= 1
        assert second.service.stats().leading
        first.link.away = False
        await w.clock.advance(10)
        assert second.service.stats().leading


async def test_a_replica_is_not_ready_before_the_others_can_know_of_it() -> None:
    async with world() as w:
        replica = await w.replica()
        assert replica.service.ready
        replica.link.away = True
        await w.clock.advance(60)
        assert not replica.service.ready
        assert replica.service.review({}) is None
        replica.link.away = False
        await w.until(lambda: replica.service.ready, within=30)


async def test_nothing_warm_wanted_the_delete_waits_for_the_fleet_to_shrink() -> None:
    async with world(warm=0) as w:
        (server,) = w.cluster.add(FLEET)
        replica = await w.replica()
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is SessionState.ACTIVE)
        await w.done(replica.service.release("u1", "enough"))
        review = {"request": {"uid": "1", "name": FLEET, "status": {"replicas": 1}}}
        await w.clock.advance(2)
        assert w.cluster.servers.find(server.name) is not None
        answer = replica.service.review(review)
        assert answer is not None
        assert answer["response"] == {"uid": "1", "scale": True, "replicas": 0}
        replica.service.review(review)
        await w.until(lambda: w.cluster.servers.find(server.name) is None, within=2)


async def test_a_fleet_that_never_asks_delays_the_delete_only_so_long() -> None:
    async with world(warm=0) as w:
        (server,) = w.cluster.add(FLEET)
        replica = await w.replica()
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is SessionState.ACTIVE)
        await w.done(replica.service.release("u1", "enough"))
        await w.clock.advance(w.timing.shrink - 1)
        assert w.cluster.servers.find(server.name) is not None
        await w.until(lambda: w.cluster.servers.find(server.name) is None, within=3)


async def test_with_warm_servers_wanted_the_delete_is_at_once() -> None:
    async with world(warm=1) as w:
        (server,) = w.cluster.add(FLEET)
        replica = await w.replica()
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is SessionState.ACTIVE)
        await w.done(replica.service.release("u1", "enough"))
        await w.until(lambda: w.cluster.servers.find(server.name) is None, within=0.5)


async def test_starts_are_measured_and_counted() -> None:
    async with world(size=3) as w:
        w.cluster.add(FLEET)
        replica = await w.replica()
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is SessionState.ACTIVE)
        await replica.service.start(user(2))
        await w.clock.advance(1)
        await w.done(replica.service.release("u2", "left"))
        stats = replica.service.stats()
        assert stats.sessions[FLEET, "active"] == 1
        assert stats.starts[FLEET, "active"].count == 1
        assert stats.starts[FLEET, "left"].count == 1
        assert stats.gameservers[FLEET, "Allocated"] == 1
        (one, two) = replica.service.everyone()
        assert (one.identity, one.email) == ("dev|artist1", "artist1@example.org")
        assert (one.view.state, two.view.state) == ("active", "ended")


async def test_the_expected_time_comes_from_measured_starts() -> None:
    async with world(size=3) as w:
        replica = await w.replica()
        (server,) = w.cluster.add(FLEET, 1, GameServerState.STARTING)
        await w.clock.advance(40)
        w.cluster.set_state(server.name, GameServerState.READY)
        await w.clock.advance(1)
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is SessionState.ACTIVE)
        await replica.service.start(user(2))
        await w.clock.advance(1)
        view = replica.service.view("u2")
        assert view.position == 1
        assert view.eta_seconds is not None
        assert 40 <= view.eta_seconds <= 41
        w.cluster.add(FLEET, 1, GameServerState.STARTING)
        await w.clock.advance(10)
        view = replica.service.view("u2")
        assert view.step == "A new WebUI is starting."
        assert view.eta_seconds is not None
        assert 30 <= view.eta_seconds <= 31


async def test_failed_starts_in_a_row_stop_the_asking_and_are_told() -> None:
    async with world(size=3) as w:
        replica = await w.replica()
        await replica.service.start(user(1))
        await w.until(lambda: w.state("u1") is SessionState.QUEUED)
        for state in (GameServerState.UNHEALTHY, GameServerState.ERROR, GameServerState.SHUTDOWN):
            (server,) = w.cluster.add(FLEET, 1, GameServerState.STARTING)
            await w.clock.advance(1)
            w.cluster.set_state(server.name, state)
            await w.clock.advance(1)
            w.cluster.remove(server.name)
        await w.clock.advance(1)
        assert replica.service.stats().failed_starts[FLEET] == 3
        assert "failed several times" in replica.service.view("u1").step
        answer = replica.service.review({"request": {"uid": "1", "name": FLEET, "status": {"replicas": 0}}})
        assert answer is not None
        assert answer["response"] == {"uid": "1", "scale": False, "replicas": 0}
        (server,) = w.cluster.add(FLEET, 1, GameServerState.STARTING)
        await w.clock.advance(1)
        w.cluster.set_state(server.name, GameServerState.READY)
        await w.clock.advance(1)
        assert replica.service.stats().failed_starts[FLEET] == 0
