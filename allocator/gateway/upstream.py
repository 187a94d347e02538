"""Connections to WebUIs and to the pages, and the pools that keep them for the next request."""

import asyncio
from pathlib import Path
from typing import Protocol, cast

from allocator.gateway.counters import Counters
from allocator.sessions.api import Route
from runtime.clock import Clock

KEEP_SECONDS = 4.0
"""An idle connection is used again for so long: uvicorn closes its end after 5 s."""
CONNECT_SECONDS = 5.0
MAX_IDLE = 64
"""Idle connections kept to one upstream."""


class Owner(Protocol):
    """What an upstream connection serves now: an exchange, or a WebSocket."""

    def upstream_data(self, data: bytes) -> None: ...

    def upstream_lost(self, error: Exception | None) -> None:
        """The connection is gone; `error` is None when the upstream closed it in order."""
        ...

    def upstream_full(self, *, full: bool) -> None:
        """Whether what was written to it waits to be taken."""
        ...


class UpstreamConnection(asyncio.Protocol):
    """One connection. It has an owner, or lies in its pool."""

    def __init__(self, pool: "Pool") -> None:
        self._pool = pool
        self._paused = False
        self.owner: Owner | None = None
        self.reused = False
        self.idle_since = 0.0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it

    def data_received(self, data: bytes) -> None:
        if self.owner is None:
            self.discard()  # it answers what nobody asked
        else:
            self.owner.upstream_data(data)

    def eof_received(self) -> None:
        """It sends no more, so it is done with, even where it does not take the rest of what is written to it."""
        self.transport.abort()
        self.connection_lost(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._pool.forget(self)
        owner, self.owner = self.owner, None
        if owner is not None:
            owner.upstream_lost(exc)

    def pause_writing(self) -> None:
        if self.owner is not None:
            self.owner.upstream_full(full=True)

    def resume_writing(self) -> None:
        if self.owner is not None:
            self.owner.upstream_full(full=False)

    def read(self, *, paused: bool) -> None:
        """Stop or go on reading what it sends."""
        if paused != self._paused and not self.transport.is_closing():
            self._paused = paused
            if paused:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()

    def release(self) -> None:
        """The owner is done with it and it can be used again."""
        self.owner = None
        self.read(paused=False)
        self._pool.keep(self)

    def discard(self) -> None:
        """Close it now, whatever is under way; the owner hears no more of it."""
        self.owner = None
        self.transport.abort()


class Pool:
    """Connections to one upstream: a WebUI's host and port, or a Unix socket."""

    def __init__(self, address: tuple[str, int] | Path, clock: Clock, counters: Counters) -> None:
        self._address = address
        self._clock = clock
        self._counters = counters
        self._idle: list[UpstreamConnection] = []
        self._closed = False

    def take(self) -> UpstreamConnection | None:
        """The connection that became idle last, if it is fresh enough."""
        while self._idle:
            connection = self._idle.pop()
            if self._fresh(connection):
                connection.reused = True
                return connection
            connection.discard()
        return None

    async def connect(self) -> UpstreamConnection:
        """A new connection. Raises `OSError`; `TimeoutError`, which is one, after `CONNECT_SECONDS`."""
        loop = asyncio.get_running_loop()
        self._counters.upstream_connects += 1
        async with asyncio.timeout(CONNECT_SECONDS):
            if isinstance(self._address, Path):
                _, connection = await loop.create_unix_connection(lambda: UpstreamConnection(self), str(self._address))
            else:
                host, port = self._address
                _, connection = await loop.create_connection(lambda: UpstreamConnection(self), host, port)
        if connection.transport.is_closing():
            raise ConnectionResetError("closed as soon as it was open")  # nobody would hear of it any more
        return connection

    def keep(self, connection: UpstreamConnection) -> None:
        untaken = connection.transport.get_write_buffer_size()  # it answered before it read the whole request
        if self._closed or connection.transport.is_closing() or untaken or len(self._idle) >= MAX_IDLE:
            connection.discard()
            return
        connection.idle_since = self._clock.monotonic()
        self._idle.append(connection)

    def forget(self, connection: UpstreamConnection) -> None:
        if connection in self._idle:
            self._idle.remove(connection)

    def sweep(self) -> None:
        """Close what has been idle for too long."""
        stale = [connection for connection in self._idle if not self._fresh(connection)]
        self._idle = [connection for connection in self._idle if self._fresh(connection)]
        for connection in stale:
            connection.discard()

    def close(self) -> None:
        """Close what is idle, and keep nothing from now on."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            connection.discard()

    def _fresh(self, connection: UpstreamConnection) -> bool:
        return self._clock.monotonic() - connection.idle_since < KEEP_SECONDS and not connection.transport.is_closing()


class Upstreams:
    """The pages' pool, and one for each GameServer that is in use."""

    def __init__(self, app_socket: Path, clock: Clock, counters: Counters) -> None:
        self.app = Pool(app_socket, clock, counters)
        self._clock = clock
        self._counters = counters
        self._by_uid: dict[str, Pool] = {}

    def webui(self, route: Route) -> Pool:
        pool = self._by_uid.get(route.uid)
        if pool is None:
            pool = self._by_uid[route.uid] = Pool((route.host, route.port), self._clock, self._counters)
        return pool

    def end(self, uid: str) -> None:
        """The GameServer is nobody's any more."""
        if pool := self._by_uid.pop(uid, None):
            pool.close()

    def sweep(self) -> None:
        for pool in (self.app, *self._by_uid.values()):
            pool.sweep()

    def close(self) -> None:
        for pool in (self.app, *self._by_uid.values()):
            pool.close()
