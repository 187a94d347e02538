"""A cache of one kind of object, kept up by list and watch: what client-go calls an informer.

It survives a watch that ends, fails, has expired, or dies in silence, and says itself whether it can be believed.
"""

import asyncio
import logging
import random
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Never, Protocol

from fleet.base import Event, EventType, Expired, FleetError, Listing, T
from runtime.clock import Clock

log = logging.getLogger(__name__)
STALL_SECONDS = 20.0
FIRST_RETRY_SECONDS = 0.2
LAST_RETRY_SECONDS = 5.0


class Source(Protocol[T]):
    """The half of `Fleet` and `LeaseStore` that an informer uses."""

    async def list(self, labels: Mapping[str, str] | None = None) -> Listing[T]: ...

    def watch(self, resource_version: str) -> AsyncIterator[Event[T]]: ...


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    """One object changed: `old` is None for a new one, `new` for one that is gone. Never two uids in one change."""

    old: T | None
    new: T | None


class _End(Enum):
    """How a watch ended, and so how to go on."""

    ENDED = "ended"
    FAILED = "failed"
    EXPIRED = "expired"
    SILENT = "silent"


class Informer(Generic[T]):
    """`run` keeps it up; everything else reads memory.

    `indexed` names the labels for `by_label`. A watch without a sign of life for `stall_seconds` is given up.
    """

    def __init__(
        self,
        source: Source[T],
        clock: Clock,
        *,
        indexed: tuple[str, ...] = (),
        stall_seconds: float = STALL_SECONDS,
        jitter: Callable[[], float] = random.random,
    ) -> None:
        self._source = source
        self._clock = clock
        self._stall_seconds = stall_seconds
        self._jitter = jitter
        self._items: dict[str, T] = {}
        self._index: dict[str, dict[str, dict[str, T]]] = {label: {} for label in indexed}
        self._callbacks: list[Callable[[Change[T]], None]] = []
        self._version = ""
        self._heard: float | None = None
        self._first_list = asyncio.Event()
        self._failures = 0

    @property
    def synced(self) -> bool:
        """It has listed, and heard from the store within twice `stall_seconds`: what it lacks is not there."""
        return self._heard is not None and self._clock.monotonic() - self._heard <= 2 * self._stall_seconds

    async def wait_synced(self) -> None:
        """Return after the first list."""
        await self._first_list.wait()

    def get(self, name: str) -> T | None:
        return self._items.get(name)

    def items(self) -> tuple[T, ...]:
        return tuple(self._items.values())

    def by_label(self, label: str, value: str) -> tuple[T, ...]:
        """All that carry it. Raises `KeyError` for a label that was not named in `indexed`."""
        return tuple(self._index[label].get(value, {}).values())

    def on_change(self, callback: Callable[[Change[T]], None]) -> Callable[[], None]:
        """Call `callback` after each change, once the cache has it. Returns what ends that."""
        self._callbacks.append(callback)
        return lambda: self._callbacks.remove(callback)

    async def run(self) -> Never:
        """List and watch, until cancelled."""
        while True:
            await self._list()
            end = _End.ENDED
            while end in (_End.ENDED, _End.FAILED):
                end = await self._watch()
                await self._pause()

    async def _list(self) -> None:
        while (listing := await self._try_list()) is None:
            await self._pause()
        listed = {item.name: item for item in listing.items}
        for name in self._items.keys() - listed.keys():
            self._set(name, None)
        for name, item in listed.items():
            self._set(name, item)
        self._hear(listing.resource_version)
        self._first_list.set()

    async def _try_list(self) -> Listing[T] | None:
        try:
            return await self._source.list()
        except FleetError as error:
            log.warning("list failed: %s", error)
            return None

    async def _watch(self) -> _End:
        """One watch, from where the last one was, until it ends or says nothing for too long."""
        async with asyncio.TaskGroup() as group:
            reader = group.create_task(self._read())
            watchdog = group.create_task(self._watchdog(self._clock.monotonic()))
            await asyncio.wait({reader, watchdog}, return_when=asyncio.FIRST_COMPLETED)
            reader.cancel()
            watchdog.cancel()
        return _End.SILENT if reader.cancelled() else reader.result()

    async def _read(self) -> _End:
        events = self._source.watch(self._version)
        try:
            async for event in events:
                self._apply(event)
        except Expired:
            return _End.EXPIRED
        except FleetError as error:
            log.warning("watch failed: %s", error)
            return _End.FAILED
        finally:
            if isinstance(events, AsyncGenerator):
                await events.aclose()
        return _End.ENDED

    async def _watchdog(self, began: float) -> None:
        while (quiet := self._clock.monotonic() - max(began, self._heard or began)) < self._stall_seconds:
            await self._clock.sleep(self._stall_seconds - quiet)
        log.warning("watch heard nothing for %g s", quiet)

    async def _pause(self) -> None:
        """Exponential, with full jitter above half: many replicas must not come back in step."""
        longest = min(LAST_RETRY_SECONDS, FIRST_RETRY_SECONDS * 2 ** min(self._failures, 16))
        self._failures += 1
        await self._clock.sleep(longest * (0.5 + 0.5 * self._jitter()))

    def _apply(self, event: Event[T]) -> None:
        if event.object is not None:
            gone = event.type is EventType.DELETED
            self._set(event.object.name, None if gone else event.object)
        self._hear(event.resource_version)

    def _hear(self, version: str) -> None:
        self._version = version
        self._heard = self._clock.monotonic()
        self._failures = 0

    def _set(self, name: str, new: T | None) -> None:
        old = self._items.get(name)
        if old is None and new is None:
            return
        if old is not None and new is not None:
            if old.resource_version == new.resource_version and old.uid == new.uid:
                return
            if old.uid != new.uid:
                self._set(name, None)
                old = None
        if old is not None:
            self._unindex(old)
        if new is None:
            del self._items[name]
        else:
            self._items[name] = new
            for label, values in self._index.items():
                if (value := new.labels.get(label)) is not None:
                    values.setdefault(value, {})[name] = new
        self._tell(Change(old, new))

    def _unindex(self, old: T) -> None:
        for label, values in self._index.items():
            value = old.labels.get(label)
            if value is not None and value in values:
                values[value].pop(old.name, None)
                if not values[value]:
                    del values[value]

    def _tell(self, change: Change[T]) -> None:
        for callback in tuple(self._callbacks):
            try:
                callback(change)
            except Exception:
                log.exception("a subscriber failed; the cache goes on")
