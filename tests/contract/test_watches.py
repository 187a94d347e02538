"""Watches: no gap after a list, resumption, expiry, signs of life."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TypeVar

import pytest

from fleet.base import Event, EventType, Expired, GameServer, Lease
from tests.contract.backend import Backend

T = TypeVar("T", GameServer, Lease)


@asynccontextmanager
async def changes(events: AsyncIterator[Event[T]]) -> AsyncIterator[AsyncGenerator[Event[T], None]]:
    """The events without bookmarks; closed at the end, and never waited for without a limit."""

    async def only() -> AsyncGenerator[Event[T], None]:
        async for event in events:
            if event.type is not EventType.BOOKMARK:
                yield event

    try:
        async with asyncio.timeout(20):
            yield only()
    finally:
        if isinstance(events, AsyncGenerator):
            await events.aclose()


async def test_a_watch_from_a_list_misses_nothing(backend: Backend) -> None:
    leases = backend.stores.leases
    await leases.create(Lease("before"))
    listing = await leases.list()
    created = await leases.create(Lease("alice"))
    updated = await leases.update(replace(created, holder="a"))
    await leases.delete(updated)
    async with changes(leases.watch(listing.resource_version)) as events:
        first, second, third = [await anext(events) for _ in range(3)]
    assert (first.type, first.object) == (EventType.ADDED, created)
    assert (second.type, second.object) == (EventType.MODIFIED, updated)
    assert third.type is EventType.DELETED
    assert third.object is not None
    assert third.object.uid == created.uid


async def test_a_watch_resumes_after_the_last_event_that_was_seen(backend: Backend) -> None:
    leases = backend.stores.leases
    listing = await leases.list()
    names = [f"user-{number}" for number in range(5)]
    for name in names:
        await leases.create(Lease(name))
    async with changes(leases.watch(listing.resource_version)) as events:
        seen = [await anext(events) for _ in range(2)]
    async with changes(leases.watch(seen[-1].resource_version)) as events:
        seen += [await anext(events) for _ in range(3)]
    assert [event.object.name for event in seen if event.object is not None] == names


async def test_a_watch_hears_of_what_happens_while_it_runs(backend: Backend) -> None:
    listing = await backend.stores.fleet.list()
    async with changes(backend.stores.fleet.watch(listing.resource_version)) as events, asyncio.TaskGroup() as group:
        first = group.create_task(anext(events))
        gameserver = await backend.gameserver("easel")
        assert (await first).object == gameserver


async def test_a_version_that_is_no_longer_kept_has_expired(backend: Backend) -> None:
    old = (await backend.stores.leases.list()).resource_version
    await backend.forget_history()
    with pytest.raises(Expired):
        async with changes(backend.stores.leases.watch(old)) as leases:
            await anext(leases)
    with pytest.raises(Expired):
        async with changes(backend.stores.fleet.watch(old)) as gameservers:
            await anext(gameservers)
    listing = await backend.stores.leases.list()
    created = await backend.stores.leases.create(Lease("alice"))
    async with changes(backend.stores.leases.watch(listing.resource_version)) as events:
        assert (await anext(events)).object == created


async def test_a_quiet_watch_sends_bookmarks_from_which_one_resumes(backend: Backend) -> None:
    leases = backend.stores.leases
    listing = await leases.list()
    await backend.gameserver("easel")  # a change of another kind moves the version, and the bookmark with it
    events = leases.watch(listing.resource_version)
    async with asyncio.timeout(20 * backend.bookmark_seconds + 5):
        event = await anext(events)
    assert isinstance(events, AsyncGenerator)
    await events.aclose()
    assert event.type is EventType.BOOKMARK
    assert event.object is None
    created = await leases.create(Lease("alice"))
    async with changes(leases.watch(event.resource_version)) as resumed:
        assert (await anext(resumed)).object == created
