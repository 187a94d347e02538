"""The GameServer's state, followed through everything that the SDK server's own watch loses.

That watch ends with its server, can go silent without ending, and can miss an update between its first message and its
registration (Agones: pkg/sdkserver/sdkserver.go, WatchGameServer). So the state is also read anew each `resync`
seconds, whenever a watch has begun, and whenever somebody asks by `poke`. This is level-triggered: the latest state counts, and
states in between may be skipped.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from agones_sdk.backoff import LONGEST, Backoff
from agones_sdk.client import Client
from agones_sdk.errors import SdkError
from agones_sdk.gameserver import GameServer
from runtime.clock import Clock

RESYNC = 10.0
"""Seconds until a silent watch is found out."""

log = logging.getLogger(__name__)


class Watch:
    """What is known of the GameServer. `run` keeps it fresh; any number of tasks iterate over `changes`.

    A state that is known to be older than `current` is dropped (`GameServer.is_older_than`). When resourceVersions
    tell nothing, the last answer counts; should an older one win that race, the next read puts it right.
    """

    def __init__(self, client: Client, clock: Clock, *, resync: float = RESYNC) -> None:
        self._client = client
        self._clock = clock
        self._resync = resync
        self._poked = asyncio.Event()
        self._changed = asyncio.Event()
        self.current: GameServer | None = None
        """None until the SDK server has answered for the first time."""
        self.heard_at: float | None = None
        """Monotonic time of the SDK server's last answer, or None before the first."""

    def poke(self) -> None:
        """Read the GameServer now. Returns at once; what is new comes out of `changes`."""
        self._poked.set()

    async def changes(self) -> AsyncGenerator[GameServer, None]:
        """`current` as soon as there is one, then the latest state each time that it differs from the last one given."""
        seen: GameServer | None = None
        while True:
            changed = self._changed
            if self.current is not None and self.current != seen:
                seen = self.current
                yield seen
            else:
                await changed.wait()

    async def run(self) -> None:
        """Keep `current` fresh until cancelled. A failing SDK server is waited for, never an error."""
        self.poke()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="sdk-watch")
            tasks.create_task(self._read_when_poked(), name="sdk-read")
            tasks.create_task(self._poke_periodically(), name="sdk-resync")

    async def _follow(self) -> None:
        backoff = Backoff(self._clock)
        while True:
            began = self._clock.monotonic()
            try:
                await self._follow_once()
            except SdkError as error:
                log.debug("watch ended: %s", error)
            # A server that takes each watch and drops it at once has to be left in peace, too.
            if self._clock.monotonic() - began > LONGEST:
                backoff.reset()
            await backoff.pause()

    async def _follow_once(self) -> None:
        async with aclosing(self._client.stream()) as stream:
            first = True
            async for gameserver in stream:
                self._take(gameserver)
                if first:
                    self.poke()
                first = False

    async def _read_when_poked(self) -> None:
        backoff = Backoff(self._clock)
        while True:
            await self._poked.wait()
            self._poked.clear()
            try:
                self._take(await self._client.get())
            except SdkError as error:
                log.debug("read failed: %s", error)
                self.poke()
                await backoff.pause()
            else:
                backoff.reset()

    async def _poke_periodically(self) -> None:
        while True:
            await self._clock.sleep(self._resync)
            self.poke()

    def _take(self, gameserver: GameServer) -> None:
        self.heard_at = self._clock.monotonic()
        if self.current is not None and gameserver.is_older_than(self.current):
            return
        if gameserver != self.current:
            self.current = gameserver
            self._changed.set()
            self._changed = asyncio.Event()
