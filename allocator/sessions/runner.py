"""What runs in one replica: the informers, its heartbeat and its controllers, in one TaskGroup."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Never

from allocator.sessions.activity import Recorder
from allocator.sessions.context import Context
from allocator.sessions.control import control, forgiven
from allocator.sessions.dispatcher import Dispatcher
from allocator.sessions.election import Election
from allocator.sessions.reconciler import Reconciler
from allocator.sessions.releaser import Releaser
from allocator.sessions.replica import Replica
from allocator.sessions.starter import Starter
from fleet.base import FleetError, Lease, LeaseStore
from fleet.informer import Informer

log = logging.getLogger(__name__)
GOOD_BYE_SECONDS = 3.0

Sync = Callable[[], Awaitable[None]]


class Runner:
    """`run` until cancelled. `reviews` counts a Fleet's autoscale reviews so far."""

    def __init__(
        self,
        context: Context,
        leases: LeaseStore,
        informer: Informer[Lease],
        starter: Starter,
        recorder: Recorder,
        reviews: Callable[[str], int],
    ) -> None:
        self._context = context
        self._informer = informer
        self._starter = starter
        self._recorder = recorder
        self._replica = Replica(context, leases, informer, recorder)
        self._election = Election(leases, context.identity, context.clock, context.timing, context.expiry)
        self._controllers: dict[str, Sync] = {
            "dispatcher": Dispatcher(context, starter, self._replica).sync,
            "releaser": Releaser(context, self._replica, reviews).sync,
            "reconciler": Reconciler(context).sync,
            "replicas": self._replica.bury,
        }
        self._running = False

    @property
    def ready(self) -> bool:
        return self._running and self._replica.known and self._context.synced

    @property
    def leading(self) -> bool:
        return self._election.leading

    async def run(self) -> None:
        every = self._context.timing.sync
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._context.servers.run())
                group.create_task(self._informer.run())
                await self._context.servers.wait_synced()
                await self._informer.wait_synced()
                await self._beat()
                self._starter.run_in(group)
                group.create_task(self._heartbeat())
                group.create_task(control(self._context, "activity", self._recorder.flush, every))
                for name, sync in self._controllers.items():
                    group.create_task(control(self._context, name, self._led(sync), every))
                self._running = True
        finally:
            self._running = False
            self._starter.run_in(None)
            await self._say_good_bye()

    def _led(self, sync: Sync) -> Sync:
        """Only while this replica leads, and its memory can be believed."""

        async def led() -> None:
            if self._election.leading and self._context.synced:
                await sync()

        return led

    async def _heartbeat(self) -> Never:
        while True:
            await self._context.clock.sleep(self._context.timing.renew)
            await self._beat()

    async def _beat(self) -> None:
        await forgiven("replica", self._replica.renew())
        led = self._election.leading
        await self._election.campaign()
        self._context.sessions.sweep()
        if self._election.leading and not led:
            self._context.wake()

    async def _say_good_bye(self) -> None:
        """Let the others go on at once. Should it fail they go on when the Leases have expired."""
        try:
            async with asyncio.timeout(GOOD_BYE_SECONDS):
                await self._replica.retire()
                await self._election.resign()
        except (FleetError, TimeoutError) as error:
            log.info("left without a good-bye: %r", error)
