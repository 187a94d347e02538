"""Whether the WebUI is busy, from single probes to what is reported: busy at once, idle and unknown when they have lasted.

The first report of all is made at once: nothing ran before it that a pause could belong to.
"""

import json
from dataclasses import dataclass, replace
from typing import Self

from webuis.base import Busy, BusyState

JOB_LENGTH = 120
"""What a WebUI names its work goes into an annotation, so it is cut to this."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """One probe: what the WebUI said, and whether it `answered` at all. `at` is monotonic, `time` since the epoch."""

    at: float
    time: float
    busy: Busy
    answered: bool = True


@dataclass(frozen=True, slots=True)
class Report:
    """What is reported. `since` is in epoch seconds: of idle its first evidence, of unknown the last certain one."""

    state: BusyState
    since: int
    job: str = ""
    answering: bool = True

    def encode(self) -> str:
        """The annotation's value."""
        return json.dumps(
            {"state": self.state, "since": self.since, "job": self.job, "answering": self.answering}, separators=(",", ":")
        )

    @classmethod
    def parse(cls, value: str) -> Self | None:
        """What an annotation reports; None when it is not one of ours."""
        try:
            match json.loads(value):
                case {"state": str(state), "since": int(since), "job": str(job), "answering": bool(answering)}:
                    return cls(BusyState(state), since, job, answering)
        except (ValueError, RecursionError):
            pass
        return None


@dataclass(frozen=True, slots=True)
class Track:
    """The evidence so far, as much of it as decides. `after` folds the next probe in."""

    report: Report | None = None
    latest: Evidence | None = None
    certain: Evidence | None = None
    """The last evidence for `report`, or the first of all: for how long less than that has been known."""
    doubted: bool = False
    """Whether a probe has said nothing since `certain`."""
    idle_from: Evidence | None = None
    """The first of the idle probes in a row up to now."""

    def after(self, evidence: Evidence, *, idle_after: float, unknown_after: float) -> "Track":
        """The track with one more probe. Idle counts after `idle_after` seconds without another word, unknown after
        `unknown_after` seconds in which the reported state was not confirmed and some probe said nothing."""
        state = evidence.busy.state
        certain = self.certain or evidence
        idle_from = (self.idle_from or evidence) if state is BusyState.IDLE else None
        doubted = self.doubted or state is BusyState.UNKNOWN
        report = self.report
        if state is BusyState.BUSY:
            report = self._reported(state, evidence.time, job=evidence.busy.job[:JOB_LENGTH])
        elif idle_from and (report is None or self._is(state) or evidence.at - idle_from.at >= idle_after):
            report = self._reported(state, idle_from.time)
        elif doubted and evidence.at - certain.at >= unknown_after:
            report = self._reported(BusyState.UNKNOWN, certain.time, answering=evidence.answered)
        if report and report.state is state and state is not BusyState.UNKNOWN:
            certain, doubted = evidence, False
        return replace(self, report=report, latest=evidence, certain=certain, doubted=doubted, idle_from=idle_from)

    def _is(self, state: BusyState) -> bool:
        return self.report is not None and self.report.state is state

    def _reported(self, state: BusyState, since: float, *, job: str = "", answering: bool = True) -> Report:
        if self.report and self._is(state):
            return replace(self.report, job=job, answering=answering)
        return Report(state, int(since), job, answering)
