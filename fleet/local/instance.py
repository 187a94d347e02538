"""One command a data folder, and nothing that outlives it: the lock, and the guard that holds it too."""

import asyncio
import fcntl
import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Never

from runtime.clock import Clock
from runtime.errors import UserError

log = logging.getLogger(__name__)
LOCK_SECONDS = 5.0
"""So long a new command waits for the guard of one that was killed to be done."""
GUARD_SECONDS = 20.0
"""For its start; Python is slow on a machine that is busy. Its end is not waited for that long."""
SWEEP_SECONDS = 5.0
_RETRY_SECONDS = 0.1


@asynccontextmanager
async def lock(run: Path, clock: Clock) -> AsyncIterator[int]:
    """Hold `run/lock`; yields its descriptor. Raises `UserError` when another command has it, or `run` cannot be made."""
    descriptor = _open(run)
    try:
        deadline = clock.monotonic() + LOCK_SECONDS
        while not _try_lock(descriptor):
            if clock.monotonic() > deadline:
                raise UserError(
                    f"Another `atelier up` runs with the data folder {run.parent}.", "Stop it, or choose another data folder."
                )
            await clock.sleep(_RETRY_SECONDS)
        yield descriptor
    finally:
        os.close(descriptor)


def _open(run: Path) -> int:
    try:
        run.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(run / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UserError(
            f"The folder {run} cannot be used: {error.strerror}.", "Choose another data folder, or mend its permissions."
        ) from error


def _try_lock(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class Guard:
    """`fleet.local.guard`, kept running. It has the lock's descriptor, so the lock is held until it is done."""

    def __init__(self, mark: str, descriptor: int, clock: Clock) -> None:
        self._mark = mark
        self._descriptor = descriptor
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None

    @property
    def pid(self) -> int | None:
        return self._process.pid if self._process is not None else None

    async def start(self) -> None:
        """Return once it guards. Raises `OSError`, `TimeoutError`."""
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "fleet.local.guard",
            self._mark,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            start_new_session=True,
            pass_fds=(self._descriptor,),
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(GUARD_SECONDS):
            if not await self._process.stdout.readline():
                raise OSError("the guard does not start")

    async def keep(self) -> Never:
        """Start it again whenever it dies, until cancelled."""
        while True:
            if self._process is not None:
                log.warning("the guard ended with code %d; starting it again", await self._process.wait())
                self._release()
            try:
                await self.start()
            except (OSError, TimeoutError) as error:
                log.warning("the guard cannot be started: %s", error)
                await self._clock.sleep(1.0)

    async def close(self) -> None:
        """Let it end what is left of this instance, and then itself."""
        self._release()
        if self._process is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(SWEEP_SECONDS):
                    await self._process.wait()

    def _release(self) -> None:
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
