"""What starts and stays have taken so far: for the expected time in the queue, the failed starts, and the metrics.

Measured from what passes by: the timelines in the Leases, so that a restarted replica knows what the others measured
of the sessions that are still there, and the GameServers' ages when they become Ready.
"""

import statistics
from collections import defaultdict, deque
from collections.abc import Mapping
from dataclasses import dataclass

from allocator.policy.scaling import Failures
from allocator.sessions.model import USABLE, WAITING, Session, SessionState
from fleet.base import GameServer
from fleet.informer import Change
from runtime.clock import Clock
from runtime.names import BEFORE_READY, USER_LABEL, GameServerState

KEPT = 50
BUCKETS = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, float("inf"))
"""Upper bounds of the histogram of start durations, in seconds."""
OUTCOMES = ("active", "failed", "left")
_BROKEN = frozenset({GameServerState.UNHEALTHY, GameServerState.ERROR, GameServerState.SHUTDOWN})
"""Entered by a server that was never Ready: its start failed. One that its Fleet no longer wants is only deleted."""


@dataclass(frozen=True, slots=True)
class Durations:
    """A histogram: how many in all, their sum in seconds, and how many in each of `BUCKETS` (not cumulative)."""

    count: int = 0
    total: float = 0.0
    buckets: tuple[int, ...] = (0,) * len(BUCKETS)

    def with_one(self, seconds: float) -> "Durations":
        at = next(index for index, bound in enumerate(BUCKETS) if seconds <= bound)
        buckets = tuple(number + (index == at) for index, number in enumerate(self.buckets))
        return Durations(self.count + 1, self.total + seconds, buckets)


class History:
    """Listens to sessions (`session_changed`) and GameServers (`server_changed`)."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._warm: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._cold: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._ends: dict[str, deque[float]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._failures: dict[str, Failures] = {}
        self._starts: dict[tuple[str, str], Durations] = {}

    def warm_start(self, profile: str, default: float) -> float:
        """Median seconds from the allocation to a usable WebUI."""
        return statistics.median(self._warm[profile]) if self._warm[profile] else default

    def cold_start(self, fleet: str, default: float) -> float:
        """Median seconds from a GameServer's creation to Ready."""
        return statistics.median(self._cold[fleet]) if self._cold[fleet] else default

    def between_releases(self, profile: str) -> float | None:
        """Mean seconds from one end of a session in use to the next; None before there were two."""
        ends = self._ends[profile]
        return (max(ends) - min(ends)) / (len(ends) - 1) if len(ends) > 1 else None

    def failures(self, fleet: str) -> Failures:
        """GameServers of that Fleet that failed before they were Ready, in a row."""
        return self._failures.get(fleet, Failures())

    @property
    def starts(self) -> Mapping[tuple[str, str], Durations]:
        """By profile and outcome (one of `OUTCOMES`), since this process began: seconds from the click."""
        return dict(self._starts)

    def session_changed(self, old: Session | None, new: Session | None) -> None:
        if new is None or (old is not None and old.state is new.state):
            return
        began, active_since = new.entered(SessionState.ALLOCATING), new.entered(SessionState.ACTIVE)
        was_waiting = old is not None and old.state in WAITING
        if new.state is SessionState.ACTIVE and began is not None and active_since is not None:
            if old is None or was_waiting:
                self._warm[new.profile].append(max(0.0, active_since - began))
            if was_waiting:
                self._count(new, "active", active_since)
        elif new.state is SessionState.FAILED and was_waiting:
            self._count(new, "failed", new.since)
        elif new.state in (SessionState.ENDED, SessionState.RELEASING) and was_waiting:
            self._count(new, "left", new.since)
        elif old is not None and old.state in USABLE and new.state not in USABLE:
            self._ends[new.profile].append(new.since)

    def server_changed(self, change: Change[GameServer]) -> None:
        old, new = change.old, change.new
        if old is None or new is None or old.state not in BEFORE_READY or new.deleting:
            return
        if USER_LABEL in new.labels:
            return  # what runs in it called Ready: no start, and nothing that others' waits are judged by
        if new.state in _BROKEN:
            self._failures[new.fleet] = Failures(self.failures(new.fleet).count + 1, self._clock.time())
        elif new.state not in BEFORE_READY:
            self._failures.pop(new.fleet, None)
            self._cold[new.fleet].append(max(0.0, self._clock.time() - new.created_at))

    def _count(self, session: Session, outcome: str, at: float) -> None:
        which = (session.profile, outcome)
        self._starts[which] = self._starts.get(which, Durations()).with_one(max(0.0, at - session.enqueued_at))
