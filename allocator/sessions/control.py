"""Level-triggered loops: look at everything, mend it, wait for a change or for a while."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Never

from allocator.sessions.context import Context
from fleet.base import FleetError
from runtime.clock import until

log = logging.getLogger(__name__)


async def control(context: Context, name: str, sync: Callable[[], Awaitable[None]], every: float) -> Never:
    """Call `sync` after each change, and `every` so many seconds without one. A store that fails is tried again."""
    waker = asyncio.Event()
    context.wakers.append(waker)
    try:
        while True:
            waker.clear()
            await forgiven(name, sync())
            await until(waker, context.clock, every)
    finally:
        context.wakers.remove(waker)


async def forgiven(name: str, act: Awaitable[None]) -> None:
    """Carry out an act that is looked at again soon, so that it may fail now."""
    try:
        await act
    except FleetError as error:
        log.warning("%s: %s: %s", name, type(error).__name__, error)
