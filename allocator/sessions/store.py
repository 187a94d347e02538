"""Sessions in memory and in the store: every step is a compare and swap.

Memory is the informer's, plus this replica's own writes until the informer has caught up with them.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass

from allocator.sessions.lease import KIND_LABEL, SESSION_KIND, Unreadable, decode, encode
from allocator.sessions.model import Session
from fleet.base import Conflict, Lease, LeaseStore, Uncertain
from fleet.informer import Change, Informer
from runtime.clock import Clock

log = logging.getLogger(__name__)
TRIES = 10
FIRST_PAUSE, LAST_PAUSE = 0.05, 0.5
CATCH_UP_SECONDS = 30.0
"""After so long the informer is right, and an own write that it does not show is gone again."""

Step = Callable[[Session], Session | None]
"""From the session as read to the session as wanted; None leaves it alone. It may be called several times."""
Listener = Callable[[Session | None, Session | None], None]
"""Called with the session before and after a change; None is no session (or one that cannot be read)."""


@dataclass(frozen=True, slots=True)
class _Known:
    lease: Lease
    session: Session | None
    seen_at: float


class SessionStore:
    """All sessions, by the user's key."""

    def __init__(self, leases: LeaseStore, informer: Informer[Lease], clock: Clock) -> None:
        self._leases = leases
        self._informer = informer
        self._clock = clock
        self._known: dict[str, _Known] = {}
        self._listeners: list[Listener] = []
        informer.on_change(self._changed)

    @property
    def synced(self) -> bool:
        return self._informer.synced

    def get(self, key: str) -> Session | None:
        known = self._known.get(key)
        return known.session if known else None

    def all(self) -> list[Session]:
        return [known.session for known in self._known.values() if known.session is not None]

    @property
    def unreadable(self) -> frozenset[str]:
        """Users whose Lease this version cannot read: their sessions and GameServers are left alone."""
        return frozenset(key for key, known in self._known.items() if known.session is None)

    def listen(self, listener: Listener) -> None:
        self._listeners.append(listener)

    async def create(self, session: Session) -> Session:
        """Raises `AlreadyExists`, `Uncertain`."""
        return self._readable(await self._leases.create(encode(session)))

    async def read(self, key: str) -> Session:
        """A quorum read. Raises `NotFound`, `Uncertain`, `Unreadable`."""
        return self._readable(await self._leases.get(key))

    async def step(self, key: str, change: Step, *, fresh: bool = False) -> Session:
        """Change the session, starting over from what is read whenever it was changed meanwhile.

        Returns it as it then is, changed or not: the caller looks. With `fresh` the first read is a quorum read, too.
        Raises `NotFound`, `Uncertain`, `Conflict` (too much contention), `Unreadable`.
        """
        known = None if fresh else self._known.get(key)
        lease = known.lease if known else await self._leases.get(key)
        for attempt in range(TRIES):
            session = decode(lease)
            changed = change(session)
            if changed is None or changed == session:
                return self._readable(lease)
            try:
                return self._readable(await self._leases.update(encode(changed, lease)))
            except (Conflict, Uncertain) as error:
                if attempt == TRIES - 1:
                    raise
                if isinstance(error, Uncertain):
                    await self._clock.sleep(min(LAST_PAUSE, FIRST_PAUSE * 2**attempt))
            lease = await self._leases.get(key)
        raise AssertionError("unreachable: the last try returns or raises")

    async def delete(self, session: Session) -> None:
        """Delete the Lease if it still is as it is known here. Raises `Conflict`, `NotFound`, `Uncertain`."""
        known = self._known.get(session.key)
        if known is None or known.session != session:
            raise Conflict(f"session {session.key} was changed")
        await self._leases.delete(known.lease)
        self._forget(session.key)

    def sweep(self) -> None:
        """Forget own writes that the informer never showed: somebody deleted the Lease at once."""
        now = self._clock.monotonic()
        for key, known in list(self._known.items()):
            late = now - known.seen_at > CATCH_UP_SECONDS
            if late and self._informer.synced and self._informer.get(key) is None:
                self._forget(key)

    def _changed(self, change: Change[Lease]) -> None:
        lease = change.new or change.old
        if lease is None or lease.labels.get(KIND_LABEL) != SESSION_KIND[KIND_LABEL]:
            return
        if change.new is not None:
            self._see(change.new)
        elif (known := self._known.get(lease.name)) and known.lease.uid == lease.uid:
            self._forget(lease.name)

    def _readable(self, lease: Lease) -> Session:
        """What is in a Lease that was just read or written. Raises `Unreadable`."""
        session = decode(lease)
        self._see(lease)
        return session

    def _see(self, lease: Lease) -> None:
        known = self._known.get(lease.name)
        if known and not _newer(lease, known.lease):
            return  # of this Lease or of one before it: the informer is behind an own write
        session = None
        try:
            session = decode(lease)
        except Unreadable as error:
            log.warning("%s", error)
        self._known[lease.name] = _Known(lease, session, self._clock.monotonic())
        self._tell(known.session if known else None, session)

    def _forget(self, key: str) -> None:
        known = self._known.pop(key, None)
        if known:
            self._tell(known.session, None)

    def _tell(self, old: Session | None, new: Session | None) -> None:
        for listener in self._listeners:
            listener(old, new)


def _newer(lease: Lease, known: Lease) -> bool:
    """resourceVersions of one kind are comparable integers (Kubernetes promises it; etcd's revisions always were)."""
    return int(lease.resource_version) > int(known.resource_version)
