"""The event loop's lag is seen by being late."""

import asyncio
import time

import pytest

from allocator.operators import lag
from allocator.operators.lag import LoopLag


async def test_a_blocked_loop_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lag, "INTERVAL", 0.01)
    measured = LoopLag()
    assert measured.longest() == 0.0
    async with asyncio.TaskGroup() as group:
        task = group.create_task(measured.run())
        await asyncio.sleep(0)
        time.sleep(0.1)  # noqa: ASYNC251 - to block the loop is the point
        async with asyncio.timeout(5):
            while measured.longest() < 0.05:
                await asyncio.sleep(0.01)
        task.cancel()
    assert measured.longest() < 5.0
