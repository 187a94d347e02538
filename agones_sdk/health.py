"""Health pings that outlive the SDK server."""

import logging
from collections.abc import Callable
from typing import Never

from agones_sdk.client import Client
from agones_sdk.errors import SdkError
from runtime.clock import Clock

PERIOD = 6.0
"""Seconds between pings. Agones counts a miss each 5 s by default, three of which end the GameServer."""
RETRY = 1.0
"""Seconds until the next attempt when a ping was not acknowledged."""

log = logging.getLogger(__name__)


async def ping_while(healthy: Callable[[], bool], client: Client, clock: Clock, *, period: float = PERIOD) -> Never:
    """Send a ping every `period` seconds at which `healthy()` holds, for ever; cancel it to stop.

    One ping at a time is under way and each has the client's deadline, so none waits in a queue for a server that is
    gone: silence of the SDK server costs at most that deadline and `RETRY` after its return.
    """
    reachable = True
    while True:
        if healthy():
            acknowledged = await _ping(client, reachable)
            reachable = acknowledged
        await clock.sleep(period if reachable else min(period, RETRY))


async def _ping(client: Client, reachable: bool) -> bool:
    try:
        await client.health()
    except SdkError as error:
        if reachable:
            log.warning("health pings do not arrive: %s", error)
        return False
    if not reachable:
        log.info("health pings arrive again")
    return True
