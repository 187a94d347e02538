"""The processes of one GameServer: started in order, kept up, and ended to the last grandchild."""

import asyncio
import logging
import os
import signal
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from fleet.local import processes
from fleet.local.template import Container, Place, fill
from runtime.clock import Clock

log = logging.getLogger(__name__)
FIRST_RESTART_SECONDS = 0.5
LAST_RESTART_SECONDS = 10.0
SETTLED_SECONDS = 60.0
"""A sidecar that ran for so long starts afresh, without back-off."""
SIDECAR_SECONDS = 2.0
"""Of the grace period, so much is left for the sidecars once the others had theirs."""
KILL_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container's process ended; a negative code is the signal that ended it."""

    container: str
    code: int

    def __str__(self) -> str:
        how = f"was ended by signal {-self.code}" if self.code < 0 else f"exited with code {self.code}"
        return f"{self.container} {how}"


class Pod:
    """`run` starts everything and returns how the main container ended; whatever ends `run` ends all processes.

    `grace_seconds` is asked when the end begins: from SIGTERM to SIGKILL.
    """

    def __init__(
        self,
        containers: Iterable[Container],
        place: Place,
        environment: Mapping[str, str],
        clock: Clock,
        *,
        grace_seconds: Callable[[], float],
    ) -> None:
        self._sidecars = [container for container in containers if container.restart]
        self._main = [container for container in containers if not container.restart]
        self._place = place
        self._environment = environment
        self._clock = clock
        self._grace_seconds = grace_seconds
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self.last_exit: Exit | None = None
        """Of a container that ended by itself."""

    async def run(self, started: Callable[[], None]) -> Exit | None:
        """Call `started` when every container was started once. None: there is no main container, and it never ends.

        Raises `OSError` when a program cannot be started.
        """
        try:
            for container in (*self._sidecars, *self._main):
                await self._start(container)
            started()
            async with asyncio.TaskGroup() as group:
                keeping = [group.create_task(self._keep(container)) for container in self._sidecars]
                ended = [await self._ended(container) for container in self._main]
                for task in keeping if ended else ():
                    task.cancel()
            return ended[-1] if ended else None
        finally:
            await _to_the_end(self._stop())

    def log_of(self, container: str) -> Path:
        return Path(self._place.folder, "logs", f"{container}.log")

    async def _start(self, container: Container) -> None:
        values = self._place.values()
        own = {name: fill(value, values) for name, value in container.env.items()}
        with self.log_of(container.name).open("ab") as output:
            self._running[container.name] = await asyncio.create_subprocess_exec(
                *(fill(word, values) for word in container.argv),
                cwd=fill(container.cwd, values),
                env={**os.environ, **self._environment, **self._place.environment(), **own},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def _ended(self, container: Container) -> Exit:
        self.last_exit = Exit(container.name, await self._running[container.name].wait())
        return self.last_exit

    async def _keep(self, container: Container) -> None:
        """Restart it whenever it ends, ever more slowly, as kubelet does."""
        delay = FIRST_RESTART_SECONDS
        while True:
            began = self._clock.monotonic()
            log.warning("%s: %s; restarting it", self._place.name, await self._ended(container))
            if self._clock.monotonic() - began > SETTLED_SECONDS:
                delay = FIRST_RESTART_SECONDS
            await self._clock.sleep(delay)
            delay = min(LAST_RESTART_SECONDS, 2 * delay)
            try:
                await self._start(container)
            except OSError as error:
                log.warning("%s: %s cannot be restarted: %s", self._place.name, container.name, error)

    async def _stop(self) -> None:
        """SIGTERM to the main containers, then to the sidecars; SIGKILL for what is left anywhere."""
        grace = self._grace_seconds()
        deadline = time.monotonic() + grace
        await self._terminate(self._main, deadline - min(SIDECAR_SECONDS, grace / 2))
        await self._terminate(reversed(self._sidecars), deadline)
        mark = f"ATELIER_GAMESERVER_UID={self._place.uid}"
        if left := await asyncio.to_thread(processes.end, mark, KILL_SECONDS):
            log.error("%s: processes %s cannot be ended", self._place.name, [process.pid for process in left])
            raise Unkillable(mark)
        for process in self._running.values():
            await process.wait()

    async def _terminate(self, containers: Iterable[Container], deadline: float) -> None:
        running = [self._running[container.name] for container in containers if container.name in self._running]
        for process in running:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)
        with suppress(TimeoutError):
            async with asyncio.timeout(max(0.0, deadline - time.monotonic())):
                for process in running:
                    await process.wait()


class Unkillable(Exception):
    """Processes sleep in the kernel and hold what they hold, a GPU perhaps. The text is their mark."""


async def _to_the_end(work: Coroutine[None, None, None]) -> None:
    """Await bounded work, even if this task is cancelled once more meanwhile: a server being deleted when all ends."""
    task = asyncio.ensure_future(work)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError as error:
            cancelled = error
    task.result()
    if cancelled is not None:
        raise cancelled
