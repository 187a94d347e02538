"""Which replica leads: the one that holds the election's Lease.

Leading is a matter of efficiency, not of safety: all that a leader does is compare and swap, so one that was deposed
without knowing it yet does no harm.
"""

import logging
from dataclasses import replace

from allocator.sessions.context import Timing
from allocator.sessions.expiry import Expiry
from allocator.sessions.lease import KIND_LABEL
from fleet.base import AlreadyExists, Conflict, FleetError, Lease, LeaseStore, NotFound
from runtime.clock import Clock

log = logging.getLogger(__name__)
NAME = "atelier-leader"
ELECTION_KIND = {KIND_LABEL: "election"}


class Election:
    """`campaign` is to be called every `timing.renew`; `leading` says whether it was won and still holds."""

    def __init__(self, leases: LeaseStore, identity: str, clock: Clock, timing: Timing, expiry: Expiry) -> None:
        self._leases = leases
        self._identity = identity
        self._clock = clock
        self._timing = timing
        self._expiry = expiry
        self._won_at: float | None = None

    @property
    def leading(self) -> bool:
        """It steps down before others may step up."""
        return self._won_at is not None and self._clock.monotonic() - self._won_at < self._timing.renew_deadline

    async def campaign(self) -> None:
        """Take the Lease if it is free or its holder is gone, renew it if it is held. Failing leaves things as they are."""
        asked_at = self._clock.monotonic()
        try:
            won = await self._take()
        except (Conflict, AlreadyExists, NotFound):
            won = False
        except FleetError as error:
            log.warning("election: %s", error)
            return
        if won and not self.leading:
            log.info("%s leads", self._identity)
        self._won_at = asked_at if won else None

    async def resign(self) -> None:
        """Let another replica lead at once. Raises `FleetError`."""
        if self.leading:
            self._won_at = None
            lease = await self._leases.get(NAME)
            if lease.holder == self._identity:
                await self._leases.update(replace(lease, holder=""))

    async def _take(self) -> bool:
        try:
            lease = await self._leases.get(NAME)
        except NotFound:
            lease = None
        if lease and lease.holder != self._identity and not self._expiry.expired(lease):
            return False
        mine = replace(
            lease or Lease(NAME, labels=ELECTION_KIND),
            holder=self._identity,
            renew_time=self._clock.time(),
            duration_seconds=self._timing.lease_seconds,
        )
        await (self._leases.update(mine) if lease else self._leases.create(mine))
        return True
