"""What a person may know of their session: its state in words, their place, the expected time, and why it still lives."""

from dataclasses import replace

from allocator.policy import idleness, queue, scaling
from allocator.policy.queue import Supply
from allocator.policy.reconcile import usable
from allocator.sessions.context import Context
from allocator.sessions.facts import busy, facts
from allocator.sessions.history import History
from allocator.sessions.model import USABLE, Session, SessionState, SessionView
from allocator.settings import Profile
from fleet.base import GameServer
from runtime.names import BEFORE_READY, USER_LABEL, GameServerState

_STEPS = {
    SessionState.ALLOCATING: "Looking for a free WebUI.",
    SessionState.PREPARING: "Putting your folders in place and waiting for the WebUI to answer.",
    SessionState.RELEASING: "Ending your WebUI. Your files are safe.",
}
WARM_DEFAULT = 1.0
"""Seconds from the allocation to a usable WebUI, until there is a measurement."""


class Views:
    """`of` makes the view of one session from memory."""

    def __init__(self, context: Context, history: History) -> None:
        self._context = context
        self._history = history

    def of(self, session: Session | None) -> SessionView:
        now = self._context.clock.time()
        if session is None:
            return SessionView(SessionState.NONE, now=now)
        profile, server = self._context.profile(session), self._context.server(session)
        state = _shown(session, server)
        position, supply = self._place(session)
        view = SessionView(
            state=state,
            profile=session.profile,
            profile_title=profile.title or profile.name,
            gameserver=session.current.name if session.current else "",
            position=position,
            eta_seconds=self._eta(session, position, supply, now),
            since=session.since,
            last_activity=session.activity,
            reason=session.reason,
            step=self._waiting(supply, profile) if position else _STEPS.get(state, ""),
            timeline=tuple((state.value, at) for state, at in session.timeline),
            now=now,
            presence_seconds=profile.activity_resolution,
        )
        if state not in USABLE:
            return view
        known = facts(session, server, profile, now)
        return replace(
            view,
            busy=busy(server, session, now),
            releases_at=idleness.releases_at(known),
            alive_because=idleness.alive_because(known, now),
        )

    def _place(self, session: Session) -> tuple[int | None, Supply]:
        """The place in the queue (1 is the first), and what is to be had."""
        position = None
        if session.state is SessionState.QUEUED:
            keys = [waiting.key for waiting in queue.order(self._context.sessions.all(), session.profile)]
            position = keys.index(session.key) + 1 if session.key in keys else None
        return position, self._supply(session)

    def _supply(self, session: Session) -> Supply:
        profile, webui = self._context.profile(session), self._context.webui(session)
        servers = [s for s in self._context.servers.items() if s.fleet == profile.fleet and not s.deleting]
        now = self._context.clock.time()
        return Supply(
            ready=sum(s.state is GameServerState.READY and USER_LABEL not in s.labels for s in servers),
            starting_for=[now - s.created_at for s in servers if s.state in BEFORE_READY],
            room=max(0, profile.size - len(servers)),
            cold_start=self._history.cold_start(profile.fleet, webui.typical_start_seconds),
            warm_start=self._history.warm_start(profile.name, WARM_DEFAULT),
            between_releases=self._history.between_releases(profile.name),
        )

    def _eta(self, session: Session, position: int | None, supply: Supply, now: float) -> float | None:
        if position is not None:
            return queue.eta_seconds(position, supply)
        if session.state in (SessionState.ALLOCATING, SessionState.PREPARING):
            began = session.entered(SessionState.ALLOCATING) or session.since
            return max(0.0, supply.warm_start - (now - began))
        return None

    def _waiting(self, supply: Supply, profile: Profile) -> str:
        """Why one waits."""
        if supply.ready:
            return "A WebUI is free; you are about to get one."
        if scaling.paused_until(self._history.failures(profile.fleet)):
            return "Starting a WebUI has failed several times. It is tried again from time to time; tell whoever runs Atelier."
        if supply.starting_for:
            return "A new WebUI is starting."
        if supply.room:
            return "No WebUI is free; a new one is being asked for."
        few = {1: "The only WebUI is in use.", 2: "Both WebUIs are in use."}
        return few.get(profile.size, f"All {profile.size} WebUIs are in use.")


def _shown(session: Session, server: GameServer | None) -> SessionState:
    """Usable only while there is something to use: a page that is sent to a lost WebUI would only be sent back.

    The reconciler ends such a session. A server without the user's label is one that this replica's memory lags behind.
    """
    if session.state not in USABLE or session.current is None or usable(server, session.current.uid):
        return session.state
    return SessionState.RELEASING if server is None or USER_LABEL in server.labels else SessionState.PREPARING
