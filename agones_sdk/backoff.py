"""Waiting between attempts: longer after each one, and never in step with others that wait for the same server."""

import random

from runtime.clock import Clock

FIRST = 0.1
LONGEST = 2.0
"""Seconds. The SDK server is on the same machine and its restart takes about a second."""


class Backoff:
    """The pauses of one loop that tries again and again."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._delay = FIRST

    async def pause(self) -> None:
        """Sleep for half to all of the present delay, then double it up to `LONGEST`."""
        delay = self._delay * random.uniform(0.5, 1.0)  # noqa: S311 (spreads load, protects nothing)
        self._delay = min(self._delay * 2, LONGEST)
        await self._clock.sleep(delay)

    def reset(self) -> None:
        """Start over with short pauses: the attempt succeeded."""
        self._delay = FIRST
