"""A cluster in memory whose replies can be lost, late or refused: `Fleet`, `LeaseStore` and the pods behind them.

The store is the local edition's own, with Kubernetes' semantics. Each replica reaches it over a `Link`, which is where
things go wrong: one that is not told to fail does not fail. All time is the clock's that is passed in.
"""

import asyncio
import contextlib
import json
import random
from collections import defaultdict, deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import replace
from enum import Enum
from typing import Generic, TypeVar

from fleet.base import (
    USER_INIT_PORT,
    WEBUI_PORT,
    Allocation,
    AllocationRequest,
    AllocationState,
    Conflict,
    Event,
    EventType,
    FleetError,
    GameServer,
    Lease,
    Listing,
    Uncertain,
)
from fleet.local.allocation import allocate
from fleet.local.store import Store, Versions
from runtime.clock import Clock
from runtime.http import HttpError, Reply
from runtime.names import BUSY_ANNOTATION, NONCE_ANNOTATION, GameServerState

T = TypeVar("T", GameServer, Lease)
R = TypeVar("R")
BOOKMARK_SECONDS = 10.0
LATE_SECONDS = 3.0


class Fault(Enum):
    LOST_REPLY = "it happened, and nobody was told"
    SLOW_REPLY = "it happened, and whoever asked is the last to hear of it"
    TIMEOUT = "it never arrived"
    CONFLICT = "somebody else was faster"
    CONTENTION = "the allocator asks to try again"
    LATE = "it happens after its caller gave up"


class Link:
    """One replica's way to the store. `away` fails every call, `chaos` some of them (repeatable by its seed)."""

    def __init__(self, clock: Clock, group: asyncio.TaskGroup) -> None:
        self.away = False
        self.chaos: random.Random | None = None
        self.calls: list[str] = []
        self._clock = clock
        self._group = group
        self._faults: defaultdict[str, deque[Fault]] = defaultdict(deque)

    def fail(self, operation: str, *faults: Fault) -> None:
        """The next calls of that operation (`allocate`, `create`, `update`, `delete`, `get`, `list`) fail so."""
        self._faults[operation].extend(faults)

    async def carry(self, operation: str, act: Callable[[], R]) -> R:
        self.calls.append(operation)
        await asyncio.sleep(0)
        fault = self._faults[operation].popleft() if self._faults[operation] else None
        if chaos := self.chaos:
            await self._clock.sleep(chaos.choice([0.0, 0.0, 0.05, 0.3]))
            if fault is None and chaos.random() < 0.15:
                fault = chaos.choice(_CHAOS[operation == "allocate"])
        if self.away or fault is Fault.TIMEOUT:
            raise Uncertain(f"{operation}: no answer")
        if fault is Fault.CONFLICT and operation in ("update", "delete"):
            raise Conflict(f"{operation}: somebody else was faster")
        if fault is Fault.LATE:
            self._group.create_task(self._later(act))
            raise Uncertain(f"{operation}: no answer")
        result = act()
        if fault is Fault.SLOW_REPLY:
            await self._clock.sleep(LATE_SECONDS)
        if fault is Fault.LOST_REPLY:
            raise Uncertain(f"{operation}: the reply was lost")
        if self.away:
            raise Uncertain(f"{operation}: cut off")
        return result

    def contended(self) -> bool:
        faults = self._faults["allocate"]
        if faults and faults[0] is Fault.CONTENTION:
            faults.popleft()
            return True
        return False

    async def _later(self, act: Callable[[], object]) -> None:
        await self._clock.sleep(LATE_SECONDS)
        with contextlib.suppress(FleetError):
            act()


_CHAOS = {True: [Fault.LOST_REPLY, Fault.TIMEOUT, Fault.LATE], False: [Fault.LOST_REPLY, Fault.TIMEOUT, Fault.CONFLICT]}


class _Client(Generic[T]):
    """List and watch over a link."""

    def __init__(self, store: Store[T], link: Link, clock: Clock) -> None:
        self._store: Store[T] = store
        self._link = link
        self._clock = clock

    async def list(self, labels: Mapping[str, str] | None = None) -> Listing[T]:
        return await self._link.carry("list", lambda: self._store.list(labels))

    async def watch(self, resource_version: str) -> AsyncIterator[Event[T]]:
        version = int(resource_version)
        while True:
            await _until(self._store.changed(version), self._clock, BOOKMARK_SECONDS)
            if self._link.away or (self._link.chaos and self._link.chaos.random() < 0.01):
                raise Uncertain("watch: cut off")
            events, version = self._store.since(version), self._store.version
            for event in events:
                yield event
            if not events:
                yield Event(EventType.BOOKMARK, str(version))


class FleetClient(_Client[GameServer]):
    """Keeps `fleet.base.Fleet`."""

    async def allocate(self, request: AllocationRequest) -> Allocation:
        if self._link.contended():
            return Allocation(AllocationState.CONTENTION)
        return await self._link.carry("allocate", lambda: allocate(self._store, request, self._clock.time()))

    async def annotate(self, gameserver: GameServer, annotations: Mapping[str, str]) -> GameServer:
        annotated = replace(gameserver, annotations={**gameserver.annotations, **annotations})
        return await self._link.carry("update", lambda: self._store.update(annotated))

    async def delete(self, gameserver: GameServer, *, any_version: bool = False) -> None:
        version = None if any_version else gameserver.resource_version
        await self._link.carry("delete", lambda: self._store.remove(gameserver.name, gameserver.uid, version))


class LeaseClient(_Client[Lease]):
    """Keeps `fleet.base.LeaseStore`."""

    async def get(self, name: str) -> Lease:
        return await self._link.carry("get", lambda: self._store.get(name))

    async def create(self, lease: Lease) -> Lease:
        return await self._link.carry("create", lambda: self._store.create(lease))

    async def update(self, lease: Lease) -> Lease:
        return await self._link.carry("update", lambda: self._store.update(lease))

    async def delete(self, lease: Lease) -> None:
        await self._link.carry("delete", lambda: self._store.remove(lease.name, lease.uid, lease.resource_version))


class Cluster:
    """The stores, the Fleet's servers and what runs in them.

    A GameServer's pod prepares folders and serves at once; `slow`, `dead` and `liars` (by server name) do not.
    """

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        versions = Versions()
        self.servers: Store[GameServer] = Store(versions, clock, history=100_000)
        self.leases: Store[Lease] = Store(versions, clock, history=100_000)
        self.slow: set[str] = set()
        """Their user_init has not prepared anything yet."""
        self.dead: set[str] = set()
        """Their WebUI does not answer."""
        self.liars: set[str] = set()
        """Their user_init names another nonce."""
        self.working: set[str] = set()
        """Their WebUI says that it is busy, whatever the sidecar says."""
        self._count = 0

    def add(self, fleet: str, count: int = 1, state: GameServerState = GameServerState.READY) -> list[GameServer]:
        return [self._add(fleet, state) for _ in range(count)]

    def set_state(self, name: str, state: GameServerState) -> None:
        self.servers.update(replace(self.servers.get(name), state=state))

    def say_busy(self, name: str, state: str) -> None:
        """What the sidecar writes."""
        server = self.servers.get(name)
        report = json.dumps({"state": state, "since": self.clock.time(), "job": "", "answering": state != "unknown"})
        self.servers.update(replace(server, annotations={**server.annotations, BUSY_ANNOTATION: report}))

    def remove(self, name: str) -> None:
        server = self.servers.get(name)
        self.servers.remove(name, server.uid, None)

    def mark_deleting(self, name: str) -> None:
        """It has a deletionTimestamp, and a finalizer until its pod is gone."""
        self.servers.update(replace(self.servers.get(name), deleting=True))

    async def call(self, host: str, port: int, method: str, path: str, *, payload: object = None, timeout: float) -> Reply:
        """What the pods answer; stands for `runtime.http.call`."""
        await asyncio.sleep(0)
        server = next((item for item in self.servers.list().items if port in item.ports.values()), None)
        if server is None or server.name in self.dead:
            raise HttpError(f"{method} {path}: refused")
        if port == server.ports[WEBUI_PORT]:
            job = "txt2img" if server.name in self.working else ""
            state = {"job": job, "job_count": 1 if job else 0, "job_no": 0}
            return Reply(200, json.dumps({"progress": 0.0, "eta_relative": 0.0, "state": state}).encode())
        nonce = server.annotations.get(NONCE_ANNOTATION, "")
        if server.name in self.slow:
            await self.clock.sleep(timeout)
            return Reply(504, b'{"state": "waiting"}')
        if server.name in self.liars:
            nonce = "forged"
        elif path != f"/prepared?nonce={nonce}":
            return Reply(409, b"{}")
        return Reply(200, json.dumps({"nonce": nonce, "state": "prepared", "steps": []}).encode())

    def _add(self, fleet: str, state: GameServerState) -> GameServer:
        self._count += 1
        ports = {WEBUI_PORT: 10000 + self._count, USER_INIT_PORT: 20000 + self._count}
        server = GameServer(f"{fleet}-{self._count}", "", "", fleet, state, 0.0, address="127.0.0.1", ports=ports)
        return self.servers.create(server)


async def _until(act: Awaitable[None], clock: Clock, seconds: float) -> None:
    """Wait for `act`, for so many of the clock's seconds at most."""

    async def run() -> None:
        await act

    async with asyncio.TaskGroup() as group:
        tasks = {group.create_task(run()), group.create_task(clock.sleep(seconds))}
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
