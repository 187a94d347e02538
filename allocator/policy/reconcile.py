"""What is wrong between sessions and GameServers, and what mends it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from allocator.sessions.model import OVER, USABLE, Session
from fleet.base import GameServer
from runtime.names import USER_LABEL, GameServerState

ENDED_UNEXPECTEDLY = "The WebUI ended unexpectedly; your files are safe. Perhaps Atelier was restarted. Start again."


@dataclass(frozen=True, slots=True)
class Delete:
    """End a GameServer that nobody may use. `user` is whose label it carries."""

    server: GameServer
    user: str
    reason: str


@dataclass(frozen=True, slots=True)
class Fail:
    """End a session whose GameServer is lost. `user` is its key, `uid` the lost GameServer's."""

    user: str
    uid: str
    reason: str
    detail: str


Action = Delete | Fail


def usable(server: GameServer | None, uid: str) -> bool:
    """Whether the GameServer that a Lease names is there, is the very one, and is still the user's."""
    return server is not None and server.uid == uid and server.state is GameServerState.ALLOCATED and not server.deleting


def extras(sessions: Mapping[str, Session], servers: Iterable[GameServer]) -> list[Delete]:
    """Servers that carry a user's label and that no Lease names, and those that are no longer the user's.

    The former are deleted only when they have been so for a settling time: an allocation is seen before the Lease
    that will name it. The latter never get better.
    """
    found = []
    for server in servers:
        user = server.labels.get(USER_LABEL)
        if user is None or server.deleting:
            continue
        session = sessions.get(user)
        current = session.current if session and session.state not in OVER else None
        if server.state is not GameServerState.ALLOCATED:
            found.append(Delete(server, user, f"carries a user's label and is {server.state.value}"))
        elif current is None or current.uid != server.uid:
            kind = "orphan" if current is None else "duplicate"
            found.append(Delete(server, user, f"{kind}: no session names it"))
    return found


def lost(sessions: Iterable[Session], servers: Mapping[str, GameServer]) -> list[Fail]:
    """Sessions in use whose GameServer vanished, failed, or was given back by what runs in it. `servers` is by name."""
    found = []
    for session in sessions:
        if session.state not in USABLE or session.current is None:
            continue
        server = servers.get(session.current.name)
        if not usable(server, session.current.uid):
            found.append(
                Fail(session.key, session.current.uid, ENDED_UNEXPECTEDLY, _what_happened(server, session.current.uid))
            )
    return found


def settled(action: Action, first_seen: Mapping[str, float], monotonic: float, settling_seconds: float) -> bool:
    """Whether to act now. `first_seen` is on this process's own monotonic clock, by the GameServer's uid."""
    if isinstance(action, Fail) or action.server.state is not GameServerState.ALLOCATED:
        return True
    return monotonic - first_seen.get(action.server.uid, monotonic) >= settling_seconds


def decide(sessions: Collection[Session], servers: Collection[GameServer], unreadable: Collection[str] = ()) -> list[Action]:
    """Everything to mend. Users whose Lease cannot be read (`unreadable`) are left alone."""
    known = [server for server in servers if server.labels.get(USER_LABEL) not in unreadable]
    actions: list[Action] = list(lost(sessions, {server.name: server for server in servers}))
    actions.extend(extras({session.key: session for session in sessions}, known))
    return actions


def _what_happened(server: GameServer | None, uid: str) -> str:
    if server is None or server.uid != uid:
        return "vanished"
    return "is being deleted" if server.deleting else f"is {server.state.value}"
