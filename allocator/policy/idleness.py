"""When a session ends by itself, and why it does not end yet.

Presence (`last_activity`) is the evidence that a person is there, busy the evidence that the GPU works. Both are known
up to some moment only (`evidence_until`): nothing is concluded about what came later.
"""

from dataclasses import dataclass
from enum import Enum

from allocator.settings import Profile
from webuis.base import BusyState


class Decision(Enum):
    KEEP = "keep"
    WARN = "warn"
    """Tell the user that it ends soon (active -> ending)."""
    CLEAR = "clear"
    """There is new evidence: it goes on (ending -> active)."""
    RELEASE = "release"
    """The warning is over: ask the WebUI itself, then `confirm`."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of a session in use. Times are epoch seconds."""

    profile: Profile
    active_since: float
    last_activity: float
    busy: BusyState
    busy_since: float
    ending_since: float | None
    not_idle_at: float | None
    """When the WebUI, asked before a release, did not say that it is idle."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """When it is to be released, and the reason that the user will read."""

    at: float
    reason: str


def deadline(facts: Facts) -> Deadline:
    """The earliest of the limits that apply."""
    profile = facts.profile
    limits = [_longest(facts)]
    if facts.busy is BusyState.IDLE:
        quiet_since = max(facts.last_activity, facts.busy_since, facts.not_idle_at or 0.0)
        limits.append(Deadline(quiet_since + profile.idle_timeout, f"It was idle for {_span(profile.idle_timeout)}."))
    elif facts.busy is BusyState.UNKNOWN:
        limit = max(profile.unknown_limit, profile.idle_timeout)
        silent_since = max(facts.last_activity, facts.busy_since)
        limits.append(
            Deadline(silent_since + limit, f"For {_span(limit)} nobody was there and the WebUI did not say whether it works.")
        )
    if profile.max_age:
        limits.append(Deadline(facts.active_since + profile.max_age, f"A session lasts at most {_span(profile.max_age)}."))
    return min(limits, key=lambda limit: limit.at)


def decide(facts: Facts, evidence_until: float, now: float) -> Decision:
    """The next step of a session that is active (`ending_since` is None) or ending."""
    ends = deadline(facts).at
    due = min(evidence_until, now)
    if due < ends - facts.profile.warning_seconds:
        return Decision.KEEP if facts.ending_since is None else Decision.CLEAR
    if facts.ending_since is None:
        return Decision.WARN
    warned_for = now - facts.ending_since
    return Decision.RELEASE if due >= ends and warned_for >= facts.profile.warning_seconds else Decision.KEEP


def confirm(facts: Facts, fresh: BusyState, now: float) -> bool:
    """Whether the release stands, now that the WebUI itself was asked. A failed probe (UNKNOWN) is not "idle"."""
    if ends_whatever_happens(facts.profile, facts.active_since, now) or now >= _longest(facts).at:
        return True
    if fresh is BusyState.UNKNOWN:
        silent_since = max(facts.last_activity, facts.busy_since if facts.busy is BusyState.UNKNOWN else 0.0)
        return now >= silent_since + max(facts.profile.unknown_limit, facts.profile.idle_timeout)
    return fresh is BusyState.IDLE


def ends_whatever_happens(profile: Profile, active_since: float, now: float) -> bool:
    """Whether its age ends it, so that activity does not clear the warning."""
    return bool(profile.max_age) and now >= active_since + profile.max_age - profile.warning_seconds


def releases_at(facts: Facts) -> float:
    """When it will be released if nothing happens; never before a given warning is over."""
    warned_until = 0.0 if facts.ending_since is None else facts.ending_since + facts.profile.warning_seconds
    return max(deadline(facts).at, warned_until)


def alive_because(facts: Facts, now: float) -> str:
    """One sentence for people: why this session is not released now."""
    if facts.ending_since is not None:
        return "It ends soon unless you go on working or ask for more time."
    if facts.busy is BusyState.BUSY:
        return "The WebUI is working."
    if now - facts.last_activity < 60:
        return "You are working in it."
    if facts.busy is BusyState.UNKNOWN:
        return "The WebUI does not say whether it is working, so it is kept for longer than an idle one."
    quiet = _span(now - max(facts.last_activity, facts.busy_since))
    return f"You or the WebUI were at work {quiet} ago."


def _longest(facts: Facts) -> Deadline:
    """However the WebUI's own word changes, without a person nobody's GPU is kept for longer than this."""
    profile = facts.profile
    limit = max(profile.idle_timeout, profile.unknown_limit, profile.busy_limit)
    return Deadline(facts.last_activity + limit, f"Nobody was there for {_span(limit)}.")


def _span(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} seconds"
    if seconds < 7200:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.0f} hours"
