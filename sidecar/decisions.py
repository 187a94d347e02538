"""What the sidecar does, as a pure function of what it remembers and what it sees.

Level-triggered: each look at the world gives the one thing that is wanted now. The SDK server only queues what it is
asked, so a wish goes away when the GameServer is seen to have what was asked for; until then it is repeated, seldom.
"""

from dataclasses import dataclass, field, replace
from enum import Enum

from agones_sdk.gameserver import GameServer
from runtime.names import BEFORE_READY, BUSY_ANNOTATION, LEASE_UID_ANNOTATION, TERMINAL, GameServerState
from sidecar.busy import Evidence, Report, Track
from sidecar.control import LauncherState, LauncherStatus
from webuis.base import Starts


@dataclass(frozen=True, slots=True)
class Rules:
    """Everything that can be set, in seconds; and when the launcher starts the WebUI."""

    starts: Starts = Starts.BEFORE_ALLOCATION
    startup_deadline: float = 900.0
    startup_attempts: int = 3
    """A WebUI that ended so often before it was ready will not be ready by the deadline either."""
    adoption_deadline: float = 120.0
    idle_after: float = 10.0
    unknown_after: float = 15.0
    resend_after: float = 10.0


@dataclass(frozen=True, slots=True)
class Observation:
    """What is seen at `now` (monotonic)."""

    now: float
    gameserver: GameServer | None = None
    reachable: bool = True
    """Whether the SDK server answered lately."""
    launcher: LauncherStatus | None = None
    """None: it is not there, or dead."""
    loaded_pid: int | None = None
    """The process that was seen to serve, with its model loaded."""
    evidence: Evidence | None = None
    """The latest probe of whether the WebUI is busy."""


@dataclass(frozen=True, slots=True)
class Ready:
    """Offer the GameServer to users."""


@dataclass(frozen=True, slots=True)
class Shutdown:
    """End the GameServer; a Fleet replaces it."""

    reason: str


@dataclass(frozen=True, slots=True)
class Annotate:
    """Report whether the WebUI is busy."""

    report: Report


Action = Ready | Shutdown | Annotate


class Probe(Enum):
    """What there is to ask the WebUI."""

    LOADED = "whether it serves and its model is loaded"
    BUSY = "whether it is busy"


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered from one look to the next."""

    started_at: float
    asked: Action | None = None
    asked_at: float = 0.0
    too_late: str = ""
    """Why the start-up failed. It is final: a WebUI that is ready a moment too late does not revive the GameServer."""
    unadopted_since: float | None = None
    """Since when it has been seen Allocated without a session, the SDK server being reachable all the time."""
    busy: Track = field(default_factory=Track)


def probe_wanted(seen: Observation) -> Probe | None:
    """What to ask the WebUI now. Nothing while the GameServer is only Ready: then nobody wants to know."""
    if seen.gameserver is None:
        return None
    if seen.gameserver.state == GameServerState.ALLOCATED:
        return Probe.BUSY
    running = seen.launcher is not None and seen.launcher.state is LauncherState.RUNNING
    if _is_starting(seen.gameserver) and running and not _is_loaded(seen):
        return Probe.LOADED
    return None


def decide(memory: Memory, seen: Observation, rules: Rules) -> tuple[Memory, Action | None]:
    """What to remember, and the one thing to do now, if any."""
    gameserver = seen.gameserver
    if gameserver is None or gameserver.deleted_at or gameserver.state in TERMINAL:
        return memory, None
    memory = _looked(memory, gameserver, seen, rules)
    action = _wanted(memory, gameserver, seen, rules)
    if action is None or (action == memory.asked and seen.now - memory.asked_at < rules.resend_after):
        return memory, None
    return replace(memory, asked=action, asked_at=seen.now), action


def failed(memory: Memory, now: float, rules: Rules, *, retry: float = 1.0) -> Memory:
    """The last action could not be carried out: it may be tried again in `retry` seconds."""
    return replace(memory, asked_at=now - rules.resend_after + retry)


def _looked(memory: Memory, gameserver: GameServer, seen: Observation, rules: Rules) -> Memory:
    if gameserver.state == GameServerState.ALLOCATED:
        unadopted = seen.reachable and not gameserver.annotations.get(LEASE_UID_ANNOTATION)
        since = seen.now if memory.unadopted_since is None else memory.unadopted_since
        return replace(
            memory, unadopted_since=since if unadopted else None, busy=_tracked(memory.busy, gameserver, seen, rules)
        )
    memory = replace(memory, unadopted_since=None, busy=Track())
    if _is_starting(gameserver) and not _is_usable(seen, rules) and not memory.too_late:
        memory = replace(memory, too_late=_why_hopeless(memory, seen, rules))
    return memory


def _why_hopeless(memory: Memory, seen: Observation, rules: Rules) -> str:
    """Why the start-up is given up; empty while there is hope."""
    if seen.now - memory.started_at >= rules.startup_deadline:
        return f"the WebUI was not ready within {rules.startup_deadline:g} s: {_what_is_missing(seen)}"
    match seen.launcher:
        case LauncherStatus(state=LauncherState.BACKOFF, restarts=restarts, exit=code) if (
            restarts + 1 >= rules.startup_attempts
        ):
            return f"the WebUI ended {restarts + 1} times before it was ready, the last time with code {code}"
    return ""


def _tracked(track: Track, gameserver: GameServer, seen: Observation, rules: Rules) -> Track:
    if seen.evidence is None or seen.evidence == track.latest:
        return track
    if track.latest is None:  # a sidecar that was restarted goes on from what it last reported
        track = Track(report=_shown(gameserver))
    return track.after(seen.evidence, idle_after=rules.idle_after, unknown_after=rules.unknown_after)


def _wanted(memory: Memory, gameserver: GameServer, seen: Observation, rules: Rules) -> Action | None:
    if _is_starting(gameserver):
        if memory.too_late:
            return Shutdown(memory.too_late)
        return Ready() if _is_usable(seen, rules) else None
    since = memory.unadopted_since
    if since is not None and seen.now - since >= rules.adoption_deadline:
        return Shutdown(f"it was allocated, but no session adopted it within {rules.adoption_deadline:g} s")
    report, shown = memory.busy.report, _shown(gameserver)
    if report is None or report == shown:
        return None
    recently = memory.asked is not None and seen.now - memory.asked_at < rules.resend_after
    if shown and shown.state is report.state and recently:
        return None  # a new name of the job alone is not worth a write each time
    return Annotate(report)


def _is_starting(gameserver: GameServer) -> bool:
    """Whether it is before Ready, and has not yet asked to be: only then may it ask."""
    return gameserver.state in BEFORE_READY and gameserver.state != GameServerState.REQUEST_READY


def _shown(gameserver: GameServer) -> Report | None:
    return Report.parse(gameserver.annotations.get(BUSY_ANNOTATION, ""))


def _is_loaded(seen: Observation) -> bool:
    """Whether the process that runs now is the one that was seen to have its model."""
    launcher = seen.launcher
    return (
        launcher is not None
        and launcher.state is LauncherState.RUNNING
        and launcher.pid is not None
        and launcher.pid == seen.loaded_pid
    )


def _is_usable(seen: Observation, rules: Rules) -> bool:
    """Whether a user can be let in."""
    if rules.starts is Starts.AFTER_ALLOCATION:
        return seen.launcher is not None and seen.launcher.state is LauncherState.WAITING
    return _is_loaded(seen)


def _what_is_missing(seen: Observation) -> str:
    match seen.launcher:
        case None:
            return "its launcher is not there"
        case LauncherStatus(error=str(error)):
            return error
        case LauncherStatus(state=LauncherState.RUNNING):
            return "it runs, but does not serve or has not loaded its model"
        case LauncherStatus(state=state, exit=code):
            return f"the launcher is {state}" + ("" if code is None else f", the WebUI ended with code {code}")
