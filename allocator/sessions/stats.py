"""One look at all sessions, for the metrics and for operators."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from allocator.sessions.context import Context
from allocator.sessions.history import Durations, History
from allocator.sessions.model import SessionState, SessionView
from runtime.names import GameServerState


@dataclass(frozen=True, slots=True)
class Stats:
    """Counts as of now. Every profile and every state is there, with 0 where there is none."""

    sessions: Mapping[tuple[str, str], int]
    """By profile and state."""
    gameservers: Mapping[tuple[str, str], int]
    """By Fleet and state; those being deleted have the state `Deleting`."""
    starts: Mapping[tuple[str, str], Durations]
    """By profile and outcome (`history.OUTCOMES`), of this replica: seconds from the click."""
    failed_starts: Mapping[str, int]
    """By Fleet: GameServers that failed before they were Ready, in a row."""
    unreadable: int
    leading: bool
    ready: bool


@dataclass(frozen=True, slots=True)
class UserSession:
    """A session with whose it is, for operators."""

    key: str
    identity: str
    email: str
    view: SessionView


def stats(context: Context, history: History, *, leading: bool, ready: bool) -> Stats:
    profiles = context.settings.profiles
    states = [state.value for state in SessionState if state is not SessionState.NONE]
    sessions = Counter((session.profile, session.state.value) for session in context.sessions.all())
    servers = Counter(
        (server.fleet, "Deleting" if server.deleting else server.state.value) for server in context.servers.items()
    )
    gameserver_states = [*(state.value for state in GameServerState), "Deleting"]
    return Stats(
        sessions={(profile.name, state): 0 for profile in profiles for state in states} | sessions,
        gameservers={(profile.fleet, state): 0 for profile in profiles for state in gameserver_states} | servers,
        starts=history.starts,
        failed_starts={profile.fleet: history.failures(profile.fleet).count for profile in profiles},
        unreadable=len(context.sessions.unreadable),
        leading=leading,
        ready=ready,
    )
