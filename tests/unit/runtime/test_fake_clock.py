"""The clock that other tests rely on keeps time as they believe."""

import asyncio

from tests.fake_clock import FakeClock


async def test_time_stands_still_until_it_is_moved() -> None:
    clock = FakeClock(now=1000.0)
    assert (clock.time(), clock.monotonic()) == (1000.0, 0.0)
    await clock.advance(2.5)
    assert (clock.time(), clock.monotonic()) == (1002.5, 2.5)


async def test_sleepers_wake_in_the_order_of_their_deadlines_at_their_times() -> None:
    clock = FakeClock()
    woken: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        woken.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as group:
        for name, seconds in (("late", 3.0), ("early", 1.0), ("same", 3.0)):
            group.create_task(sleeper(name, seconds))
        await clock.advance(0.5)
        assert (woken, clock.sleepers) == ([], 3)
        await clock.advance(10.0)
    assert woken == [("early", 1.0), ("late", 3.0), ("same", 3.0)]


async def test_a_loop_that_sleeps_again_is_woken_each_time_it_is_due() -> None:
    clock = FakeClock()
    ticks: list[float] = []

    async def ticking() -> None:
        while len(ticks) < 4:
            await clock.sleep(2.0)
            ticks.append(clock.monotonic())

    async with asyncio.TaskGroup() as group:
        group.create_task(ticking())
        await clock.advance(8.0)
    assert ticks == [2.0, 4.0, 6.0, 8.0]


async def test_a_cancelled_sleeper_is_no_sleeper() -> None:
    clock = FakeClock()
    task = asyncio.ensure_future(clock.sleep(1.0))
    await clock.advance(0.5)
    task.cancel()
    await asyncio.wait([task])
    assert clock.sleepers == 0
    await clock.advance(1.0)
