"""What people did and which waiting pages are open: kept in memory, written coarsely, and how far it is written."""

from dataclasses import dataclass, replace

from allocator.policy.idleness import ends_whatever_happens
from allocator.sessions.context import Context
from allocator.sessions.control import forgiven
from allocator.sessions.lease import Unreadable
from allocator.sessions.model import USABLE, WAITING, Activity, Session, SessionState
from allocator.settings import Profile
from fleet.base import FleetError, NotFound


def touched(session: Session, activity: Activity, profile: Profile) -> Session | None:
    """The session with this activity; a warning that came before it is taken back."""
    if session.state not in USABLE or (session.activity and session.activity.at > activity.at):
        return None
    seen = replace(session, activity=activity)
    active_since = session.entered(SessionState.ACTIVE) or session.enqueued_at
    warned = session.state is SessionState.ENDING and activity.at >= session.since
    if warned and not ends_whatever_happens(profile, active_since, activity.at):
        return seen.enter(SessionState.ACTIVE, activity.at)
    return seen


@dataclass(frozen=True, slots=True)
class _Pending:
    """Not yet written. `first_at`: since when there is something to write."""

    first_at: float
    activity: Activity | None = None
    page_seen: float | None = None

    def after(self, earlier: "_Pending | None") -> "_Pending":
        if earlier is None:
            return self
        return _Pending(
            min(self.first_at, earlier.first_at), self.activity or earlier.activity, self.page_seen or earlier.page_seen
        )


class Recorder:
    """One replica's eyes. `flush` is to be called often; it writes what is due."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._pending: dict[str, _Pending] = {}
        self._writing: dict[str, _Pending] = {}

    def saw(self, key: str, kind: str, source: str = "") -> None:
        """A person did something in their session. In the warning it is written at once."""
        now = self._context.clock.time()
        self._note(key, _Pending(now, activity=Activity(now, kind, source or self._context.identity)))
        session = self._context.sessions.get(key)
        if session and session.state is SessionState.ENDING:
            self._context.wake()

    def page_seen(self, key: str) -> None:
        now = self._context.clock.time()
        self._note(key, _Pending(now, page_seen=now))

    def flushed_through(self, key: str | None = None) -> float:
        """Up to when (epoch seconds) everything that this replica saw, of one user or of all, is in the Leases."""
        if key is None:
            unwritten = [*self._pending.values(), *self._writing.values()]
        else:
            unwritten = [kept[key] for kept in (self._pending, self._writing) if key in kept]
        return min((pending.first_at for pending in unwritten), default=self._context.clock.time())

    async def flush(self, *, everything: bool = False) -> None:
        """Write what is due; what fails is kept and tried again."""
        for key in list(self._pending):
            if everything or self._due(key):
                await forgiven("activity", self._write(key))

    def _note(self, key: str, pending: _Pending) -> None:
        self._pending[key] = pending.after(self._pending.get(key))

    def _due(self, key: str) -> bool:
        """Whether what the Lease says is older than is to be borne; in the warning, at once."""
        session, now = self._context.sessions.get(key), self._context.clock.time()
        if session is not None and session.state in WAITING:
            return now - (session.page_seen or 0.0) >= self._context.settings.queue_lapse / 4
        if session is not None and session.state is SessionState.ACTIVE and session.activity:
            return now - session.activity.at >= self._context.profile(session).activity_resolution
        return True

    async def _write(self, key: str) -> None:
        pending = self._writing[key] = self._pending.pop(key)
        try:
            await self._context.sessions.step(key, lambda session: self._record(session, pending))
        except (NotFound, Unreadable):
            return  # there is nobody left to be kept alive
        except FleetError:
            self._note(key, pending)
            raise
        finally:
            del self._writing[key]

    def _record(self, session: Session, pending: _Pending) -> Session | None:
        if pending.page_seen and session.state in WAITING:
            return replace(session, page_seen=max(pending.page_seen, session.page_seen or 0.0))
        if pending.activity:
            return touched(session, pending.activity, self._context.profile(session))
        return None
