"""A session as data, and what the API says of it."""

from dataclasses import dataclass, replace
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
WORKED_ON = frozenset({SessionState.ALLOCATING, SessionState.PREPARING})
"""Some allocator process is at it, and holds the Lease meanwhile."""
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


Timeline = tuple[tuple[SessionState, float], ...]
"""Each state that was entered and when (epoch seconds), without the detours: going back to a state forgets what came after."""


@dataclass(frozen=True, slots=True)
class Session:
    """One user's hold on a WebUI, as its Lease keeps it. Times are epoch seconds.

    `attempt` names whoever created it or took it up last: it fences off a worker that was slow, and is the nonce of the
    allocation that this worker makes. `failures` counts the GameServers that were lost before the WebUI was usable.
    """

    key: str
    state: SessionState
    profile: str
    enqueued_at: float
    timeline: Timeline
    identity: str = ""
    """Issuer and subject, as `User.identity` has them."""
    email: str = ""
    priority: int = 0
    attempt: str = ""
    current: GameServerRef | None = None
    next: GameServerRef | None = None
    """A switch under way. Written by nobody yet, kept when read."""
    activity: Activity | None = None
    page_seen: float | None = None
    """When a waiting page was last open: without one its place in the queue lapses."""
    not_idle_at: float | None = None
    """When the WebUI itself, asked before a release, did not say that it is idle."""
    failures: int = 0
    reason: str = ""
    holder: str = ""
    renew_time: float | None = None
    duration_seconds: int | None = None
    uid: str = ""
    """The Lease's."""

    @property
    def since(self) -> float:
        """When it entered its state."""
        return self.timeline[-1][1] if self.timeline else self.enqueued_at

    def entered(self, state: SessionState) -> float | None:
        """When it entered a state that it has been in."""
        return dict(self.timeline).get(state)

    def enter(self, state: SessionState, now: float, reason: str = "") -> "Session":
        """In another state. Nobody holds what is not being worked on."""
        kept = self.timeline
        for index, (earlier, _) in enumerate(kept):
            if earlier is state:
                kept = kept[: index + 1]
                break
        else:
            kept = (*kept, (state, now))
        session = replace(self, state=state, timeline=kept, reason=reason)
        return session if state in WORKED_ON else replace(session, holder="", renew_time=None, duration_seconds=None)

    def held(self, holder: str, now: float, duration_seconds: int) -> "Session":
        return replace(self, holder=holder, renew_time=now, duration_seconds=duration_seconds)


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
