"""Who gets the next GameServer, how long that will take, and when a place in the queue lapses."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from allocator.sessions.model import Session, SessionState

LAPSED = "Your place in the queue lapsed, because the waiting page had been closed."


def order(sessions: Iterable[Session], profile: str) -> list[Session]:
    """The queue of a profile, first come first: higher priority, then the longer wait, then the uid."""
    waiting = (session for session in sessions if session.state is SessionState.QUEUED and session.profile == profile)
    return sorted(waiting, key=lambda session: (-session.priority, session.enqueued_at, session.uid))


def somebody_waits(sessions: Iterable[Session], profile: str) -> bool:
    """Whether a newcomer has to queue: also behind one who waited and is being served just now."""
    return any(
        session.profile == profile
        and (
            session.state is SessionState.QUEUED
            or (session.state is SessionState.ALLOCATING and session.since > session.enqueued_at)
        )
        for session in sessions
    )


def lapses(session: Session, evidence_until: float, lapse_seconds: float, watched_since: float) -> bool:
    """Whether its page was gone for too long, as far as every live replica has written what it saw (`evidence_until`).

    `watched_since`: before, perhaps nobody was there to see it.
    """
    return evidence_until - max(session.enqueued_at, session.page_seen or 0.0, watched_since) > lapse_seconds


@dataclass(frozen=True, slots=True)
class Supply:
    """What a profile's Fleet can give soon. Durations are measured, in seconds; None where nothing was measured."""

    ready: int
    starting_for: Sequence[float]
    """How long ago each server that is not yet Ready was created."""
    room: int
    """How many more servers its size allows."""
    cold_start: float
    """From a server's creation to Ready."""
    warm_start: float
    """From the allocation to a usable WebUI."""
    between_releases: float | None


def eta_seconds(position: int, supply: Supply) -> float | None:
    """Seconds until the session at this place (1 is the first) is usable, or None when nothing can be said honestly."""
    if position <= supply.ready:
        return supply.warm_start
    position -= supply.ready
    starting = sorted(supply.starting_for, reverse=True)
    if position <= len(starting):
        return max(0.0, supply.cold_start - starting[position - 1]) + supply.warm_start
    position -= len(starting)
    if position <= supply.room:
        return supply.cold_start + supply.warm_start
    if supply.between_releases is None:
        return None
    return (position - supply.room) * supply.between_releases + supply.warm_start
