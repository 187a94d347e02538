"""An in-memory object store with Kubernetes' semantics: what a kube-apiserver and its etcd are to a cluster.

All calls are synchronous and run on one event loop, so each is atomic.
"""

import asyncio
import uuid
from collections import deque
from collections.abc import AsyncGenerator, Callable, Mapping
from dataclasses import replace
from typing import Generic, TypeVar

from fleet.base import AlreadyExists, Conflict, Event, EventType, Expired, GameServer, Lease, Listing, NotFound
from runtime.clock import Clock

HISTORY = 2000
"""So many changes are kept for watches to resume from."""

T = TypeVar("T", GameServer, Lease)


class Versions:
    """The resourceVersion counter: one for all stores, as etcd's revision is one for all kinds."""

    def __init__(self, start: int = 1) -> None:
        self.current = start

    def next(self) -> int:
        self.current += 1
        return self.current


class Store(Generic[T]):
    """Objects of one kind, by name. `items` are those that an earlier store left behind, as they were."""

    def __init__(self, versions: Versions, clock: Clock, *, items: tuple[T, ...] = (), history: int = HISTORY) -> None:
        self._versions = versions
        self._clock = clock
        self._items: dict[str, T] = {item.name: item for item in items}
        self._history: deque[tuple[int, Event[T]]] = deque()
        self._history_size = history
        self._floor = versions.current
        self._changed = asyncio.Event()

    @property
    def version(self) -> int:
        """The store is complete as of this resourceVersion."""
        return self._versions.current

    def list(self, labels: Mapping[str, str] | None = None) -> Listing[T]:
        wanted = (labels or {}).items()
        items = tuple(item for item in self._items.values() if wanted <= item.labels.items())
        return Listing(items, str(self.version))

    def find(self, name: str) -> T | None:
        return self._items.get(name)

    def get(self, name: str) -> T:
        """Raises `NotFound`."""
        if (item := self._items.get(name)) is None:
            raise NotFound(f"{name} not found")
        return item

    def create(self, item: T) -> T:
        """Give it a uid and a resourceVersion. Raises `AlreadyExists`."""
        if item.name in self._items:
            raise AlreadyExists(f"{item.name} already exists")
        return self._put(EventType.ADDED, replace(item, uid=str(uuid.uuid4()), created_at=self._clock.time()))

    def update(self, item: T) -> T:
        """Compare and swap: replace what is at the item's uid and resourceVersion. Raises `Conflict`, `NotFound`."""
        old = self._expect(item.name, item.uid, item.resource_version)
        return self._put(EventType.MODIFIED, replace(item, created_at=old.created_at))

    def change(self, uid: str, name: str, make: Callable[[T], T]) -> T | None:
        """Read, make and write in one step; nothing is written when `make` changes nothing. None: it is gone."""
        old = self._items.get(name)
        if old is None or old.uid != uid:
            return None
        new = make(old)
        return old if new == old else self._put(EventType.MODIFIED, replace(new, resource_version=old.resource_version))

    def check(self, name: str, uid: str, resource_version: str | None) -> T:
        """What is there, if the preconditions hold; None is any version. Raises `Conflict`, `NotFound`."""
        return self._expect(name, uid, resource_version)

    def remove(self, name: str, uid: str, resource_version: str | None) -> T:
        """Delete it, if the preconditions hold; None is any version. Raises `Conflict`, `NotFound`."""
        self._expect(name, uid, resource_version)
        return self._put(EventType.DELETED, self._items[name])

    async def changed(self, beyond: int) -> None:
        """Return once something was written after the resourceVersion `beyond`."""
        while not self._history or self._history[-1][0] <= beyond:
            await self._changed.wait()

    def since(self, version: int) -> tuple[Event[T], ...]:
        """All changes after `version`. Raises `Expired` when they are no longer kept, or never were."""
        if not self._floor <= version <= self.version:
            raise Expired(f"resourceVersion {version} is not between {self._floor} and {self.version}")
        newer: list[Event[T]] = []
        for at, event in reversed(self._history):
            if at <= version:
                break
            newer.append(event)
        return tuple(reversed(newer))

    async def watch(self, version: int, *, bookmark_seconds: float) -> AsyncGenerator[Event[T], None]:
        """Changes after `version`, and a bookmark whenever `bookmark_seconds` passed without one. Raises `Expired`."""
        while True:
            events, version = self.since(version), self.version
            for event in events:
                yield event
            try:
                async with asyncio.timeout(bookmark_seconds):
                    await self.changed(version)
            except TimeoutError:
                if not self.since(version):
                    version = self.version
                    yield Event(EventType.BOOKMARK, str(version))

    def _expect(self, name: str, uid: str, resource_version: str | None) -> T:
        item = self.get(name)
        if item.uid != uid:
            raise Conflict(f"{name} has uid {item.uid}, not {uid}")
        if resource_version is not None and item.resource_version != resource_version:
            raise Conflict(f"{name} is at resourceVersion {item.resource_version}, not {resource_version}")
        return item

    def _put(self, kind: EventType, item: T) -> T:
        version = self._versions.next()
        item = replace(item, resource_version=str(version))
        if kind is EventType.DELETED:
            del self._items[item.name]
        else:
            self._items[item.name] = item
        self._history.append((version, Event(kind, str(version), item)))
        while len(self._history) > self._history_size:
            self._floor, _ = self._history.popleft()
        self._changed.set()
        self._changed = asyncio.Event()
        return item
