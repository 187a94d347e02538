"""The leader's part in ending: warn, ask the WebUI itself, release, delete, and remember for a while why."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from functools import partial

from allocator.policy import idleness, scaling
from allocator.policy.idleness import Decision, Facts
from allocator.sessions.context import Context
from allocator.sessions.control import forgiven
from allocator.sessions.facts import facts
from allocator.sessions.lease import Unreadable
from allocator.sessions.model import OVER, USABLE, Session, SessionState
from allocator.sessions.replica import Evidence, Replica
from fleet.base import WEBUI_PORT, Conflict, GameServer, NotFound
from runtime.http import HttpError
from webuis.base import BusyState

Act = Callable[[], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A delete that lets the Fleet shrink first."""

    since: float
    reviews: int


class Releaser:
    """`sync` looks at every session in use or on its way out. `reviews` counts a Fleet's autoscale reviews so far."""

    def __init__(self, context: Context, replica: Replica, reviews: Callable[[str], int]) -> None:
        self._context = context
        self._replica = replica
        self._reviews = reviews
        self._waiting: dict[str, _Waiting] = {}

    async def sync(self) -> None:
        """One session's trouble does not hold up another's."""
        evidence = self._replica.evidence()
        releasing = {s.key for s in self._context.sessions.all() if s.state is SessionState.RELEASING}
        self._waiting = {key: waiting for key, waiting in self._waiting.items() if key in releasing}
        async with asyncio.TaskGroup() as group:
            for session in self._context.sessions.all():
                if act := self._act(session, evidence):
                    group.create_task(forgiven(f"session {session.key}", self._attempt(act)))

    def _act(self, session: Session, evidence: Evidence) -> Act | None:
        """What is to be done now for a session, if anything."""
        now = self._context.clock.time()
        if session.state in USABLE:
            known = facts(session, self._context.server(session), self._context.profile(session), now)
            decision = idleness.decide(known, evidence(session.key), now)
            return None if decision is Decision.KEEP else partial(self._carry_out, session, known, decision)
        if session.state is SessionState.RELEASING:
            return partial(self._finish, session)
        if session.state in OVER and now - session.since > self._context.settings.ended_lifetime:
            return partial(self._context.sessions.delete, session)
        return None

    async def _attempt(self, act: Act) -> None:
        try:
            await act()
        except (NotFound, Conflict, Unreadable):
            return  # it was changed meanwhile: the next look sees how

    async def _carry_out(self, session: Session, known: Facts, decision: Decision) -> None:
        reason = idleness.deadline(known).reason
        if decision is Decision.WARN:
            await self._move(session, SessionState.ENDING, reason)
        elif decision is Decision.CLEAR:
            await self._move(session, SessionState.ACTIVE)
        elif idleness.confirm(known, fresh := await self._ask(session), self._context.clock.time()):
            silent = fresh is BusyState.UNKNOWN  # which the sidecar may not have noticed yet
            ended_by = idleness.deadline(replace(known, busy=fresh)).reason if silent else reason
            await self._move(session, SessionState.RELEASING, ended_by)
        else:
            await self._move(session, SessionState.ACTIVE, not_idle_at=self._context.clock.time())

    async def _move(self, seen: Session, state: SessionState, reason: str = "", not_idle_at: float | None = None) -> None:
        """Another state, unless anything that was judged by has changed: then the next look judges anew."""

        def move(session: Session) -> Session | None:
            if (session.state, session.activity, session.current) != (seen.state, seen.activity, seen.current):
                return None
            moved = session.enter(state, self._context.clock.time(), reason)
            return moved if not_idle_at is None else replace(moved, not_idle_at=not_idle_at)

        await self._context.sessions.step(seen.key, move)

    async def _ask(self, session: Session) -> BusyState:
        """The WebUI's own word, now."""
        server, webui = self._context.server(session), self._context.webui(session)
        if server is None or server.address is None or WEBUI_PORT not in server.ports:
            return BusyState.UNKNOWN
        call, timeout = webui.busy, self._context.timing.probe
        try:
            reply = await self._context.call(
                server.address, server.ports[WEBUI_PORT], call.method, call.path, payload=call.payload, timeout=timeout
            )
            return webui.read_busy(reply.json()).state if reply.status == 200 else BusyState.UNKNOWN
        except HttpError:
            return BusyState.UNKNOWN

    async def _finish(self, session: Session) -> None:
        """Delete the GameServer, and end the session once that very one is gone."""
        cached = self._context.server(session)
        if cached is not None and cached.deleting:
            return
        uid = session.current.uid if session.current else ""
        server = next((server for server in await self._context.servers_of(session.key) if server.uid == uid), None)
        if server is None:
            await self._context.sessions.step(session.key, self._ended)
        elif not server.deleting and not self._shrinks_first(session, server):
            await self._context.fleet.delete(server, any_version=True)  # what runs in it can change its version for ever

    def _ended(self, session: Session) -> Session | None:
        if session.state is not SessionState.RELEASING:
            return None
        return replace(session, current=None).enter(SessionState.ENDED, self._context.clock.time(), session.reason)

    def _shrinks_first(self, session: Session, server: GameServer) -> bool:
        """Whether to wait, so that no server is started in its place for nobody. Bounded by `timing.shrink`."""
        context, profile = self._context, self._context.profile(session)
        servers = [other for other in context.servers.items() if other.fleet == server.fleet and not other.deleting]
        wanted = scaling.desired(profile, context.sessions.all(), servers, scaling.Failures(), context.clock.time())
        if profile.warm or wanted.replicas >= len(servers):
            return False
        now, reviews = context.clock.monotonic(), self._reviews(profile.fleet)
        waiting = self._waiting.setdefault(session.key, _Waiting(now, reviews))
        told = reviews - waiting.reviews >= 2  # the Fleet asks for the second time when it has done what the first said
        return not told and now - waiting.since < context.timing.shrink
