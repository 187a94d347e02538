"""Time, passed in. Nothing in Atelier reads a clock except through `Clock`, so tests decide what time it is."""

import asyncio
import time
from typing import Protocol


class Clock(Protocol):
    """Wall time for what is written down, monotonic time for how long something takes."""

    def time(self) -> float:
        """Seconds since the epoch, for annotations, pages and logs."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back, for durations and deadlines."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Return after `seconds` of monotonic time."""
        ...


class SystemClock:
    """The machine's clock."""

    def time(self) -> float:
        return time.time()

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def until(event: asyncio.Event, clock: Clock, seconds: float) -> None:
    """Return when the event is set, or after `seconds`."""

    async def ring() -> None:
        await clock.sleep(seconds)
        event.set()

    async with asyncio.TaskGroup() as group:
        timer = group.create_task(ring())
        await event.wait()
        timer.cancel()
