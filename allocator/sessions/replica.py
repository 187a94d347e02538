"""This allocator process among the others: its Lease says that it lives and how far it has written what it saw."""

import logging
from collections.abc import Callable
from dataclasses import replace

from allocator.sessions.activity import Recorder
from allocator.sessions.context import Context
from allocator.sessions.lease import KIND_LABEL, PREFIX
from allocator.sessions.model import Session
from fleet.base import Conflict, FleetError, Lease, LeaseStore, NotFound
from fleet.informer import Informer

log = logging.getLogger(__name__)
REPLICA_KIND = {KIND_LABEL: "replica"}
FLUSHED = PREFIX + "flushed-through"

Evidence = Callable[[str], float]
"""By user: what they did until then (epoch seconds) is in their Lease."""


class Replica:
    """`renew` is to be called every `timing.renew`, `retire` at a clean end."""

    def __init__(self, context: Context, leases: LeaseStore, known: Informer[Lease], recorder: Recorder) -> None:
        self._context = context
        self._leases = leases
        self._known = known
        self._recorder = recorder
        self._lease: Lease | None = None
        self._renewed_at: float | None = None

    @property
    def known(self) -> bool:
        """Whether the others can know of this process: nothing may depend on what it sees before."""
        return self._renewed_at is not None

    async def renew(self) -> None:
        """Publish `flushedThrough`. Raises `FleetError`."""
        context = self._context
        now = context.clock.monotonic()
        try:
            await self._publish()
        except (Conflict, NotFound):
            self._lease = None
            await self._publish()
        if self._renewed_at is not None and now - self._renewed_at > context.timing.lease_seconds:
            context.expiry.forget()
        self._renewed_at = now

    async def retire(self) -> None:
        """Say good-bye, so that nobody waits for this process. Raises `FleetError`."""
        await self._recorder.flush(everything=True)
        lease = await self._leases.get(self._name)
        await self._leases.delete(lease)

    def evidence(self) -> Evidence:
        """The oldest `flushedThrough` of the live replicas. Of what it saw itself, this one knows whose it was."""
        live = (lease for lease in self._others() if not self._context.expiry.expired(lease))
        others = min(map(_flushed, live), default=float("inf"))
        return lambda key: min(others, self._recorder.flushed_through(key))

    def gone(self, session: Session) -> bool:
        """Whether nobody works on the session: its holder said good-bye, or no longer renews."""
        holder = session.holder
        here = holder == self._context.identity or any(lease.holder == holder for lease in self._others())
        return self._context.expiry.expired(session) or not here

    async def bury(self) -> None:
        """Delete the Leases of replicas that are gone. Raises `FleetError`."""
        for lease in self._others():
            if self._context.expiry.expired(lease):
                try:
                    await self._leases.delete(lease)
                except (Conflict, NotFound):
                    log.info("replica %s is back, or buried already", lease.holder)

    @property
    def _name(self) -> str:
        return f"atelier-replica-{self._context.identity}"

    def _others(self) -> list[Lease]:
        kind = REPLICA_KIND.items()
        return [lease for lease in self._known.items() if kind <= lease.labels.items() and lease.name != self._name]

    async def _publish(self) -> None:
        try:
            lease = self._lease or await self._leases.get(self._name)
        except NotFound:
            lease = None
        mine = replace(
            lease or Lease(self._name, labels=REPLICA_KIND),
            holder=self._context.identity,
            renew_time=self._context.clock.time(),
            duration_seconds=self._context.timing.lease_seconds,
            annotations={FLUSHED: repr(self._recorder.flushed_through())},
        )
        try:
            self._lease = await (self._leases.update(mine) if lease else self._leases.create(mine))
        except FleetError:
            self._lease = None
            raise


def _flushed(lease: Lease) -> float:
    """Nothing is known of a replica whose word cannot be read."""
    try:
        return float(lease.annotations.get(FLUSHED, "0"))
    except ValueError:
        return 0.0
