"""The order of the queue, the expected time in it, and when a place lapses."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.policy.queue import Supply, eta_seconds, lapses, order, somebody_waits
from allocator.sessions.model import Session, SessionState

QUEUED = SessionState.QUEUED


def session(key: str = "a", at: float = 0.0, state: SessionState = QUEUED, priority: int = 0) -> Session:
    return Session(key, state, "p", at, ((QUEUED, at),), priority=priority, uid=key)


def test_priority_then_time_then_uid() -> None:
    queue = [session("c", 2), session("b", 1), session("a", 1), session("z", 9, priority=1)]
    other = replace(session("o"), profile="other")
    active = session("x", state=SessionState.ACTIVE)
    assert [waiting.key for waiting in order([*queue, other, active], "p")] == ["z", "a", "b", "c"]


@given(st.permutations([session(str(n), n % 3, priority=n % 2) for n in range(8)]))
def test_the_order_does_not_depend_on_how_it_was_listed(listed: list[Session]) -> None:
    assert order(listed, "p") == order(sorted(listed, key=lambda one: one.key), "p")


def test_newcomers_wait_behind_one_who_is_being_served_after_waiting() -> None:
    fresh = session(at=5).enter(SessionState.ALLOCATING, 5)
    served = session(at=5).enter(SessionState.ALLOCATING, 50)
    assert not somebody_waits([fresh], "p")
    assert somebody_waits([served], "p")
    assert somebody_waits([session()], "p")
    assert not somebody_waits([session()], "other")


def test_a_place_lapses_by_evidence_only() -> None:
    assert not lapses(session(at=100), 190, 90, 0)
    assert lapses(session(at=100), 191, 90, 0)
    assert not lapses(replace(session(at=100), page_seen=150.0), 191, 90, 0)


def test_a_page_that_nobody_could_see_is_not_gone() -> None:
    assert not lapses(session(at=100), 900, 90, watched_since=820)
    assert lapses(session(at=100), 900, 90, watched_since=800)


SUPPLY = Supply(ready=1, starting_for=[5, 30], room=1, cold_start=40, warm_start=2, between_releases=60)


@pytest.mark.parametrize(("position", "seconds"), [(1, 2), (2, 12), (3, 37), (4, 42), (5, 62), (6, 122)])
def test_expected_time_by_place(position: int, seconds: float) -> None:
    assert eta_seconds(position, SUPPLY) == seconds


def test_without_a_measurement_nothing_is_promised() -> None:
    assert eta_seconds(5, replace(SUPPLY, between_releases=None)) is None


@given(st.integers(1, 20))
def test_a_better_place_never_waits_longer(position: int) -> None:
    better, worse = eta_seconds(position, SUPPLY), eta_seconds(position + 1, SUPPLY)
    assert better is not None
    assert worse is not None
    assert better <= worse
