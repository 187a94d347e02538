"""The watch goes on, and never goes back, whatever the SDK server does."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager

import grpc
import pytest

from agones_sdk.client import Client
from agones_sdk.gameserver import GameServer
from agones_sdk.watch import RESYNC, Watch
from runtime.names import GameServerState
from tests.fake_clock import FakeClock
from tests.sdk_server import SdkServer, gameserver, sdk_server

DEADLINE = 10.0
"""Seconds of real time for what should happen at once."""


@pytest.fixture
async def server() -> AsyncIterator[SdkServer]:
    async with sdk_server() as server:
        yield server


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@asynccontextmanager
async def watching(server: SdkServer, clock: FakeClock, deadline: float = 5.0) -> AsyncIterator[Watch]:
    async with Client(server.port, deadline=deadline) as client, asyncio.TaskGroup() as tasks:
        watch = Watch(client, clock)
        running = tasks.create_task(watch.run())
        yield watch
        running.cancel()


async def next_of(changes: AsyncGenerator[GameServer, None]) -> GameServer:
    async with asyncio.timeout(DEADLINE):
        return await anext(changes)


async def passing(clock: FakeClock, condition: Callable[[], bool], step: float = 0.25) -> None:
    """Let time pass until `condition` holds; in between the real sockets get their turn."""
    async with asyncio.timeout(DEADLINE):
        while not condition():
            await clock.advance(step)
            await asyncio.sleep(0.005)


async def settled(watch: Watch, server: SdkServer) -> None:
    """The watch is open and the reads that come with its begin are answered: what follows is of the test's making."""
    await server.watched()
    async with asyncio.timeout(DEADLINE), aclosing(watch.changes()) as changes:
        await anext(changes)
    await server.called("GetGameServer")


async def test_the_state_comes_first_then_each_change_and_nothing_twice(server: SdkServer, clock: FakeClock) -> None:
    async with watching(server, clock) as watch, aclosing(watch.changes()) as changes:
        assert (await next_of(changes)).state == GameServerState.SCHEDULED
        await server.watched()
        for state in (GameServerState.READY, GameServerState.ALLOCATED, GameServerState.SHUTDOWN):
            server.set_state(state)
            assert (await next_of(changes)).state == state


async def test_two_tasks_follow_one_watch(server: SdkServer, clock: FakeClock) -> None:
    async with watching(server, clock) as watch, aclosing(watch.changes()) as one, aclosing(watch.changes()) as other:
        assert await next_of(one) == await next_of(other)
        await server.watched()
        server.set_state(GameServerState.READY)
        assert await next_of(one) == await next_of(other) == watch.current
        assert server.count("WatchGameServer") == 1


async def test_a_slow_reader_gets_the_latest_state_and_no_queue_of_old_ones(server: SdkServer, clock: FakeClock) -> None:
    async with watching(server, clock) as watch, aclosing(watch.changes()) as changes:
        await next_of(changes)
        await server.watched()
        for state in (GameServerState.READY, GameServerState.ALLOCATED, GameServerState.SHUTDOWN):
            server.set_state(state)
        await passing(clock, lambda: watch.current is not None and watch.current.state == GameServerState.SHUTDOWN, step=0)
        assert (await next_of(changes)).state == GameServerState.SHUTDOWN


async def test_a_server_that_restarts_is_watched_again(server: SdkServer, clock: FakeClock) -> None:
    async with watching(server, clock) as watch, aclosing(watch.changes()) as changes:
        await next_of(changes)
        await server.watched()
        await server.restart()
        await passing(clock, lambda: server.count("WatchGameServer") == 2)
        await server.watched()
        server.set_state(GameServerState.READY)
        assert (await next_of(changes)).state == GameServerState.READY


async def test_what_changed_while_the_server_was_away_is_seen(server: SdkServer, clock: FakeClock) -> None:
    async with watching(server, clock) as watch, aclosing(watch.changes()) as changes:
        await next_of(changes)
        await server.watched()
        await server.stop()
        server.set_state(GameServerState.ALLOCATED)
        await clock.advance(60)
        assert watch.current is not None
        assert watch.current.state == GameServerState.SCHEDULED
        await server.start()
        await passing(clock, lambda: watch.current is not None and watch.current.state == GameServerState.ALLOCATED)
        assert (await next_of(changes)).state == GameServerState.ALLOCATED


async def test_a_server_that_dies_mid_stream_is_watched_again_after_a_pause(server: SdkServer, clock: FakeClock) -> None:
    async with watching(server, clock) as watch:
        await settled(watch, server)
        server.drop_watches()
        sleepers = clock.sleepers
        await passing(clock, lambda: clock.sleepers > sleepers, step=0)
        assert server.count("WatchGameServer") == 1
        await passing(clock, lambda: server.count("WatchGameServer") == 2)


async def test_each_new_watch_is_followed_by_a_read_because_agones_can_lose_an_update_as_it_begins(
    server: SdkServer, clock: FakeClock
) -> None:
    async with watching(server, clock) as watch:
        await settled(watch, server)
        await passing(clock, lambda: clock.sleepers == 1, step=0)
        reads, now = server.count("GetGameServer"), clock.monotonic()
        server.drop_watches()
        await passing(clock, lambda: server.count("GetGameServer") > reads, step=0.01)
        assert clock.monotonic() - now < RESYNC


async def test_a_server_that_drops_every_watch_is_left_in_peace(server: SdkServer, clock: FakeClock) -> None:
    async with watching(server, clock) as watch:
        await settled(watch, server)

        def dropped_for_a_while() -> bool:
            server.drop_watches()
            return clock.monotonic() > 20

        await passing(clock, dropped_for_a_while)
        assert 5 < server.count("WatchGameServer") < 30


async def test_a_watch_that_died_silently_is_found_out_by_the_next_read(server: SdkServer, clock: FakeClock) -> None:
    async with watching(server, clock) as watch, aclosing(watch.changes()) as changes:
        await settled(watch, server)
        await next_of(changes)
        server.deafen()
        server.set_state(GameServerState.ALLOCATED)
        await clock.advance(RESYNC)
        assert (await next_of(changes)).state == GameServerState.ALLOCATED


async def test_a_poke_reads_at_once(server: SdkServer, clock: FakeClock) -> None:
    async with watching(server, clock) as watch, aclosing(watch.changes()) as changes:
        await settled(watch, server)
        await next_of(changes)
        server.deafen()
        server.set_state(GameServerState.ALLOCATED)
        watch.poke()
        assert (await next_of(changes)).state == GameServerState.ALLOCATED
        assert clock.monotonic() == 0


async def test_an_old_state_on_the_watch_is_not_believed(server: SdkServer, clock: FakeClock) -> None:
    async with watching(server, clock) as watch, aclosing(watch.changes()) as changes:
        await settled(watch, server)
        server.set_state(GameServerState.ALLOCATED)
        await passing(clock, lambda: watch.current is not None and watch.current.state == GameServerState.ALLOCATED, step=0)
        assert (await next_of(changes)).resource_version == "101"
        server.send(gameserver(GameServerState.READY, version=99))
        server.update(lambda held: held.object_meta.labels.update({"seen": "yes"}))
        after = await next_of(changes)
        assert (after.state, after.resource_version) == (GameServerState.ALLOCATED, "102")


async def test_a_server_that_restarts_with_an_old_cache_is_not_believed_until_it_caught_up(
    server: SdkServer, clock: FakeClock
) -> None:
    async with watching(server, clock) as watch, aclosing(watch.changes()) as changes:
        await settled(watch, server)
        server.set_state(GameServerState.ALLOCATED)
        await passing(clock, lambda: watch.current is not None and watch.current.state == GameServerState.ALLOCATED, step=0)
        assert (await next_of(changes)).state == GameServerState.ALLOCATED
        server.gameserver = gameserver(GameServerState.READY, version=99)
        await server.restart()
        reads = server.count("GetGameServer")
        await passing(clock, lambda: server.count("WatchGameServer") == 2 and server.count("GetGameServer") > reads)
        server.gameserver = gameserver(GameServerState.SHUTDOWN, version=200)
        watch.poke()
        assert (await next_of(changes)).state == GameServerState.SHUTDOWN


async def test_where_versions_tell_nothing_the_last_answer_counts(clock: FakeClock) -> None:
    held = gameserver(GameServerState.READY)
    held.object_meta.resource_version = "v1"
    async with sdk_server(held) as server, watching(server, clock) as watch, aclosing(watch.changes()) as changes:
        assert (await next_of(changes)).state == GameServerState.READY
        held.status.state = GameServerState.ALLOCATED
        watch.poke()
        assert (await next_of(changes)).state == GameServerState.ALLOCATED


async def test_a_server_that_hangs_from_the_beginning_is_waited_for(server: SdkServer, clock: FakeClock) -> None:
    server.hang()
    async with watching(server, clock, deadline=0.05) as watch, aclosing(watch.changes()) as changes:
        await passing(clock, lambda: server.count("GetGameServer") >= 3)
        assert watch.current is None
        assert watch.heard_at is None
        server.resume()
        await passing(clock, lambda: watch.current is not None)
        assert (await next_of(changes)).state == GameServerState.SCHEDULED


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.UNKNOWN, grpc.StatusCode.UNIMPLEMENTED])
async def test_a_server_that_refuses_is_asked_again_in_measure(
    server: SdkServer, clock: FakeClock, code: grpc.StatusCode
) -> None:
    server.refuse(code)
    async with watching(server, clock) as watch:
        await passing(clock, lambda: clock.monotonic() > 20)
        assert watch.current is None
        assert 5 < server.count("WatchGameServer") < 30
        assert 5 < server.count("GetGameServer") < 30
        server.resume()
        await passing(clock, lambda: watch.current is not None)


async def test_heard_at_stands_still_while_the_server_is_silent(server: SdkServer, clock: FakeClock) -> None:
    async with watching(server, clock, deadline=0.05) as watch:
        await settled(watch, server)
        await passing(clock, lambda: watch.heard_at == clock.monotonic(), step=RESYNC)
        heard = watch.heard_at
        server.hang()
        await clock.advance(5 * RESYNC)
        assert watch.heard_at == heard
        server.resume()
        await passing(clock, lambda: watch.heard_at == clock.monotonic(), step=RESYNC)
