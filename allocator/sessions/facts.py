"""What is known of a session in use, for the policy and for people."""

import json
import math

from allocator.policy.idleness import Facts
from allocator.sessions.model import BusyView, Session, SessionState
from allocator.settings import Profile
from fleet.base import GameServer
from runtime.names import BUSY_ANNOTATION
from webuis.base import BusyState


def busy(server: GameServer | None, session: Session, now: float) -> BusyView:
    """The sidecar's report. It is the word of the user's own pod: what is odd in it is unknown, a future time is now."""
    entered = session.entered(SessionState.ACTIVE)
    unknown = BusyView(BusyState.UNKNOWN.value, session.since if entered is None else entered)
    if server is None or BUSY_ANNOTATION not in server.annotations:
        return unknown
    try:
        report = json.loads(server.annotations[BUSY_ANNOTATION])
        since = float(report["since"])
        if not math.isfinite(since):
            return unknown
        return BusyView(BusyState(report["state"]).value, min(since, now), str(report.get("job", ""))[:200])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError, OverflowError):
        return unknown


def facts(session: Session, server: GameServer | None, profile: Profile, now: float) -> Facts:
    """For a session that is active or ending."""
    report = busy(server, session, now)
    active_since = session.entered(SessionState.ACTIVE) or session.enqueued_at
    return Facts(
        profile=profile,
        active_since=active_since,
        last_activity=session.activity.at if session.activity else active_since,
        busy=BusyState(report.state),
        busy_since=report.since or active_since,
        ending_since=session.since if session.state is SessionState.ENDING else None,
        not_idle_at=session.not_idle_at,
    )
