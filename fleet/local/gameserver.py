"""One GameServer's life, from PortAllocation until all of it is gone: what Agones' controller and kubelet do for a pod."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass, replace
from pathlib import Path

from fleet.base import USER_INIT_PORT, WEBUI_PORT, GameServer
from fleet.local import folders, processes
from fleet.local.machine import Gpus, Ports
from fleet.local.pod import Pod, Unkillable
from fleet.local.scaling import HELD, moved
from fleet.local.sdk_server import SdkServer
from fleet.local.store import Store
from fleet.local.template import FleetSpec, Health, Place
from runtime.clock import Clock
from runtime.names import TERMINAL, GameServerState

log = logging.getLogger(__name__)
ADDRESS = "127.0.0.1"
LOG_LINES = 20
NO_GPU = ""
"""What CUDA_VISIBLE_DEVICES says to whoever shall see none."""
LAST_GRACE_SECONDS = 4.0
_KILL_AGAIN_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Failure:
    """A GameServer that came to a bad end: why, and the last lines of its log. `at` is in epoch seconds."""

    gameserver: str
    fleet: str
    at: float
    reason: str
    log: tuple[str, ...]
    was_ready: bool


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What all GameServers share. `environment` goes to every process."""

    store: Store[GameServer]
    clock: Clock
    run: Path
    gpus: Gpus
    ports: Ports
    environment: Mapping[str, str]
    ready: Callable[[str], None]
    """Called with the Fleet's name when one of its servers became Ready."""
    failed: Callable[[Failure], None]
    closing: asyncio.Event
    """Everything ends: nobody waits any longer for what cannot be killed."""


class GameServerRunner:
    """`run` returns when the server has gone from the store. Cancelling it ends the server as a delete does."""

    def __init__(self, gameserver: GameServer, spec: FleetSpec, around: Surroundings) -> None:
        self._name = gameserver.name
        self._uid = gameserver.uid
        self._gameserver = gameserver
        self._spec = spec
        self._around = around
        self._was_ready = False
        self._reason = ""
        self._pod: Pod | None = None

    async def run(self) -> None:
        try:
            async with asyncio.TaskGroup() as tasks:
                life = tasks.create_task(self._live(tasks))
                await self._until_deleted()
                life.cancel()
        finally:
            await asyncio.to_thread(folders.clear, self._around.run, self._name)
            self._around.store.remove(self._name, self._uid, None)

    async def _until_deleted(self) -> None:
        """Follow the state: note Ready, and delete the server once it is terminal."""
        store = self._around.store
        while (found := store.find(self._name)) is not None and not found.deleting:
            seen = store.version
            if found.state is GameServerState.READY or found.state in HELD:
                if not self._was_ready:
                    self._was_ready = True
                    self._around.ready(self._spec.name)
            elif found.state in TERMINAL:
                await self._note_end(found.state)
                store.change(self._uid, self._name, lambda item: replace(item, deleting=True))
                continue
            await store.changed(seen)

    async def _note_end(self, state: GameServerState) -> None:
        if state is GameServerState.SHUTDOWN and self._was_ready:
            return
        reason = self._reason or "it asked to be shut down"
        log_lines: tuple[str, ...] = ()
        if self._pod is not None:
            last = self._pod.last_exit
            if last is not None and str(last) not in reason:
                reason = f"{reason}; {last}"
            container = last.container if last is not None else self._spec.containers[-1].name
            log_lines = await asyncio.to_thread(folders.tail, self._pod.log_of(container), LOG_LINES)
        now = self._around.clock.time()
        self._around.failed(Failure(self._name, self._spec.name, now, reason, log_lines, self._was_ready))

    async def _live(self, tasks: asyncio.TaskGroup) -> None:
        """All that has to be undone when the server ends, in reverse; the GPU last."""
        try:
            self._move(GameServerState.CREATING)
            folder = await asyncio.to_thread(folders.create, self._around.run, self._name)
            self._move(GameServerState.STARTING)
            async with self._gpu() as gpu:
                try:
                    await self._run_pod(str(folder), gpu, tasks)
                except Unkillable as error:
                    await self._outlast(str(error))
        except OSError as error:
            self._reason = f"it cannot be started: {error}"
            self._move(GameServerState.ERROR)
        except Exception as error:
            log.exception("%s failed", self._name)
            self._reason = f"it failed: {error!r}"
            self._move(GameServerState.ERROR)

    def _gpu(self) -> AbstractAsyncContextManager[str | None]:
        return self._around.gpus.one() if self._spec.gpu else nullcontext(NO_GPU)

    async def _run_pod(self, folder: str, gpu: str | None, tasks: asyncio.TaskGroup) -> None:
        around, spec = self._around, self._spec
        sdk = SdkServer(around.store, self._gameserver, spec, around.clock, tasks)
        with around.ports.some((WEBUI_PORT, USER_INIT_PORT)) as ports:
            async with sdk.serve() as sdk_port:
                place = Place(self._name, self._uid, folder, sdk_port, ports, gpu)
                pod = Pod(spec.containers, place, around.environment, around.clock, grace_seconds=self._grace)
                self._pod = pod
                self._change(lambda item: replace(item, address=ADDRESS, ports=ports))
                checking = tasks.create_task(self._check_health(sdk, spec.health))
                try:
                    self._reason = str(await pod.run(self._scheduled))
                    self._move(GameServerState.UNHEALTHY)
                finally:
                    checking.cancel()

    async def _check_health(self, sdk: SdkServer, health: Health) -> None:
        """Agones' check: each ping starts the count anew."""
        if health.disabled:
            return
        clock, limit = self._around.clock, health.period_seconds * health.failure_threshold
        await clock.sleep(health.initial_delay_seconds)
        began = clock.monotonic()
        while (quiet := clock.monotonic() - max(began, sdk.last_ping or began)) < limit:
            await clock.sleep(limit - quiet)
        self._reason = f"no health ping for {limit:g} s"
        self._move(GameServerState.UNHEALTHY)

    async def _outlast(self, mark: str) -> None:
        """Hold the GPU until the kernel lets go of the processes."""
        while await asyncio.to_thread(processes.end, mark, 0.0) and not self._around.closing.is_set():
            await self._around.clock.sleep(_KILL_AGAIN_SECONDS)

    def _grace(self) -> float:
        """The last stop of all has to fit into the ten seconds that the command has, with the allocator's own."""
        return min(self._spec.grace_seconds, LAST_GRACE_SECONDS) if self._around.closing.is_set() else self._spec.grace_seconds

    def _scheduled(self) -> None:
        """A quick sidecar may have called Ready by now, and there is no way back from there."""
        starting = GameServerState.STARTING
        self._change(lambda item: moved(item, GameServerState.SCHEDULED) if item.state is starting else item)

    def _move(self, state: GameServerState) -> None:
        self._change(lambda item: moved(item, state))

    def _change(self, make: Callable[[GameServer], GameServer]) -> None:
        self._around.store.change(self._uid, self._name, make)
