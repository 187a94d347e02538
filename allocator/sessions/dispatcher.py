"""The leader's part in starting: it serves the queue in order, and takes up what others left behind."""

from dataclasses import replace

from allocator.policy import queue
from allocator.sessions.context import Context
from allocator.sessions.lease import Unreadable
from allocator.sessions.model import WAITING, WORKED_ON, Session, SessionState
from allocator.sessions.replica import Replica
from allocator.sessions.starter import Starter
from allocator.settings import Profile
from fleet.base import NotFound
from runtime.names import USER_LABEL, GameServerState

NOT_OFFERED = "What you asked for is no longer offered. Choose again."


class Dispatcher:
    """`sync` looks at every waiting session."""

    def __init__(self, context: Context, starter: Starter, replica: Replica) -> None:
        self._context = context
        self._starter = starter
        self._replica = replica
        self._began = context.clock.time()

    async def sync(self) -> None:
        """Raises `FleetError`."""
        for session in self._context.sessions.all():
            offered = self._context.settings.profile(session.profile) is not None
            if not offered and session.state in WAITING:
                await self._end(session, SessionState.FAILED, NOT_OFFERED)
            elif session.state in WORKED_ON and self._abandoned(session):
                await self._take(session)
        for profile in self._context.settings.profiles:
            await self._serve(profile)

    def _abandoned(self, session: Session) -> bool:
        """Whether nobody works on it: this replica neither, and no other that still renews its hold."""
        return not self._starter.works_on(session) and self._replica.gone(session)

    async def _serve(self, profile: Profile) -> None:
        evidence = self._replica.evidence()
        waiting = []
        for session in queue.order(self._context.sessions.all(), profile.name):
            if queue.lapses(session, evidence(session.key), self._context.settings.queue_lapse, self._began):
                await self._end(session, SessionState.ENDED, queue.LAPSED)
            else:
                waiting.append(session)
        nothing_ready_at = self._starter.nothing_ready_at.get(profile.name, float("-inf"))
        if self._context.clock.monotonic() - nothing_ready_at < self._context.timing.retry:
            return  # memory is behind: it shows a server that is gone
        for session in waiting[: max(0, self._free(profile))]:
            await self._take(session)

    def _free(self, profile: Profile) -> int:
        """How many servers are Ready for somebody, less those that somebody is being allocated just now."""
        ready = sum(
            server.fleet == profile.fleet
            and server.state is GameServerState.READY
            and not server.deleting
            and USER_LABEL not in server.labels
            for server in self._context.servers.items()
        )
        allocating = sum(
            session.state is SessionState.ALLOCATING and session.profile == profile.name
            for session in self._context.sessions.all()
        )
        return ready - allocating

    async def _take(self, seen: Session) -> None:
        """Make it this replica's, if it still is what was seen."""

        def take(session: Session) -> Session | None:
            if (session.uid, session.state, session.attempt) != (seen.uid, seen.state, seen.attempt):
                return None
            if session.state is SessionState.QUEUED:
                session = session.enter(SessionState.ALLOCATING, self._context.clock.time())
            taken.append(self._starter.taken(session))
            return taken[-1]

        taken: list[Session] = []
        try:
            session = await self._context.sessions.step(seen.key, take)
        except (NotFound, Unreadable):
            return
        if any(session.attempt == mine.attempt for mine in taken):
            self._starter.begin(session)

    async def _end(self, seen: Session, state: SessionState, reason: str) -> None:
        def end(session: Session) -> Session | None:
            unchanged = session.state is seen.state and session.page_seen == seen.page_seen
            ended = replace(session, current=None)  # a server that it had is nobody's from now on
            return ended.enter(state, self._context.clock.time(), reason) if unchanged else None

        try:
            await self._context.sessions.step(seen.key, end)
        except (NotFound, Unreadable):
            return
