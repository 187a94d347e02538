"""The launcher as a process of its own, and a client that speaks its protocol as `docs/architecture.md` says it."""

import asyncio
import contextlib
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import sidecar.launcher
from tests.eventually import DEADLINE, eventually

Status = dict[str, Any]


class Control:
    """One connection to the control socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    async def send(self, line: bytes) -> Status:
        self._writer.write(line + b"\n")
        return await self.receive()

    async def ask(self, request: str) -> Status:
        return await self.send(json.dumps({"do": request}).encode())

    async def receive(self) -> Status:
        """The next line. Raises `EOFError` when the launcher is gone."""
        async with asyncio.timeout(DEADLINE):
            line = await self._reader.readline()
        if not line:
            raise EOFError
        status: Status = json.loads(line)
        return status

    async def until(self, condition: Callable[[Status], bool]) -> Status:
        """Read lines (after `watch`) until one fulfils the condition."""
        while not condition(status := await self.receive()):
            pass
        return status


def _listens(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX) as probe:
        return probe.connect_ex(str(path)) == 0


@contextlib.asynccontextmanager
async def connect(path: Path) -> AsyncIterator[Control]:
    """Connect as soon as the launcher listens."""
    await eventually(lambda: _listens(path))
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        yield Control(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


@contextlib.asynccontextmanager
async def launch(path: Path, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """Run `launcher.py --socket PATH ARGUMENTS...` and end it with all that it started."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, sidecar.launcher.__file__, "--socket", str(path), *arguments, stderr=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        async with asyncio.timeout(DEADLINE):
            await process.communicate()
