"""The gateway: its listeners, its clock's ticks, its start and its end."""

import asyncio
import errno
import resource
from collections.abc import Sequence
from pathlib import Path

from allocator.gateway.client import ClientConnection
from allocator.gateway.context import Context, Timeouts
from allocator.gateway.counters import Counters
from allocator.gateway.splice import CLOSE_SECONDS
from allocator.gateway.upstream import Upstreams
from allocator.gateway.websocket import GOING_AWAY, SERVICE_RESTART
from allocator.identity.base import Verifier
from allocator.sessions.api import Routes
from runtime.clock import Clock
from runtime.errors import UserError

TICK_SECONDS = 1.0
"""How often deadlines are looked at: one timer for all connections costs less than one each."""
BACKLOG = 1024
LEAST_DESCRIPTORS = 1024
"""A user's page holds up to eight connections, and each may have one of ours behind it."""
_NO_SUCH_FAMILY = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})


class Gateway:
    """Carries browsers' requests to WebUIs, and those for `/_atelier/` to the pages on `app_socket`.

    Works on uvloop, for speed, and on asyncio's own loops.
    """

    def __init__(
        self, verifier: Verifier, routes: Routes, app_socket: Path, clock: Clock, timeouts: Timeouts | None = None
    ) -> None:
        self.counters = Counters()
        upstreams = Upstreams(app_socket, clock, self.counters)
        self._context = Context(verifier, routes, upstreams, clock, self.counters, timeouts or Timeouts())
        self._clients: set[ClientConnection] = set()
        self._listeners: list[asyncio.Server] = []
        self._ticker: asyncio.Task[None] | None = None
        self._empty = asyncio.Event()
        routes.on_end(self._session_ended)

    async def start(self, hosts: Sequence[str], port: int) -> tuple[tuple[str, int], ...]:
        """Listen on each of `hosts`, all on one port (0: any), and return the addresses.

        A host whose family this machine lacks is left out, unless it is the only one. Raises `UserError`.
        """
        _raise_descriptor_limit()
        bound: list[tuple[str, int]] = []
        refused: OSError | None = None
        loop = asyncio.get_running_loop()
        for host in hosts:
            try:
                listener = await loop.create_server(self._accept, host, port, backlog=BACKLOG)
            except OSError as error:
                refused = error
                if error.errno in _NO_SUCH_FAMILY:
                    continue
                break
            self._listeners.append(listener)
            port = listener.sockets[0].getsockname()[1]
            bound.append((host, port))
        else:
            refused = None if bound else refused
        if refused is not None:
            await self.stop(0)
            raise _cannot_listen(port, refused)
        self._ticker = loop.create_task(self._tick())
        return tuple(bound)

    async def stop(self, deadline: float) -> None:
        """Accept nothing more, let requests and WebSockets end for up to `deadline` seconds, then end them.

        WebSockets still open then get a close frame with 1012, for which there is a second more.
        """
        listeners, self._listeners = self._listeners, []
        for listener in listeners:
            listener.close()
        for client in tuple(self._clients):
            client.drain()
        await self._emptied(deadline)
        if self._splices_end(SERVICE_RESTART, "Atelier restarts: reload in a moment."):
            await self._emptied(CLOSE_SECONDS)
        for client in tuple(self._clients):
            client.transport.abort()
        await self._emptied(CLOSE_SECONDS)
        self._context.upstreams.close()
        await self._end_tasks()

    @property
    def open_connections(self) -> int:
        """Clients that are connected now."""
        return len(self._clients)

    @property
    def open_websockets(self) -> int:
        return sum(len(splices) for splices in self._context.splices.values())

    def _accept(self) -> ClientConnection:
        return ClientConnection(self._context, self._made, self._lost)

    def _made(self, client: ClientConnection) -> None:
        self._clients.add(client)
        self._empty.clear()
        if not self._listeners:
            client.drain()  # it was accepted just before the stop

    def _lost(self, client: ClientConnection) -> None:
        self._clients.discard(client)
        if not self._clients:
            self._empty.set()

    async def _emptied(self, seconds: float) -> None:
        """Wait until no client is connected, but no longer than that."""
        if self._clients:
            try:
                async with asyncio.timeout(seconds):
                    await self._empty.wait()
            except TimeoutError:
                return

    async def _tick(self) -> None:
        clock = self._context.clock
        while True:
            await clock.sleep(TICK_SECONDS)
            now = clock.monotonic()
            for client in tuple(self._clients):
                client.tick(now)
            self._context.upstreams.sweep()

    def _session_ended(self, uid: str, reason: str) -> None:
        self._context.upstreams.end(uid)
        for splice in tuple(self._context.splices.get(uid, ())):
            splice.end(GOING_AWAY, reason)

    def _splices_end(self, code: int, reason: str) -> bool:
        splices = [splice for open_ones in self._context.splices.values() for splice in open_ones]
        for splice in splices:
            splice.end(code, reason)
        return bool(splices)

    async def _end_tasks(self) -> None:
        tasks = [*self._context.tasks, *([self._ticker] if self._ticker else [])]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _raise_descriptor_limit() -> None:
    """Raise the soft limit to the hard one. Raises `UserError` when that is too little."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if hard != resource.RLIM_INFINITY and hard < LEAST_DESCRIPTORS:
        raise UserError(
            f"This process may open {hard} files, and needs {LEAST_DESCRIPTORS}.", "Raise the limit with `ulimit -n`."
        )


def _cannot_listen(port: int, error: OSError) -> UserError:
    if error.errno == errno.EADDRINUSE:
        return UserError(f"Port {port} is in use.", "Stop what listens there, or choose another port with --port.")
    if error.errno == errno.EACCES:
        return UserError(f"Port {port} needs rights that this process lacks.", "Choose one above 1023 with --port.")
    return UserError(f"Cannot listen on port {port}: {error.strerror or error}.", "Check the address to listen on.")
