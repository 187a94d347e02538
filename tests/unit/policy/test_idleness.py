"""When a session ends by itself: every limit, and what holds it back."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.policy.idleness import Decision, Facts, alive_because, confirm, deadline, decide, releases_at
from allocator.settings import Profile
from webuis.base import BusyState

PROFILE = Profile(name="p", idle_timeout=600, warning=120, busy_limit=7200, unknown_limit=3600)
IDLE = Facts(
    PROFILE, active_since=0, last_activity=1000, busy=BusyState.IDLE, busy_since=0, ending_since=None, not_idle_at=None
)
BUSY, UNKNOWN = replace(IDLE, busy=BusyState.BUSY), replace(IDLE, busy=BusyState.UNKNOWN)
TIMES = st.floats(0, 1e6)


def decide_at(facts: Facts, now: float) -> Decision:
    return decide(facts, now, now)


@pytest.mark.parametrize(
    ("facts", "at"),
    [
        (IDLE, 1600),
        (replace(IDLE, busy_since=1300), 1900),
        (replace(IDLE, not_idle_at=1400), 2000),
        (BUSY, 8200),
        (replace(BUSY, busy_since=5000), 8200),
        (UNKNOWN, 4600),
        (replace(UNKNOWN, busy_since=2000), 5600),
        (replace(UNKNOWN, busy_since=8000), 8200),
        (replace(BUSY, profile=PROFILE.model_copy(update={"max_age": 500.0})), 500),
    ],
)
def test_the_earliest_limit_that_applies(facts: Facts, at: float) -> None:
    assert deadline(facts).at == at


def test_keep_then_warn_then_release() -> None:
    assert decide_at(IDLE, 1479) is Decision.KEEP
    assert decide_at(IDLE, 1480) is Decision.WARN
    warned = replace(IDLE, ending_since=1480)
    assert decide_at(warned, 1599) is Decision.KEEP
    assert decide_at(warned, 1600) is Decision.RELEASE


def test_a_late_warning_is_given_in_full() -> None:
    warned = replace(IDLE, ending_since=5000)
    assert decide_at(warned, 5119) is Decision.KEEP
    assert decide_at(warned, 5120) is Decision.RELEASE
    assert releases_at(warned) == 5120


def test_new_evidence_clears_the_warning() -> None:
    for facts in (replace(IDLE, last_activity=1500), BUSY, UNKNOWN):
        assert decide_at(replace(facts, ending_since=1480), 1550) is Decision.CLEAR


@given(now=TIMES, evidence=TIMES, ending=st.none() | TIMES, busy=st.sampled_from(BusyState))
def test_nothing_is_concluded_beyond_the_evidence(now: float, evidence: float, ending: float | None, busy: BusyState) -> None:
    facts = replace(IDLE, busy=busy, ending_since=ending)
    decision = decide(facts, min(evidence, now), now)
    if decision is Decision.RELEASE:
        assert ending is not None
        assert now - ending >= PROFILE.warning_seconds
        assert evidence >= facts.last_activity + PROFILE.idle_timeout
    if decision is Decision.WARN:
        assert evidence >= facts.last_activity + PROFILE.idle_timeout - PROFILE.warning_seconds


@given(now=TIMES, since=TIMES)
def test_busy_is_never_released_for_idleness(now: float, since: float) -> None:
    facts = replace(BUSY, busy_since=since, ending_since=0.0)
    assert (decide_at(facts, now) is Decision.RELEASE) == (now >= 1000 + PROFILE.busy_limit)


@given(since=TIMES, not_idle_at=st.none() | TIMES, busy=st.sampled_from(BusyState))
def test_whatever_the_webui_says_nobody_keeps_a_gpu_for_ever(since: float, not_idle_at: float | None, busy: BusyState) -> None:
    assert deadline(replace(IDLE, busy=busy, busy_since=since, not_idle_at=not_idle_at)).at <= 1000 + PROFILE.busy_limit


@pytest.mark.parametrize(
    ("facts", "fresh", "now", "stands"),
    [
        (IDLE, BusyState.IDLE, 1700, True),
        (IDLE, BusyState.BUSY, 1700, False),
        (IDLE, BusyState.BUSY, 8200, True),
        (IDLE, BusyState.UNKNOWN, 1700, False),
        (IDLE, BusyState.UNKNOWN, 4600, True),
        (UNKNOWN, BusyState.UNKNOWN, 4600, True),
        (UNKNOWN, BusyState.BUSY, 4600, False),
        (replace(IDLE, profile=PROFILE.model_copy(update={"max_age": 500.0})), BusyState.BUSY, 500, True),
    ],
)
def test_the_webui_is_asked_before_the_release(facts: Facts, fresh: BusyState, now: float, stands: bool) -> None:
    assert confirm(facts, fresh, now) is stands


def test_the_reason_reads_as_a_sentence() -> None:
    assert deadline(IDLE).reason == "It was idle for 10 minutes."
    assert alive_because(BUSY, 1100) == "The WebUI is working."
    assert alive_because(IDLE, 1010) == alive_because(UNKNOWN, 1010) == "You are working in it."
    assert "does not say" in alive_because(UNKNOWN, 1100)
    assert alive_because(IDLE, 1400) == "You or the WebUI were at work 7 minutes ago."
    assert "ask for more time" in alive_because(replace(IDLE, ending_since=1), 1400)
