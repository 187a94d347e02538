"""The first click: one Lease a user, however often they click and whatever replies are lost."""

import secrets

from allocator.identity.base import User
from allocator.policy import queue
from allocator.sessions.api import SessionRefused
from allocator.sessions.context import Context
from allocator.sessions.model import OVER, Session, SessionState
from allocator.sessions.starter import Starter
from allocator.settings import Profile
from fleet.base import AlreadyExists, Conflict, NotFound, Uncertain

TRIES = 6


class Opener:
    """`open` returns the user's session: the one that there is, or a new one that this replica begins to work on."""

    def __init__(self, context: Context, starter: Starter) -> None:
        self._context = context
        self._starter = starter

    async def open(self, user: User, profile: Profile) -> Session:
        """Raises `SessionRefused`, `FleetError`, `Unreadable`."""
        session = self._context.sessions.get(user.key)
        attempt = secrets.token_hex(16)
        for tried in range(TRIES):
            if tried > 1:  # the first time it is somebody else's click that was faster, mostly
                await self._context.clock.sleep(self._context.timing.retry * tried)
            if tried:
                session = await self._read(user.key)
            if session is not None and session.attempt == attempt:
                return self._begun(session)  # created after all: only the reply was lost
            if session is not None and session.state is SessionState.RELEASING:
                raise SessionRefused("releasing", "Your WebUI is being ended. Start again in a moment.", 409, retry_after=1)
            if session is not None and session.state not in OVER:
                return session
            try:
                if session is not None:
                    await self._context.sessions.delete(session)
                return self._begun(await self._context.sessions.create(self._new(user, profile, attempt)))
            except (AlreadyExists, Conflict, NotFound, Uncertain):
                continue
        raise SessionRefused("unavailable", "The session could not be recorded. Try again in a moment.", 503, retry_after=2)

    async def _read(self, key: str) -> Session | None:
        try:
            return await self._context.sessions.read(key)
        except NotFound:
            return None

    def _begun(self, session: Session) -> Session:
        if session.state is SessionState.ALLOCATING:
            self._starter.begin(session, first=True)
        return session

    def _new(self, user: User, profile: Profile, attempt: str) -> Session:
        now = self._context.clock.time()
        session = Session(
            key=user.key,
            state=SessionState.QUEUED,
            profile=profile.name,
            enqueued_at=now,
            timeline=((SessionState.QUEUED, now),),
            identity=user.identity,
            email=user.email,
            priority=profile.priority,
            attempt=attempt,
            page_seen=now,
        )
        if queue.somebody_waits(self._context.sessions.all(), profile.name):
            return session
        return self._starter.renewed(session.enter(SessionState.ALLOCATING, now))
