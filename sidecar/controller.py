"""The sidecar at work: it sees (SDK server, launcher, WebUI), lets `decisions` decide, and does what was decided."""

import asyncio
import logging
from contextlib import aclosing

from agones_sdk.client import Client
from agones_sdk.errors import SdkError
from agones_sdk.gameserver import GameServer
from agones_sdk.health import ping_while
from agones_sdk.watch import RESYNC, Watch
from runtime.clock import Clock
from runtime.names import BUSY_KEY, LEASE_UID_ANNOTATION
from sidecar import control
from sidecar.busy import Evidence
from sidecar.control import LauncherStatus
from sidecar.decisions import (
    Action,
    Annotate,
    Memory,
    Observation,
    Probe,
    Ready,
    Shutdown,
    decide,
    failed,
    probe_wanted,
)
from sidecar.options import Options
from sidecar.prober import Prober

TICK = 1.0
"""Seconds between two looks when nothing happens: deadlines pass by themselves."""
START_PERIOD = 0.2
"""Seconds between two attempts while something starts: all of it is added to a cold start."""
REACHABLE = 2.5 * RESYNC
"""Seconds without a word from the SDK server after which it counts as unreachable."""

log = logging.getLogger("sidecar")


class Controller:
    """One GameServer's sidecar. `run` returns only by cancellation."""

    def __init__(self, options: Options, client: Client, clock: Clock) -> None:
        self._options, self._client, self._clock = options, client, clock
        self._watch = Watch(client, clock)
        self._prober = Prober(options.webui, options.webui_port, clock, load_deadline=options.rules.startup_deadline)
        self._memory = Memory(started_at=clock.monotonic())
        self._launcher: LauncherStatus | None = None
        self._loaded_pid: int | None = None
        self._evidence: Evidence | None = None
        self._changed = asyncio.Event()

    async def run(self) -> None:
        """Watch, probe, decide, act and ping, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch.run(), name="sdk")
            tasks.create_task(self._follow_gameserver(), name="gameserver")
            tasks.create_task(self._follow_launcher(), name="launcher")
            tasks.create_task(self._probe(), name="probe")
            tasks.create_task(self._control(), name="control")
            tasks.create_task(self._tick(), name="tick")
            tasks.create_task(
                ping_while(lambda: self._launcher is not None, self._client, self._clock, period=self._options.health_period),
                name="health",
            )

    async def _follow_gameserver(self) -> None:
        state = ""
        async for gameserver in self._watch.changes():
            if gameserver.state != state:
                log.info("the GameServer %s is %s", gameserver.name, gameserver.state)
            state = gameserver.state
            self._notify()

    async def _follow_launcher(self) -> None:
        while True:
            try:
                async with aclosing(control.watch(self._options.launcher_socket)) as states:
                    async for status in states:
                        log.info("the launcher is %s%s", status.state, f": {status.error}" if status.error else "")
                        self._launcher = status
                        self._notify()
            except (OSError, ValueError) as error:
                log.debug("no launcher: %s", error)
            if self._launcher is not None:
                log.warning("the launcher is dead: no more health pings")
                self._launcher = None
                self._notify()
            await self._clock.sleep(START_PERIOD)

    async def _probe(self) -> None:
        while True:
            changed = self._changed
            match probe_wanted(self._observe()):
                case Probe.LOADED:
                    await self._probe_loaded()
                    await self._clock.sleep(START_PERIOD)
                case Probe.BUSY:
                    self._evidence = await self._prober.busy()
                    self._notify()
                    await self._clock.sleep(self._options.busy_period)
                case None:
                    await changed.wait()

    async def _probe_loaded(self) -> None:
        pid = self._launcher.pid if self._launcher else None
        if await self._prober.is_loaded():
            self._loaded_pid = pid
            self._notify()

    async def _control(self) -> None:
        while True:
            changed = self._changed
            self._memory, action = decide(self._memory, self._observe(), self._options.rules)
            if action is not None:
                await self._act(action)
            await changed.wait()

    async def _act(self, action: Action) -> None:
        try:
            match action:
                case Ready() if await self._still_holds():
                    log.info("the WebUI can be used: Ready")
                    await self._client.ready()
                case Shutdown(reason) if await self._still_holds():
                    log.error("the GameServer is ended: %s", reason)
                    await self._client.shutdown()
                case Annotate(report):
                    log.info("the WebUI is %s %s", report.state, report.job)
                    await self._client.set_annotation(BUSY_KEY, report.encode())
                    return
                case _:
                    self._memory = failed(self._memory, self._clock.monotonic(), self._options.rules)
        except SdkError as error:
            log.warning("not done, to be tried again: %s", error)
            self._memory = failed(self._memory, self._clock.monotonic(), self._options.rules)

    async def _still_holds(self) -> bool:
        """Whether the GameServer, read anew, is what the decision rests on: these two steps cannot be taken back."""
        fresh, known = await self._client.get(), self._watch.current
        same = known is not None and _ground(fresh) == _ground(known)
        if not same:
            self._watch.poke()
        return same

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(TICK)
            self._notify()

    def _notify(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()

    def _observe(self) -> Observation:
        now, heard_at = self._clock.monotonic(), self._watch.heard_at
        return Observation(
            now=now,
            gameserver=self._watch.current,
            reachable=heard_at is not None and now - heard_at < REACHABLE,
            launcher=self._launcher,
            loaded_pid=self._loaded_pid,
            evidence=self._evidence,
        )


def _ground(gameserver: GameServer) -> tuple[str, str | None]:
    return gameserver.state, gameserver.annotations.get(LEASE_UID_ANNOTATION)
