"""The leader compares Leases with GameServers and mends what does not fit: no GPU leaks, and no session hangs on a ghost.

What memory says is only a suspicion; each act is preceded by quorum reads of that one user's Lease and servers.
"""

import logging
from dataclasses import replace

from allocator.policy import reconcile
from allocator.policy.reconcile import Action, Delete, Fail
from allocator.sessions.context import Context
from allocator.sessions.control import forgiven
from allocator.sessions.lease import Unreadable
from allocator.sessions.model import USABLE, Session, SessionState
from fleet.base import Conflict, NotFound

log = logging.getLogger(__name__)


class Reconciler:
    """`sync` compares everything. Safe to run twice, and by several replicas."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._first_seen: dict[str, float] = {}

    async def sync(self) -> None:
        context = self._context
        actions = reconcile.decide(context.sessions.all(), context.servers.items(), context.sessions.unreadable)
        now = context.clock.monotonic()
        suspects = {action.server.uid for action in actions if isinstance(action, Delete)}
        self._first_seen = {uid: self._first_seen.get(uid, now) for uid in suspects}
        for action in actions:
            if reconcile.settled(action, self._first_seen, now, context.timing.settling):
                await forgiven(f"reconcile {action.user}", self._mend(action))

    async def _mend(self, suspicion: Action) -> None:
        try:
            sessions = [await self._context.sessions.read(suspicion.user)]
        except NotFound:
            sessions = []
        except Unreadable:
            return
        for action in reconcile.decide(sessions, await self._context.servers_of(suspicion.user)):
            if isinstance(action, Delete) and isinstance(suspicion, Delete) and action.server.uid == suspicion.server.uid:
                await self._delete(action)
            elif isinstance(action, Fail) and isinstance(suspicion, Fail) and action.uid == suspicion.uid:
                await self._fail(action)

    async def _delete(self, action: Delete) -> None:
        log.warning("GameServer %s is deleted: %s", action.server.name, action.reason)
        try:
            await self._context.fleet.delete(action.server, any_version=True)  # it could change its version for ever
        except (Conflict, NotFound):
            log.info("GameServer %s changed meanwhile: looked at again", action.server.name)

    async def _fail(self, action: Fail) -> None:
        def fail(session: Session) -> Session | None:
            if session.state not in USABLE or session.current is None or session.current.uid != action.uid:
                return None
            return replace(session, current=None).enter(SessionState.FAILED, self._context.clock.time(), action.reason)

        log.warning("session %s failed: its GameServer %s", action.user, action.detail)
        try:
            await self._context.sessions.step(action.user, fail)
        except (NotFound, Unreadable):
            log.info("session %s is gone meanwhile", action.user)
