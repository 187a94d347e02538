"""How many GameServers a Fleet should have."""

from collections.abc import Iterable
from dataclasses import dataclass

from allocator.sessions.model import Session, SessionState
from allocator.settings import Profile
from fleet.base import GameServer
from runtime.names import USER_LABEL, GameServerState

PATIENCE = 3
"""So many failed starts in a row are retried at once."""
FIRST_PAUSE = 30.0
LONGEST_PAUSE = 600.0


@dataclass(frozen=True, slots=True)
class Failures:
    """Starts that failed in a row, and when the last one did (epoch seconds)."""

    count: int = 0
    last_at: float = 0.0


@dataclass(frozen=True, slots=True)
class Desired:
    replicas: int
    reason: str


def desired(
    profile: Profile, sessions: Iterable[Session], servers: Iterable[GameServer], failures: Failures, now: float
) -> Desired:
    """Allocated + waiting + warm, at most the profile's size, with the sum as the reason."""
    live = [server for server in servers if server.fleet == profile.fleet and not server.deleting]
    allocated = [server for server in live if server.state is GameServerState.ALLOCATED]
    sessions = [session for session in sessions if session.profile == profile.name]
    releasing = 0
    if not profile.warm:  # with warm servers, leaving these out would end one that is Ready instead
        going = {session.current.uid for session in sessions if session.state is SessionState.RELEASING and session.current}
        releasing = sum(server.uid in going for server in allocated)
    held = {server.labels.get(USER_LABEL) for server in allocated}
    waiting = sum(
        session.state in (SessionState.QUEUED, SessionState.ALLOCATING) and session.key not in held for session in sessions
    )
    in_use = len(allocated) - releasing
    wanted = min(profile.size, in_use + waiting + profile.warm)
    reason = f"{in_use} allocated + {waiting} waiting + {profile.warm} warm, at most {profile.size}"
    if (until := paused_until(failures)) and wanted > in_use:
        running = in_use + sum(server.state is GameServerState.READY for server in live)
        one_try = 1 if now >= until else 0
        if wanted > running + one_try:
            return Desired(running + one_try, f"{failures.count} starts in a row failed ({reason})")
    return Desired(max(wanted, in_use), reason)


def paused_until(failures: Failures) -> float | None:
    """Until when no new server is asked for, after too many failed starts; None when there is no reason to pause."""
    if failures.count < PATIENCE:
        return None
    pause = FIRST_PAUSE * 2.0 ** min(failures.count - PATIENCE, 10)
    return failures.last_at + min(pause, LONGEST_PAUSE)
