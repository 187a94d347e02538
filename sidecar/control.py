"""The launcher's control socket, seen from the sidecar: its states as they come, until the launcher is gone."""

import asyncio
import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Self

CONNECT_SECONDS = 5.0


class LauncherState(StrEnum):
    WAITING = "waiting"
    RUNNING = "running"
    BACKOFF = "backoff"
    STOPPING = "stopping"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class LauncherStatus:
    """What the launcher says of the WebUI's process; see `launcher.py`."""

    state: LauncherState
    pid: int | None = None
    exit: int | None = None
    error: str | None = None
    restarts: int = 0
    """Starts after the first."""

    @classmethod
    def parse(cls, line: bytes) -> Self:
        """Raises `ValueError` for what no launcher says."""
        match json.loads(line):
            case {
                "state": str(state),
                "pid": int() | None as pid,
                "exit": int() | None as code,
                "restarts": int(restarts),
                **rest,
            }:
                error = rest.get("error")
                return cls(LauncherState(state), pid, code, None if error is None else str(error), restarts)
        raise ValueError(f"no launcher says {line[:80]!r}")


async def watch(path: Path) -> AsyncGenerator[LauncherStatus, None]:
    """The present state and every change; ends when the launcher does. Close it (`aclosing`) to hang up.

    Raises `OSError` when nobody listens there, `ValueError` when it is no launcher that does.
    """
    async with asyncio.timeout(CONNECT_SECONDS):
        reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(b'{"do": "watch"}\n')
        async for line in reader:
            yield LauncherStatus.parse(line)
    finally:
        writer.close()
