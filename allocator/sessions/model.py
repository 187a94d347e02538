"""A session as data, and what the API says of it."""

from dataclasses import dataclass
from enum import StrEnum


class SessionState(StrEnum):
    NONE = "none"
    """No Lease: only ever seen in a view."""
    QUEUED = "queued"
    ALLOCATING = "allocating"
    PREPARING = "preparing"
    ACTIVE = "active"
    ENDING = "ending"
    """Reversible: activity makes it active again."""
    RELEASING = "releasing"
    """Final: the GameServer is being deleted."""
    ENDED = "ended"
    FAILED = "failed"


WAITING = frozenset({SessionState.QUEUED, SessionState.ALLOCATING, SessionState.PREPARING})
USABLE = frozenset({SessionState.ACTIVE, SessionState.ENDING})
OVER = frozenset({SessionState.NONE, SessionState.ENDED, SessionState.FAILED})


@dataclass(frozen=True, slots=True)
class Activity:
    """That a person was there: when (epoch seconds), what (presence, generation, upload, start, extend), seen by whom."""

    at: float
    kind: str
    source: str = ""


@dataclass(frozen=True, slots=True)
class GameServerRef:
    """The one GameServer that a Lease names."""

    name: str
    uid: str
    nonce: str


@dataclass(frozen=True, slots=True)
class BusyView:
    state: str
    since: float | None = None
    job: str = ""


@dataclass(frozen=True, slots=True)
class SessionView:
    """What a user (and their pages) may know of their session: the JSON of `/_atelier/api/session`.

    Times are epoch seconds. `step` is one sentence for people: what is happening now and why. `timeline` gives each
    state that was entered and when. `alive_because` says why an active session is not released now.
    """

    state: SessionState
    profile: str = ""
    profile_title: str = ""
    gameserver: str = ""
    position: int | None = None
    eta_seconds: float | None = None
    since: float | None = None
    last_activity: Activity | None = None
    busy: BusyView | None = None
    releases_at: float | None = None
    reason: str = ""
    step: str = ""
    alive_because: str = ""
    timeline: tuple[tuple[str, float], ...] = ()
    now: float = 0.0
    """The server's time: pages count down by it, not by the browser's clock."""
    presence_seconds: float = 60.0
    """The desk reports presence at most so often."""


@dataclass(frozen=True, slots=True)
class ProfileView:
    """What `/_atelier/api/profiles` says of one profile."""

    name: str
    title: str
    webui: str
    idle_timeout_seconds: float
    warm: int
    size: int
    description: str = ""
