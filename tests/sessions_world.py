"""Replicas of the session service over one cluster in memory, under a clock that a test moves."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from allocator.identity.base import User
from allocator.sessions.context import Timing
from allocator.sessions.lease import SESSION_KIND, decode
from allocator.sessions.model import Session, SessionState
from allocator.sessions.service import SessionService
from allocator.settings import Profile, Settings
from fleet.base import GameServer
from runtime.names import USER_LABEL, GameServerState
from tests.fake_clock import FakeClock
from tests.fake_fleet import Cluster, FleetClient, LeaseClient, Link

FLEET = "easel"
T = TypeVar("T")


def user(number: int | str) -> User:
    return User("dev", f"artist{number}", f"artist{number}@example.org", f"u{number}")


def settings(**profile: Any) -> Settings:
    values: dict[str, Any] = {"name": FLEET, "size": 100, "warm": 0, "idle_timeout": 300.0, "warning": 60.0, **profile}
    return Settings(profiles=(Profile(**values),))


@dataclass
class Replica:
    service: SessionService
    link: Link
    stop: Callable[[], None]
    kill: Callable[[], None]


@dataclass
class World:
    clock: FakeClock
    cluster: Cluster
    group: asyncio.TaskGroup
    settings: Settings
    timing: Timing = field(default_factory=Timing)
    replicas: list[Replica] = field(default_factory=list)

    async def replica(self, name: str = "") -> Replica:
        """One more allocator process, running and ready."""
        link = Link(self.clock, self.group)
        service = SessionService(
            self.settings,
            FleetClient(self.cluster.servers, link, self.clock),
            LeaseClient(self.cluster.leases, link, self.clock),
            self.clock,
            name or f"replica-{len(self.replicas)}",
            call=self.cluster.call,
            timing=self.timing,
        )
        task = self.group.create_task(service.run())

        def kill() -> None:
            link.away = True
            task.cancel()

        def stop() -> None:
            task.cancel()

        replica = Replica(service, link, stop, kill)
        self.replicas.append(replica)
        await self.until(lambda: service.ready)
        return replica

    async def done(self, act: Coroutine[Any, Any, T]) -> T:
        """What `act` returns, letting time pass while it waits for it."""
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            try:
                future.set_result(await act)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the caller's
                future.set_exception(error)

        self.group.create_task(run())
        await self.until(future.done)
        return future.result()

    async def until(self, reached: Callable[[], bool], within: float = 60.0, step: float = 0.25) -> None:
        """Let time pass until it is so; it must be within so many of the clock's seconds."""
        end = self.clock.monotonic() + within
        await self.clock.advance(0)
        while not reached():
            assert self.clock.monotonic() < end, f"not within {within} s: {self.states()}"
            await self.clock.advance(step)

    def session(self, key: str) -> Session | None:
        """As the store has it."""
        lease = self.cluster.leases.find(key)
        return decode(lease) if lease else None

    def state(self, key: str) -> SessionState:
        session = self.session(key)
        return session.state if session else SessionState.NONE

    def states(self) -> dict[str, str]:
        return {lease.name: decode(lease).state.value for lease in self.cluster.leases.list(SESSION_KIND).items}

    def count(self, state: SessionState) -> int:
        return list(self.states().values()).count(state.value)

    def allocated(self, key: str) -> list[GameServer]:
        servers = self.cluster.servers.list({USER_LABEL: key}).items
        return [server for server in servers if server.state is GameServerState.ALLOCATED and not server.deleting]

    def server_of(self, key: str) -> str:
        session = self.session(key)
        assert session is not None
        assert session.current is not None
        return session.current.name


@asynccontextmanager
async def world(timing: Timing | None = None, **profile: Any) -> AsyncIterator[World]:
    clock = FakeClock()
    async with asyncio.TaskGroup() as group:
        made = World(clock, Cluster(clock), group, settings(**profile), timing or Timing())
        yield made
        for replica in made.replicas:
            replica.kill()
