"""Wait for what another process does, where nothing can be subscribed to."""

import asyncio
from collections.abc import Callable

DEADLINE = 20.0
"""No step of a test takes longer, on the slowest machine."""


async def eventually(condition: Callable[[], bool], deadline: float = DEADLINE) -> None:
    """Return as soon as the condition holds. Raises `TimeoutError` after `deadline` seconds."""
    async with asyncio.timeout(deadline):
        while not condition():
            await asyncio.sleep(0.01)
