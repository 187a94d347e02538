"""The store: what holds for every history, and what it forgets."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.base import Event, EventType, Expired, FleetError, Lease
from fleet.local.store import Store, Versions
from tests.fake_clock import FakeClock

NAMES = st.sampled_from(["a", "b", "c"])
STEPS = st.lists(st.tuples(st.sampled_from(["create", "update", "stale", "delete"]), NAMES), max_size=40)


def store(history: int = 1000) -> Store[Lease]:
    return Store(Versions(), FakeClock(), history=history)


def act(leases: Store[Lease], step: str, name: str) -> None:
    known = leases.find(name) or Lease(name, uid="none", resource_version="0")
    match step:
        case "create":
            leases.create(Lease(name))
        case "update":
            leases.update(replace(known, holder=known.holder + "x"))
        case "stale":
            leases.update(replace(known, resource_version="0"))
        case "delete":
            leases.remove(name, known.uid, known.resource_version)


def replay(items: tuple[Lease, ...], events: tuple[Event[Lease], ...]) -> dict[str, Lease]:
    state = {item.name: item for item in items}
    for event in events:
        assert event.object is not None
        if event.type is EventType.DELETED:
            del state[event.object.name]
        else:
            assert (event.object.name in state) == (event.type is EventType.MODIFIED)
            state[event.object.name] = event.object
    return state


@settings(deadline=None)
@given(before=STEPS, after=STEPS)
def test_a_list_and_the_events_after_it_make_the_next_list(before: list[tuple[str, str]], after: list[tuple[str, str]]) -> None:
    leases = store()
    versions = []
    for number, (step, name) in enumerate(before + after):
        if number == len(before):
            versions.append(leases.list())
        unchanged = leases.list()
        try:
            act(leases, step, name)
        except FleetError:
            assert leases.list() == unchanged
        else:
            assert int(leases.list().resource_version) == int(unchanged.resource_version) + 1
    for listing in versions:
        events = leases.since(int(listing.resource_version))
        assert replay(listing.items, events) == {item.name: item for item in leases.list().items}


@settings(deadline=None)
@given(steps=STEPS, history=st.integers(1, 10))
def test_a_version_is_either_complete_or_expired(steps: list[tuple[str, str]], history: int) -> None:
    leases, listings = store(history), []
    for step, name in steps:
        listings.append(leases.list())
        try:
            act(leases, step, name)
        except FleetError:
            continue
    for listing in listings:
        try:
            events = leases.since(int(listing.resource_version))
        except Expired:
            assert leases.version - int(listing.resource_version) > history
        else:
            assert replay(listing.items, events) == {item.name: item for item in leases.list().items}


def test_a_version_from_the_future_has_expired_too() -> None:
    with pytest.raises(Expired):
        store().since(1000)


def test_uids_are_never_used_twice() -> None:
    leases, uids = store(), set()
    for _ in range(50):
        lease = leases.create(Lease("a"))
        uids.add(lease.uid)
        leases.remove("a", lease.uid, lease.resource_version)
    assert len(uids) == 50


def test_a_change_that_changes_nothing_is_no_event() -> None:
    leases = store()
    lease = leases.create(Lease("a"))
    assert leases.change(lease.uid, "a", lambda item: item) == lease
    assert leases.version == int(lease.resource_version)


def test_a_change_of_an_earlier_object_of_that_name_does_nothing() -> None:
    leases = store()
    leases.create(Lease("a"))
    assert leases.change("an earlier uid", "a", lambda item: replace(item, holder="x")) is None
    assert leases.get("a").holder == ""


async def test_a_watcher_that_is_too_slow_is_told_so_instead_of_missing_something() -> None:
    leases = store(history=3)
    watch = leases.watch(leases.version, bookmark_seconds=10)
    leases.create(Lease("first"))
    assert (await anext(watch)).type is EventType.ADDED
    for number in range(5):
        leases.create(Lease(str(number)))
    with pytest.raises(Expired):
        await anext(watch)


async def test_kinds_share_one_counter_and_bookmarks_tell_it() -> None:
    versions, clock = Versions(), FakeClock()
    ours: Store[Lease] = Store(versions, clock)
    other: Store[Lease] = Store(versions, clock)
    watch = ours.watch(ours.version, bookmark_seconds=0.01)
    other.create(Lease("elsewhere"))
    async with asyncio.timeout(5):
        bookmark = await anext(watch)
    await watch.aclose()
    assert bookmark == Event(EventType.BOOKMARK, str(other.version))
