"""How late the event loop is: what every user of this process waits for on top."""

import asyncio
from collections import deque

INTERVAL = 0.5
KEPT = 60
"""Half a minute: more than the time between two scrapes of Prometheus as it is usually set up."""


class LoopLag:
    """Sleeps and sees how much later than asked it wakes. Seconds, by the loop's own clock."""

    def __init__(self) -> None:
        self._late: deque[float] = deque(maxlen=KEPT)

    def longest(self) -> float:
        return max(self._late, default=0.0)

    async def run(self) -> None:
        """Measure until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            asked = loop.time() + INTERVAL
            await asyncio.sleep(INTERVAL)
            self._late.append(max(0.0, loop.time() - asked))
