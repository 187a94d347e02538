"""`atelier up` as a user runs it, in a folder of its own, for tests from the outside."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
import tempfile
import uuid
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import aiohttp
import psutil

START_DEADLINE = 45.0
STOP_DEADLINE = 10.0


Up = Callable[..., "RunningAtelier"]
"""The fixture `up`: options as positional arguments, environment as keywords."""


async def eventually(holds: Callable[[], Awaitable[bool]], deadline: float = 20.0) -> None:
    """Ask again until it holds: for what other processes do, which no event here tells of."""
    async with asyncio.timeout(deadline):
        while not await holds():
            await asyncio.sleep(0.05)


def free_ports() -> tuple[int, int]:
    """Two neighbours that nobody listens on: the browsers' and the operators'."""
    while True:
        with socket.create_server(("127.0.0.1", 0)) as first:
            port = int(first.getsockname()[1])
            with contextlib.suppress(OSError, OverflowError), socket.create_server(("127.0.0.1", port + 1)):
                return port, port + 1


@dataclass
class RunningAtelier:
    """Started by `async with`; everything it started is gone afterwards, or the test fails."""

    data: Path
    options: tuple[str, ...] = ()
    environment: dict[str, str] = field(default_factory=dict)
    port: int = 0
    output: list[str] = field(default_factory=list)
    run: str = field(default_factory=lambda: uuid.uuid4().hex)

    async def __aenter__(self) -> Self:
        self.port, self.operators_port = free_ports()
        command = [sys.executable, "-m", "cli.main", "up", "--port", str(self.port), "--data", str(self.data), *self.options]
        self.process = await asyncio.create_subprocess_exec(
            *command,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            env={**os.environ, **self.environment, "PYTHONUNBUFFERED": "1", "TEST_RUN": self.run},
            start_new_session=True,
        )
        # Tests may share this; a connection kept for the next call would look like one that a test leaked.
        self.http = aiohttp.ClientSession(f"http://127.0.0.1:{self.port}", connector=aiohttp.TCPConnector(force_close=True))
        self._reading = asyncio.ensure_future(self._read_output())
        try:
            await self.said("http://localhost", START_DEADLINE)
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def stop(self) -> int:
        """SIGTERM, and the exit code; fails when it takes longer than it may."""
        await self.http.close()
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            async with asyncio.timeout(STOP_DEADLINE):
                code = await self.process.wait()
        except TimeoutError:
            for victim in self.processes():
                victim.kill()
            self.process.kill()
            raise AssertionError("`atelier up` did not stop in time:\n" + "\n".join(self.output)) from None
        await self._reading
        return code

    async def _read_output(self) -> None:
        assert self.process.stdout is not None
        while line := await self.process.stdout.readline():
            self.output.append(line.decode().rstrip())

    async def said(self, text: str, deadline: float = 10.0) -> None:
        """Until a line with `text` was printed."""
        try:
            async with asyncio.timeout(deadline):
                while not any(text in line for line in self.output):
                    if self._reading.done():
                        raise AssertionError(f"`atelier up` ended without saying {text!r}:\n" + "\n".join(self.output))
                    await asyncio.sleep(0.02)
        except TimeoutError:
            raise AssertionError(f"`atelier up` did not say {text!r}:\n" + "\n".join(self.output)) from None

    async def api(self, user: str, method: str, path: str, **options: Any) -> tuple[int, Any]:
        """Status and JSON of a call as a script makes it."""
        headers = {"X-Atelier-Dev-User": user, **options.pop("headers", {})}
        async with asyncio.timeout(40), self.http.request(method, path, headers=headers, **options) as reply:
            text = await reply.text()
            with contextlib.suppress(ValueError):
                return reply.status, json.loads(text)
            return reply.status, text

    async def session(self, user: str) -> dict[str, Any]:
        _, view = await self.api(user, "GET", "/_atelier/api/session")
        assert isinstance(view, dict)
        return view

    async def start(self, user: str, deadline: float = 30.0) -> dict[str, Any]:
        """A click on start, and the view once the session is active."""
        status, view = await self.api(user, "POST", "/_atelier/api/session", json={})
        assert status in {200, 201, 202}, (status, view)
        return await self.until(user, lambda view: view["state"] == "active", deadline)

    async def until(self, user: str, holds: Callable[[dict[str, Any]], bool], deadline: float = 30.0) -> dict[str, Any]:
        """The first view over SSE (which reconnects) for which `holds`."""
        seen: list[str] = []
        try:
            async with asyncio.timeout(deadline):
                while True:
                    async with contextlib.aclosing(self._events(user)) as events:
                        async for view in events:
                            seen.append(view["state"])
                            if holds(view):
                                return view
                    await asyncio.sleep(0.05)
        except TimeoutError:
            raise AssertionError(f"{user} saw only {seen[-20:]}:\n" + "\n".join(self.output[-30:])) from None

    async def _events(self, user: str) -> AsyncGenerator[dict[str, Any], None]:
        try:
            async with self.http.get("/_atelier/api/events", headers={"X-Atelier-Dev-User": user}) as reply:
                async for line in reply.content:
                    if line.startswith(b"data:") and (view := json.loads(line[5:])):
                        yield view
        except aiohttp.ClientError:
            return

    def processes(self) -> list[psutil.Process]:
        """All that it started, however it forked: known by the instance in their environment."""
        return [process for process in psutil.process_iter() if self._is_ours(process)]

    def process_of(self, module: str) -> psutil.Process:
        """The one process that runs `python -m module` or a file of that name."""
        found = [process for process in self.processes() if module in _command(process)]
        assert len(found) == 1, (module, found)
        return found[0]

    def _is_ours(self, process: psutil.Process) -> bool:
        try:
            return process.environ().get("TEST_RUN") == self.run
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            return False


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except psutil.NoSuchProcess:
        return ""


@contextlib.contextmanager
def short_folder() -> Iterator[Path]:
    """A data folder for one test: pytest's own have paths too long for the sockets in it."""
    with tempfile.TemporaryDirectory(prefix="atelier-") as folder:
        yield Path(folder)


def images(data: Path) -> Iterator[Path]:
    """Every image in anybody's folder."""
    yield from (data / "users").rglob("*.png")
