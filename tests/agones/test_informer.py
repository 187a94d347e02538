"""The cache over a real API server: what it does to its clients, and that nothing is missed."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fleet.base import GameServer
from fleet.informer import Informer
from runtime.clock import SystemClock
from runtime.names import GameServerState
from tests.contract.agones_backend import AgonesTestBackend
from tests.eventually import eventually


@asynccontextmanager
async def informed(agones: AgonesTestBackend) -> AsyncIterator[Informer[GameServer]]:
    informer = Informer(agones.stores.fleet, SystemClock())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(informer.run())
        await informer.wait_synced()
        yield informer
        task.cancel()


async def test_a_server_is_followed_from_its_creation_to_its_end(agones: AgonesTestBackend) -> None:
    seen = list[tuple[GameServerState | None, bool]]()
    async with informed(agones) as informer:
        informer.on_change(lambda change: seen.append((change.new.state, change.new.deleting) if change.new else (None, False)))
        created = await agones.gameserver("easel", GameServerState.STARTING)
        await agones.gameservers.move(created.name, GameServerState.READY)
        await agones.stores.fleet.delete(created, any_version=True)
        await agones.gameservers.let_go(created.name)
        await eventually(lambda: len(seen) == 4)
    starting, ready = GameServerState.STARTING, GameServerState.READY
    assert seen == [(starting, False), (ready, False), (ready, True), (None, False)]


async def test_history_forgotten_and_the_watch_ended_the_cache_is_right_afterwards(agones: AgonesTestBackend) -> None:
    kept = await agones.gameserver("kept")
    async with informed(agones) as informer:
        await agones.forget_history()
        await agones.gameservers.move(kept.name, GameServerState.SHUTDOWN)
        late = await agones.gameserver("late")
        await eventually(lambda: informer.get(late.name) == late)
        found = informer.get(kept.name)
    assert found is not None
    assert found.state is GameServerState.SHUTDOWN
