"""The local fleet as a whole: what `atelier up` runs."""

import asyncio
import os
from collections.abc import Iterable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from fleet.base import GameServer, Lease
from fleet.local import folders, journal, server
from fleet.local.autoscaler import Autoscaler, Webhook
from fleet.local.controller import Controller
from fleet.local.gameserver import Failure
from fleet.local.instance import Guard, lock
from fleet.local.journal import Journal
from fleet.local.machine import Gpus, nvidia_gpus
from fleet.local.store import Store, Versions
from fleet.local.template import FleetSpec
from runtime.clock import Clock, SystemClock
from runtime.errors import UserError

INSTANCE = "ATELIER_INSTANCE"
_SOCKET_PATH_BYTES = 107
"""Linux' limit (unix(7)), without the final NUL."""


class LocalCluster:
    """Store, SDK servers, GameServers, autoscaling and guard in one. `run` it, wait for `started`, then `stop` it.

    `data`: the data folder; `run/` in it is this cluster's. `instance`: names this run; everything it starts has
    ATELIER_INSTANCE=<instance> in its environment, and when the cluster ends, in whatever way, everything that has it
    is ended: whoever starts more with that mark (the allocator) stops it before the cluster.
    `gpus`: as CUDA_VISIBLE_DEVICES takes them; None looks for NVIDIA's.
    """

    def __init__(
        self,
        data: Path,
        fleets: Iterable[FleetSpec],
        *,
        instance: str,
        webhook: Webhook | None = None,
        gpus: Sequence[str] | None = None,
        clock: Clock | None = None,
    ) -> None:
        self._run = data.absolute() / "run"
        self._fleets = tuple(fleets)
        self._instance = instance
        self._webhook = webhook
        self._clock = clock or SystemClock()
        self._stop = asyncio.Event()
        self._controller: Controller | None = None
        self._autoscaler: Autoscaler | None = None
        self.gpus = tuple(nvidia_gpus() if gpus is None else gpus)
        self.socket = self._run / "fleet.sock"
        """Where `fleet.local.client.connect` finds the store."""
        self.started = asyncio.Event()
        """The store answers, and the Fleets are being filled."""
        self.first_ready = asyncio.Event()
        """A GameServer has been Ready since the start."""

    @property
    def failures(self) -> tuple[Failure, ...]:
        """GameServers that came to a bad end, the last ones, oldest first."""
        return tuple(self._controller.failures) if self._controller is not None else ()

    @property
    def autoscaling_problems(self) -> dict[str, str]:
        """By Fleet: why the last review had no effect."""
        return dict(self._autoscaler.problems) if self._autoscaler is not None else {}

    def stop(self) -> None:
        """End everything; `run` returns when it has ended."""
        self._stop.set()

    async def run(self) -> None:
        """Until `stop` is called or the task is cancelled; either ends everything, within ten seconds.

        Raises `UserError` when it cannot start.
        """
        self._check_socket_paths()
        async with AsyncExitStack() as stack:
            descriptor = await stack.enter_async_context(lock(self._run, self._clock))
            guard = Guard(f"{INSTANCE}={self._instance}", descriptor, self._clock)
            stack.push_async_callback(guard.close)
            await self._start(guard)
            await asyncio.to_thread(folders.clear_all, self._run)
            records = self._run / "leases.json"
            saved = await asyncio.to_thread(journal.load, records)
            versions = Versions(saved.version)
            gameservers: Store[GameServer] = Store(versions, self._clock)
            leases: Store[Lease] = Store(versions, self._clock, items=saved.leases)
            saver = Journal(records, leases, self._clock)
            stack.callback(saver.save)
            app = server.application(gameservers, leases, self._clock, unallocated=self._unallocated)
            await stack.enter_async_context(server.serve(self.socket, app))
            await self._run_tasks(gameservers, guard, saver)

    async def _run_tasks(self, gameservers: Store[GameServer], guard: Guard, saver: Journal) -> None:
        controller = self._controller = Controller(
            gameservers,
            self._fleets,
            self._clock,
            run=self._run,
            gpus=Gpus(self.gpus),
            environment={INSTANCE: self._instance},
            first_ready=self.first_ready,
        )
        async with asyncio.TaskGroup() as group:
            tasks: list[asyncio.Task[None]] = [
                group.create_task(guard.keep()),
                group.create_task(saver.run()),
                group.create_task(controller.run()),
            ]
            if self._webhook is not None:
                fleets = [spec.name for spec in self._fleets]
                self._autoscaler = Autoscaler(self._webhook, fleets, controller, self._clock)
                tasks.append(group.create_task(self._autoscaler.run()))
            self.started.set()
            await self._stop.wait()
            for task in tasks:
                task.cancel()

    def _unallocated(self, fleet: str) -> None:
        """Somebody waits who found nothing: no reason to let the autoscaler's second pass first."""
        if self._autoscaler is not None:
            self._autoscaler.ask_now(fleet)

    async def _start(self, guard: Guard) -> None:
        try:
            await guard.start()
        except (OSError, TimeoutError) as error:
            raise UserError(
                f"The process that ends everything with this command cannot be started ({error!r}).",
                "Without it a killed command would leave processes behind: is the machine out of processes or memory?",
            ) from error

    def _check_socket_paths(self) -> None:
        for spec in self._fleets:
            path = self._run / "gameservers" / f"{spec.name}-xxxxx" / "launcher.sock"
            if (surplus := len(os.fsencode(path)) - _SOCKET_PATH_BYTES) > 0:
                raise UserError(
                    f"The path of the data folder is {surplus} bytes too long for sockets in it: {path}.",
                    "Choose a data folder with a shorter path.",
                )
