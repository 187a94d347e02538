"""Keeps each Fleet at its number of GameServers: looks at what is there, and does what is missing, again and again."""

import asyncio
import logging
import secrets
from collections import deque
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Never

from fleet.base import AlreadyExists, GameServer
from fleet.local.gameserver import Failure, GameServerRunner, Surroundings
from fleet.local.machine import Gpus, Ports
from fleet.local.scaling import Backoff, plan
from fleet.local.store import Store
from fleet.local.template import FLEET_LABEL, FleetSpec
from runtime.clock import Clock
from runtime.names import TERMINAL, GameServerState

log = logging.getLogger(__name__)
KEPT_FAILURES = 20
RESYNC_SECONDS = 0.5
"""A back-off that is over is noticed so late."""
_LETTERS = "bcdfghjklmnpqrstvwxz2456789"
"""Kubernetes' letters of generated names: no vowels, no words; nothing that looks like something else."""


@dataclass(frozen=True, slots=True)
class FleetStatus:
    """What a FleetAutoscaleReview says of a Fleet. Servers that are terminal or being deleted do not count."""

    replicas: int
    ready: int
    reserved: int
    allocated: int


class Controller:
    """`run` reconciles whenever something changed. `failures` are the last bad ends, for people."""

    def __init__(
        self,
        store: Store[GameServer],
        fleets: Iterable[FleetSpec],
        clock: Clock,
        *,
        run: Path,
        gpus: Gpus,
        environment: Mapping[str, str],
        first_ready: asyncio.Event | None = None,
    ) -> None:
        self._store = store
        self._specs = {spec.name: spec for spec in fleets}
        self._replicas = {spec.name: spec.replicas for spec in self._specs.values()}
        self._backoff = {name: Backoff() for name in self._specs}
        self._clock = clock
        self._wake = asyncio.Event()
        self._around = Surroundings(store, clock, run, gpus, Ports(), environment, self._ready, self._failed, asyncio.Event())
        self.failures: deque[Failure] = deque(maxlen=KEPT_FAILURES)
        self.first_ready = first_ready or asyncio.Event()

    def set_replicas(self, fleet: str, replicas: int) -> None:
        """From now on the Fleet should have so many."""
        if self._replicas[fleet] != replicas:
            log.info("fleet %s: %d replicas", fleet, replicas)
            self._replicas[fleet] = replicas
            self._wake.set()

    def replicas(self, fleet: str) -> int:
        """So many it should have."""
        return self._replicas[fleet]

    def status(self, fleet: str) -> FleetStatus:
        items = [item for item in self._store.list().items if item.fleet == fleet]
        states = [item.state for item in items if not item.deleting and item.state not in TERMINAL]
        ready, reserved, allocated = (
            states.count(state) for state in (GameServerState.READY, GameServerState.RESERVED, GameServerState.ALLOCATED)
        )
        return FleetStatus(len(states), ready, reserved, allocated)

    async def run(self) -> Never:
        """Until cancelled, which ends every GameServer, all at the same time."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._wake_on_change())
            group.create_task(self._wake_regularly())
            try:
                while True:
                    self._wake.clear()
                    for name in self._specs:
                        self._reconcile(name, group)
                    await self._wake.wait()
            finally:
                self._around.closing.set()

    def _reconcile(self, fleet: str, group: asyncio.TaskGroup) -> None:
        wanted = plan(self._replicas[fleet], (item for item in self._store.list().items if item.fleet == fleet))
        for gameserver in wanted.delete:
            self._store.change(gameserver.uid, gameserver.name, lambda item: replace(item, deleting=True))
        if self._clock.monotonic() < self._backoff[fleet].until:
            return
        for _ in range(wanted.create):
            gameserver = self._create(self._specs[fleet])
            group.create_task(GameServerRunner(gameserver, self._specs[fleet], self._around).run())

    def _create(self, spec: FleetSpec) -> GameServer:
        while True:
            name = f"{spec.name}-{''.join(secrets.choice(_LETTERS) for _ in range(5))}"
            new = GameServer(
                name=name,
                uid="",
                resource_version="",
                fleet=spec.name,
                state=GameServerState.PORT_ALLOCATION,
                created_at=0.0,
                labels={**spec.labels, FLEET_LABEL: spec.name},
            )
            with suppress(AlreadyExists):
                return self._store.create(new)

    def _ready(self, fleet: str) -> None:
        self.first_ready.set()
        self._backoff[fleet] = Backoff()

    def _failed(self, failure: Failure) -> None:
        log.warning("gameserver %s: %s", failure.gameserver, failure.reason)
        self.failures.append(failure)
        if not failure.was_ready:
            self._backoff[failure.fleet] = self._backoff[failure.fleet].failed(self._clock.monotonic())

    async def _wake_on_change(self) -> Never:
        while True:
            seen = self._store.version
            self._wake.set()
            await self._store.changed(seen)

    async def _wake_regularly(self) -> Never:
        while True:
            await self._clock.sleep(RESYNC_SECONDS)
            self._wake.set()
