"""The informer: what goes wrong between it and its store, and that the cache is right afterwards."""

import asyncio
import itertools
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import pytest

from fleet.base import Event, EventType, Expired, FleetError, Lease, Listing, Uncertain
from fleet.informer import LAST_RETRY_SECONDS, STALL_SECONDS, Change, Informer
from tests.fake_clock import FakeClock


def lease(name: str, version: int, uid: str = "u", **labels: str) -> Lease:
    return Lease(name, uid=uid, resource_version=str(version), labels=labels)


def added(item: Lease) -> Event[Lease]:
    return Event(EventType.ADDED, item.resource_version, item)


def deleted(item: Lease, version: int) -> Event[Lease]:
    return Event(EventType.DELETED, str(version), item)


class ScriptedSource:
    """Each list and each watch takes the next entry; a watch that reaches its end goes on in silence, as dead ones do."""

    def __init__(self, lists: list[Listing[Lease] | FleetError], watches: list[list[Event[Lease] | FleetError | None]]) -> None:
        self._lists = deque(lists)
        self._watches = deque(watches)
        self.lists = 0
        self.watched_from: list[str] = []

    async def list(self, labels: Mapping[str, str] | None = None) -> Listing[Lease]:
        self.lists += 1
        result = self._lists.popleft() if len(self._lists) > 1 else self._lists[0]
        if isinstance(result, FleetError):
            raise result
        return result

    async def watch(self, resource_version: str) -> AsyncIterator[Event[Lease]]:
        self.watched_from.append(resource_version)
        for step in self._watches.popleft() if self._watches else []:
            if step is None:
                return
            if isinstance(step, FleetError):
                raise step
            yield step
        await asyncio.Event().wait()


@asynccontextmanager
async def running(source: ScriptedSource, clock: FakeClock) -> AsyncIterator[Informer[Lease]]:
    informer = Informer(source, clock, indexed=("kind",))
    async with asyncio.TaskGroup() as group:
        task = group.create_task(informer.run())
        await clock.advance(0)
        try:
            yield informer
        finally:
            task.cancel()


async def test_it_lists_then_follows_and_indexes() -> None:
    a, b = lease("a", 1, kind="session"), lease("b", 3, kind="session")
    source = ScriptedSource([Listing((a,), "2")], [[added(b), deleted(a, 4)]])
    async with running(source, FakeClock()) as informer:
        await informer.wait_synced()
        assert informer.synced
        assert source.watched_from == ["2"]
        assert informer.items() == (b,)
        assert informer.get("a") is None
        assert informer.by_label("kind", "session") == (b,)
        assert informer.by_label("kind", "other") == ()


async def test_a_changed_label_moves_in_the_index() -> None:
    before, after = lease("a", 1, kind="x"), lease("a", 3, kind="y")
    source = ScriptedSource([Listing((before,), "2")], [[Event(EventType.MODIFIED, "3", after)]])
    async with running(source, FakeClock()) as informer:
        assert informer.by_label("kind", "x") == ()
        assert informer.by_label("kind", "y") == (after,)


async def test_not_synced_until_a_list_succeeded() -> None:
    clock = FakeClock()
    source = ScriptedSource([Uncertain("down"), Uncertain("down"), Listing((), "1")], [])
    async with running(source, clock) as informer:
        assert not informer.synced
        await clock.advance(LAST_RETRY_SECONDS)
        assert informer.synced
        assert source.lists == 3


async def test_a_watch_that_fails_resumes_where_it_was_without_a_new_list() -> None:
    clock = FakeClock()
    source = ScriptedSource([Listing((), "1")], [[added(lease("a", 2)), Uncertain("cut")], [added(lease("b", 3))]])
    async with running(source, clock) as informer:
        await clock.advance(LAST_RETRY_SECONDS)
        assert source.lists == 1
        assert source.watched_from == ["1", "2"]
        assert {item.name for item in informer.items()} == {"a", "b"}


async def test_a_watch_that_the_server_ends_resumes_from_the_last_bookmark() -> None:
    clock = FakeClock()
    source = ScriptedSource([Listing((), "1")], [[Event(EventType.BOOKMARK, "9"), None]])
    async with running(source, clock):
        await clock.advance(LAST_RETRY_SECONDS)
        assert (source.lists, source.watched_from) == (1, ["1", "9"])


async def test_an_expired_watch_lists_anew_and_finds_what_went_meanwhile() -> None:
    clock = FakeClock()
    gone, kept, new = lease("gone", 1), lease("kept", 2), lease("new", 7)
    source = ScriptedSource([Listing((gone, kept), "3"), Listing((kept, new), "8")], [[Expired("410")]])
    seen: list[Change[Lease]] = []
    informer = Informer(source, clock)
    informer.on_change(seen.append)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(informer.run())
        await clock.advance(LAST_RETRY_SECONDS)
        task.cancel()
    assert source.watched_from == ["3", "8"]
    assert informer.items() == (kept, new)
    assert seen == [Change(None, gone), Change(None, kept), Change(gone, None), Change(None, new)]


async def test_a_watch_that_dies_in_silence_is_given_up_and_listed_anew() -> None:
    clock = FakeClock()
    source = ScriptedSource([Listing((), "1"), Listing((lease("a", 5),), "5")], [[]])
    async with running(source, clock) as informer:
        await clock.advance(STALL_SECONDS - 1)
        assert source.lists == 1
        await clock.advance(1 + LAST_RETRY_SECONDS)
        assert source.lists == 2
        assert informer.get("a") is not None


async def test_bookmarks_keep_a_quiet_watch_alive() -> None:
    clock = FakeClock()
    bell: asyncio.Queue[Event[Lease]] = asyncio.Queue()

    class QuietSource(ScriptedSource):
        async def watch(self, resource_version: str) -> AsyncIterator[Event[Lease]]:
            self.watched_from.append(resource_version)
            while True:
                yield await bell.get()

    source = QuietSource([Listing((), "1")], [])
    async with running(source, clock) as informer:
        for number in range(10):
            await clock.advance(STALL_SECONDS * 0.9)
            bell.put_nowait(Event(EventType.BOOKMARK, str(number + 2)))
        await clock.advance(0)
        assert source.watched_from == ["1"]
        assert informer.synced


async def test_a_store_that_stays_away_is_not_believed_any_more() -> None:
    clock = FakeClock()
    source = ScriptedSource([Listing((lease("a", 1),), "1"), Uncertain("down")], [[]])
    async with running(source, clock) as informer:
        assert informer.synced
        await clock.advance(2 * STALL_SECONDS + 1)
        assert not informer.synced
        assert informer.get("a") is not None


async def test_failures_in_a_row_wait_ever_longer_up_to_a_limit() -> None:
    clock, times = FakeClock(), list[float]()

    class DownSource(ScriptedSource):
        async def list(self, labels: Mapping[str, str] | None = None) -> Listing[Lease]:
            times.append(clock.monotonic())
            raise Uncertain("down")

    async with running(DownSource([], []), clock):
        await clock.advance(60)
    waits = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert waits[0] < 0.3
    assert max(waits) <= LAST_RETRY_SECONDS
    assert len(waits) < 30


async def test_one_name_with_another_uid_is_an_end_and_a_beginning() -> None:
    old, new = lease("a", 1, uid="old", kind="x"), lease("a", 3, uid="new")
    clock, seen = FakeClock(), list[Change[Lease]]()
    source = ScriptedSource([Listing((old,), "1")], [[added(new)]])
    informer = Informer(source, clock, indexed=("kind",))
    informer.on_change(seen.append)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(informer.run())
        await clock.advance(0)
        task.cancel()
    assert seen == [Change(None, old), Change(old, None), Change(None, new)]
    assert informer.by_label("kind", "x") == ()


async def test_a_subscriber_that_fails_harms_nobody_and_one_that_left_hears_nothing(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock, heard = FakeClock(), list[Change[Lease]]()
    source = ScriptedSource([Listing((), "1")], [[added(lease("a", 2))]])
    informer = Informer(source, clock)

    def fail(_: Change[Lease]) -> None:
        raise RuntimeError("subscriber")

    informer.on_change(fail)
    informer.on_change(heard.append)
    leave = informer.on_change(lambda _: pytest.fail("it had left"))
    leave()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(informer.run())
        await clock.advance(0)
        task.cancel()
    assert len(heard) == 1
    assert "a subscriber failed" in caplog.text
