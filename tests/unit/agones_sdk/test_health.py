"""Health pings arrive while it is healthy, whatever happened to the SDK server before."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import grpc
import pytest

from agones_sdk.client import Client
from agones_sdk.health import PERIOD, RETRY, ping_while
from tests.fake_clock import FakeClock
from tests.sdk_server import SdkServer, sdk_server


@pytest.fixture
async def server() -> AsyncIterator[SdkServer]:
    async with sdk_server() as server:
        yield server


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def always() -> bool:
    return True


@asynccontextmanager
async def pinging(
    server: SdkServer, clock: FakeClock, healthy: Callable[[], bool] = always, deadline: float = 5.0
) -> AsyncIterator[None]:
    async with Client(server.port, deadline=deadline) as client, asyncio.TaskGroup() as tasks:
        running = tasks.create_task(ping_while(healthy, client, clock))
        yield
        running.cancel()


async def asleep(clock: FakeClock) -> None:
    """Wait until the loop under test has done its round."""
    async with asyncio.timeout(10):
        while clock.sleepers == 0:
            await asyncio.sleep(0.001)


async def rounds(clock: FakeClock, seconds: float, times: int) -> None:
    for _ in range(times):
        await asleep(clock)
        await clock.advance(seconds)
    await asleep(clock)


async def test_one_ping_a_period(server: SdkServer, clock: FakeClock) -> None:
    async with pinging(server, clock):
        await rounds(clock, PERIOD, 10)
        assert server.count("Health") == 11
        await clock.advance(PERIOD * 0.9)
        assert server.count("Health") == 11


async def test_no_ping_while_it_is_not_healthy(server: SdkServer, clock: FakeClock) -> None:
    health = iter([True, False, False, False, True])
    async with pinging(server, clock, lambda: next(health)):
        await rounds(clock, PERIOD, 3)
        assert server.count("Health") == 1
        await rounds(clock, PERIOD, 1)
        assert server.count("Health") == 2


async def test_pings_arrive_again_after_a_restart_of_the_server(
    server: SdkServer, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    async with pinging(server, clock):
        await asleep(clock)
        await server.stop()
        await rounds(clock, PERIOD, 5)
        assert server.count("Health") == 1
        await server.start()
        async with asyncio.timeout(10):
            while server.count("Health") < 3:
                await rounds(clock, PERIOD, 1)
                await asyncio.sleep(0.01)
    said = [record.getMessage() for record in caplog.records if record.name == "agones_sdk.health"]
    assert len(said) == 2
    assert "do not arrive" in said[0]
    assert "arrive again" in said[1]


async def test_a_server_that_hangs_has_one_ping_before_it_and_no_queue(server: SdkServer, clock: FakeClock) -> None:
    server.hang()
    async with pinging(server, clock):
        await server.called("Health")
        await clock.advance(1000 * PERIOD)
        assert server.count("Health") == 1
        server.resume()
        await asleep(clock)
        assert server.count("Health") == 1
        await rounds(clock, PERIOD, 1)
        assert server.count("Health") == 2


async def test_a_ping_into_a_hanging_server_ends_at_its_deadline_and_the_next_comes_soon(
    server: SdkServer, clock: FakeClock
) -> None:
    server.hang()
    async with pinging(server, clock, deadline=0.05):
        await rounds(clock, RETRY, 2)
        assert server.count("Health") == 3
        server.resume()
        await rounds(clock, RETRY, 1)
        assert server.count("Health") == 4


async def test_a_server_that_says_unavailable_is_asked_again(server: SdkServer, clock: FakeClock) -> None:
    server.refuse(grpc.StatusCode.UNAVAILABLE)
    async with pinging(server, clock):
        await rounds(clock, RETRY, 5)
        assert server.count("Health") == 6
        server.resume()
        await rounds(clock, RETRY, 1)
        assert server.count("Health") == 7
        await clock.advance(RETRY)
        assert server.count("Health") == 7
