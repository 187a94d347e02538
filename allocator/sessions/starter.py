"""The work on one session, from the allocation to a usable WebUI, while this replica holds its Lease."""

import asyncio
import logging
import secrets
from dataclasses import replace
from functools import partial
from typing import Never

from allocator.sessions.allocation import allocate
from allocator.sessions.context import Context
from allocator.sessions.lease import Unreadable
from allocator.sessions.model import OVER, WORKED_ON, Activity, GameServerRef, Session, SessionState
from allocator.sessions.preparation import Lost, Preparation
from allocator.sessions.store import Step
from fleet.base import FleetError, GameServer, NotFound
from runtime.names import NONCE_ANNOTATION

log = logging.getLogger(__name__)
PATIENCE = 3
"""So many GameServers may be lost before the WebUI is usable."""
LOST = "Your WebUI could not be started: it ended before it was ready, three times. Your files are safe. Try again later."
TOO_SLOW = "Your WebUI could not be started: it was not ready in time. Your files are safe. Start again."


class Superseded(Exception):
    """The session is over, or somebody else works on it."""


class Starter:
    """Runs at most one worker for each attempt, in the group that `run_in` was given."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._group: asyncio.TaskGroup | None = None
        self._working: set[str] = set()
        self.nothing_ready_at: dict[str, float] = {}
        """By profile: when (monotonic) the last allocation found no Ready server."""

    def run_in(self, group: asyncio.TaskGroup | None) -> None:
        self._group = group

    def works_on(self, session: Session) -> bool:
        return session.attempt in self._working

    def taken(self, session: Session) -> Session:
        """Held by this replica under a new attempt, which shuts out whoever worked on it before."""
        return self.renewed(replace(session, attempt=secrets.token_hex(16)))

    def renewed(self, session: Session) -> Session:
        return session.held(self._context.identity, self._context.clock.time(), self._context.timing.lease_seconds)

    def begin(self, session: Session, *, first: bool = False) -> None:
        """Start working on a session that was `taken`. `first`: nobody has tried to allocate for this Lease before."""
        if self._group is not None and session.attempt not in self._working:
            self._working.add(session.attempt)
            self._group.create_task(self._run(session, first))

    async def _run(self, session: Session, first: bool) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                keeper = group.create_task(self._keep(session))
                await self._start(session, first)
                keeper.cancel()
        except* (Superseded, NotFound, Unreadable):
            log.info("session %s went another way", session.key)
        except* FleetError as errors:
            log.warning("session %s: %s; to be taken up again", session.key, errors.exceptions[0])
        finally:
            self._working.discard(session.attempt)
            self._context.wake()

    async def _keep(self, session: Session) -> Never:
        """Renew the hold, and give up when the WebUI takes too long."""
        while True:
            await self._context.clock.sleep(self._context.timing.renew)
            await self._step(session, self._renewed_or_failed)

    async def _start(self, session: Session, first: bool) -> None:
        while True:
            server = None
            if session.state is SessionState.ALLOCATING:
                server = await allocate(self._context, session, self._context.profile(session), first=first)
                if server is None:
                    self.nothing_ready_at[session.profile] = self._context.clock.monotonic()
                    await self._step(session, self._requeued)
                    return
                session = await self._adopt(session, server)
            assert session.current is not None
            try:
                await Preparation(self._context, session.key, session.current, self._context.webui(session)).run(server)
            except Lost as lost:
                log.warning("session %s lost GameServer %s: %s", session.key, session.current.name, lost)
                session = await self._step(session, partial(self._started_over, session.current))
                first = False
                continue
            await self._step(session, self._usable)
            return

    async def _adopt(self, session: Session, server: GameServer) -> Session:
        """Name the server in the Lease. If somebody was faster it stays unnamed, and the reconciler ends it."""
        ref = GameServerRef(server.name, server.uid, server.annotations.get(NONCE_ANNOTATION, ""))

        def name(held: Session) -> Session:
            if held.current is not None:
                return held
            return self.renewed(replace(held, current=ref).enter(SessionState.PREPARING, self._context.clock.time()))

        session = await self._step(session, name)
        if session.current != ref:
            raise Superseded
        return session

    async def _step(self, session: Session, change: Step) -> Session:
        """A step of the one who still works on it. Raises `Superseded`, `FleetError`."""

        def mine(held: Session) -> Session | None:
            return change(held) if held.attempt == session.attempt and held.state in WORKED_ON else None

        stepped = await self._context.sessions.step(session.key, mine)
        over = stepped.state in OVER or stepped.state is SessionState.RELEASING
        if over or stepped.attempt != session.attempt or stepped.uid != session.uid:
            raise Superseded
        return stepped

    def _renewed_or_failed(self, session: Session) -> Session:
        now = self._context.clock.time()
        too_slow = now - session.since > self._context.profile(session).startup_deadline
        if session.state is SessionState.PREPARING and too_slow:
            return replace(session, current=None).enter(SessionState.FAILED, now, TOO_SLOW)
        return self.renewed(session)

    def _requeued(self, session: Session) -> Session:
        return session.enter(SessionState.QUEUED, self._context.clock.time())

    def _usable(self, session: Session) -> Session:
        now = self._context.clock.time()
        active = session.enter(SessionState.ACTIVE, now)
        return replace(active, activity=Activity(now, "start", self._context.identity), failures=0)

    def _started_over(self, lost: GameServerRef, session: Session) -> Session | None:
        if session.current != lost:
            return None  # done already: only the reply was lost
        now = self._context.clock.time()
        over = replace(session, current=None, failures=session.failures + 1)
        if over.failures >= PATIENCE:
            return over.enter(SessionState.FAILED, now, LOST)
        return self.renewed(over.enter(SessionState.ALLOCATING, now))
