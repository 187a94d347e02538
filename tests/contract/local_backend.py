"""`fleet.local`: its store and its server, reached through its socket by its client."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from fleet.base import GameServer, Lease
from fleet.local import client, server
from fleet.local.scaling import moved
from fleet.local.store import Store, Versions
from runtime.clock import SystemClock
from runtime.names import GameServerState
from tests.contract.backend import Stores

_HISTORY = 100
Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class LocalTestBackend:
    """Implements `tests.contract.backend.Backend`."""

    bookmark_seconds = 0.05

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        clock, versions = SystemClock(), Versions()
        self._gameservers: Store[GameServer] = Store(versions, clock, history=_HISTORY)
        self._leases: Store[Lease] = Store(versions, clock, history=_HISTORY)
        self._app = server.application(self._gameservers, self._leases, clock, bookmark_seconds=self.bookmark_seconds)
        self._made = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator["LocalTestBackend"]:
        async with server.serve(self._folder / "s", self._app), _stores(self._folder / "s") as self.stores:
            yield self

    async def gameserver(self, fleet: str, state: GameServerState = GameServerState.READY) -> GameServer:
        self._made += 1
        new = GameServer(f"{fleet}-{self._made}", "", "", fleet, state, 0.0, labels={"agones.dev/fleet": fleet})
        return self._gameservers.create(new)

    async def sdk_ready(self, gameserver: GameServer) -> GameServer:
        ready = self._gameservers.change(gameserver.uid, gameserver.name, lambda item: moved(item, GameServerState.READY))
        assert ready is not None
        return ready

    async def finish_deletion(self, gameserver: GameServer) -> None:
        self._gameservers.remove(gameserver.name, gameserver.uid, None)

    async def forget_history(self) -> None:
        lease = self._leases.create(Lease("churn"))
        gameserver = await self.gameserver("churn")
        for number in range(2 * _HISTORY):
            churn = {"n": str(number)}
            lease = self._leases.update(replace(lease, annotations=churn))
            gameserver = self._gameservers.update(replace(gameserver, annotations=churn))
        self._leases.remove(lease.name, lease.uid, None)
        self._gameservers.remove(gameserver.name, gameserver.uid, None)

    @asynccontextmanager
    async def losing_replies(self) -> AsyncIterator[Stores]:
        async def forward(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            up_reader, up_writer = await asyncio.open_unix_connection(self._folder / "s")
            head = await reader.readuntil(b"\r\n\r\n")
            length = next(int(line[15:]) for line in head.split(b"\r\n") if line.lower().startswith(b"content-length:"))
            up_writer.write(head + await reader.readexactly(length))
            await up_reader.readuntil(b"\r\n\r\n")  # it is carried out by now
            up_writer.close()
            writer.close()

        async with self._stand_in(forward, 5.0) as stores:
            yield stores

    @asynccontextmanager
    async def hanging(self) -> AsyncIterator[Stores]:
        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()
            writer.close()

        async with self._stand_in(swallow, 0.1) as stores:
            yield stores

    @asynccontextmanager
    async def unreachable(self) -> AsyncIterator[Stores]:
        async with _stores(self._folder / "nobody") as stores:
            yield stores

    @asynccontextmanager
    async def _stand_in(self, handler: Handler, seconds: float) -> AsyncIterator[Stores]:
        async with AsyncExitStack() as stack:
            listener = await asyncio.start_unix_server(handler, self._folder / "p")
            stack.push_async_callback(listener.wait_closed)
            stack.callback(listener.close)
            yield await stack.enter_async_context(_stores(self._folder / "p", seconds))


@asynccontextmanager
async def _stores(socket: Path, seconds: float = 5.0) -> AsyncIterator[Stores]:
    async with client.connect(socket, call_seconds=seconds, silence_seconds=seconds) as backend:
        yield Stores(backend.fleet, backend.leases)
