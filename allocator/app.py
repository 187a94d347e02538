"""One replica, put together: sessions, the pages behind their Unix socket, the gateway in front, the operators' listener."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from pathlib import Path

from aiohttp import web

from allocator.gateway.context import Timeouts
from allocator.gateway.server import Gateway
from allocator.identity.dev import DevVerifier, require_loopback
from allocator.identity.secret import read_secret
from allocator.operators.app import make_operators_app
from allocator.operators.lag import LoopLag
from allocator.operators.metrics import Metrics
from allocator.operators.sources import GatewaySnapshot, Sources
from allocator.pages.app import make_app
from allocator.sessions.context import Timing
from allocator.sessions.service import SessionService
from allocator.settings import Settings, bind_hosts, split_address
from fleet.local import client
from runtime.clock import Clock, SystemClock
from runtime.sockets import bind_private

TIMING = Timing(lease_seconds=3)
"""On one machine a store that is silent for so long is gone: what a killed replica worked on is taken over soon."""
SYNC_SECONDS = 10.0
DRAIN_SECONDS = 1.5
"""Running requests may go on so long when this replica ends; on a workstation it ends when everything does."""


async def serve(settings: Settings, fleet_socket: Path) -> None:
    """Until SIGTERM or SIGINT. Raises `UserError`."""
    require_loopback([settings.listen, settings.operators])
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    clock, data = SystemClock(), settings.data.expanduser()
    async with AsyncExitStack() as stack:
        backend = await stack.enter_async_context(client.connect(fleet_socket))
        sessions = SessionService(settings, backend.fleet, backend.leases, clock, _identity(), timing=TIMING)
        pages = fleet_socket.with_name("pages.sock")
        verifier = DevVerifier(read_secret(data / "installation.key"))
        gateway = Gateway(verifier, sessions, pages, clock, Timeouts(stall=settings.stall_timeout))
        operators = _operators(settings, sessions, gateway, read_secret(data / "operator.token").hex())
        group = await stack.enter_async_context(asyncio.TaskGroup())
        running = group.create_task(sessions.run())
        stack.callback(running.cancel)
        app = make_app(sessions, settings, clock)
        await stack.enter_async_context(_served(app, pages))
        await stack.enter_async_context(_served(operators, split_address(settings.operators)))
        await _until_ready(sessions, clock)
        host, port = split_address(settings.listen)
        await gateway.start(bind_hosts(host), port)
        stack.push_async_callback(gateway.stop, DRAIN_SECONDS)
        stack.push_async_callback(app.shutdown)  # first, or the gateway would wait for open pages' event streams
        sys.stdout.write("serving\n")
        sys.stdout.flush()
        await stop.wait()


async def _until_ready(sessions: SessionService, clock: Clock) -> None:
    """Browsers come when sessions are known; without a store they come all the same, and are told."""
    with suppress(TimeoutError):
        async with asyncio.timeout(SYNC_SECONDS):
            while not sessions.ready:
                await clock.sleep(0.02)


def _identity() -> str:
    """New for every process, as client-go's identities are."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}".lower()


def _operators(settings: Settings, sessions: SessionService, gateway: Gateway, token: str) -> web.Application:
    def snapshot() -> GatewaySnapshot:
        return GatewaySnapshot(gateway.counters, gateway.open_connections, gateway.open_websockets)

    sources = Sources(lambda: sessions.ready, sessions.stats, sessions.everyone, snapshot, sessions.review)
    lag = LoopLag()
    return make_operators_app(sessions, sources, Metrics(settings, sources, lag), lag, token)


@asynccontextmanager
async def _served(app: web.Application, at: Path | tuple[str, int]) -> AsyncIterator[None]:
    """On a Unix socket for the owner alone, or at host:port."""
    runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
    await runner.setup()
    try:
        if isinstance(at, Path):
            await web.SockSite(runner, bind_private(at)).start()
        else:
            await web.TCPSite(runner, *at).start()
        yield
    finally:
        await runner.cleanup()
        if isinstance(at, Path):
            at.unlink(missing_ok=True)  # noqa: ASYNC240 - a name in memory; nothing to wait for
