"""Compare and swap, own writes before the informer shows them, and Leases that others delete."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest

from allocator.sessions.lease import encode
from allocator.sessions.model import Session, SessionState
from allocator.sessions.store import CATCH_UP_SECONDS, SessionStore
from fleet.base import Conflict, Lease, NotFound, Uncertain
from fleet.informer import Informer
from fleet.local.store import Store, Versions
from tests.fake_clock import FakeClock
from tests.fake_fleet import Fault, LeaseClient, Link

QUEUED = Session("u1", SessionState.QUEUED, "p", 5.0, ((SessionState.QUEUED, 5.0),))


class Bench:
    def __init__(self, clock: FakeClock, group: asyncio.TaskGroup) -> None:
        self.clock = clock
        self.leases: Store[Lease] = Store(Versions(), clock)
        self.link = Link(clock, group)
        client = LeaseClient(self.leases, self.link, clock)
        self.informer = Informer(client, clock)
        self.store = SessionStore(client, self.informer, clock)
        self.heard: list[tuple[Session | None, Session | None]] = []
        self.store.listen(lambda old, new: self.heard.append((old, new)))

    def change_behind_its_back(self, **fields: int) -> None:
        lease = self.leases.get("u1")
        session = self.store.get("u1")
        assert session is not None
        self.leases.update(encode(replace(session, **fields), lease))  # type: ignore[arg-type] # whatever the test names


@asynccontextmanager
async def bench() -> AsyncIterator[Bench]:
    clock = FakeClock()
    async with asyncio.TaskGroup() as group:
        made = Bench(clock, group)
        task = group.create_task(made.informer.run())
        await clock.advance(0)
        yield made
        task.cancel()


def failed_once_more(session: Session) -> Session:
    return replace(session, failures=session.failures + 1)


async def test_an_own_write_is_known_at_once() -> None:
    async with bench() as b:
        await b.store.create(QUEUED)
        session = b.store.get("u1")
        assert session is not None
        assert session.uid
        await b.clock.advance(1)
        assert b.store.all() == [session]
        assert b.heard == [(None, session)]


async def test_a_step_that_finds_the_lease_changed_starts_over_from_what_it_reads() -> None:
    async with bench() as b:
        await b.store.create(QUEUED)
        b.change_behind_its_back(priority=7)
        stepped = await b.store.step("u1", failed_once_more)
        assert (stepped.priority, stepped.failures) == (7, 1)


async def test_ten_steps_at_once_all_count() -> None:
    async with bench() as b:
        await b.store.create(QUEUED)
        async with asyncio.TaskGroup() as group:
            for _ in range(10):
                group.create_task(b.store.step("u1", failed_once_more))
        session = b.store.get("u1")
        assert session is not None
        assert session.failures == 10


async def test_a_lost_reply_is_read_before_it_is_repeated() -> None:
    async with bench() as b:
        await b.store.create(QUEUED)
        b.link.fail("update", Fault.LOST_REPLY)
        task = asyncio.ensure_future(b.store.step("u1", lambda s: replace(s, failures=1) if s.failures == 0 else None))
        await b.clock.advance(1)
        assert (await task).failures == 1
        assert b.link.calls.count("update") == 1


async def test_endless_trouble_is_told() -> None:
    async with bench() as b:
        await b.store.create(QUEUED)
        b.link.fail("update", *[Fault.CONFLICT] * 10)
        with pytest.raises(Conflict):
            await b.store.step("u1", failed_once_more)
        b.link.away = True
        with pytest.raises(Uncertain):
            await b.store.step("u1", failed_once_more, fresh=True)


async def test_a_deleted_lease_is_forgotten() -> None:
    async with bench() as b:
        await b.store.create(QUEUED)
        await b.clock.advance(0)
        lease = b.leases.get("u1")
        b.leases.remove("u1", lease.uid, None)
        await b.clock.advance(0)
        assert b.store.get("u1") is None
        with pytest.raises(NotFound):
            await b.store.step("u1", failed_once_more)


async def test_an_own_write_that_was_deleted_unseen_is_forgotten_later() -> None:
    async with bench() as b:
        b.link.away = True
        await b.clock.advance(15)  # the watch ends: the informer sees neither of the two
        b.link.away = False
        await b.store.create(QUEUED)
        b.leases.remove("u1", b.leases.get("u1").uid, None)
        b.informer._version = str(b.leases.version)  # as after a new list
        await b.clock.advance(CATCH_UP_SECONDS + 10)
        b.store.sweep()
        assert b.store.get("u1") is None


async def test_what_is_judged_by_an_old_state_is_not_deleted() -> None:
    async with bench() as b:
        session = await b.store.create(QUEUED)
        await b.store.step("u1", failed_once_more)
        with pytest.raises(Conflict):
            await b.store.delete(session)


async def test_what_the_informer_says_late_of_an_earlier_lease_does_not_replace_the_new_one() -> None:
    async with bench() as b:
        await b.store.create(QUEUED)
        await b.store.step("u1", failed_once_more)
        first = b.store.get("u1")
        assert first is not None
        await b.store.delete(first)
        second = await b.store.create(replace(QUEUED, enqueued_at=9.0))
        b.heard.clear()
        await b.clock.advance(1)
        assert b.store.get("u1") == second
        assert b.heard == []
