"""A session as a Lease: what is written is read, by this version and the next, and what others wrote is kept."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.sessions.lease import SESSION_KIND, Unreadable, decode, encode
from allocator.sessions.model import Activity, GameServerRef, Session, SessionState
from fleet.base import Lease

TEXT = st.text(max_size=20)
TIME = st.floats(0, 4e9)
REF = st.builds(GameServerRef, TEXT, TEXT, TEXT)
STATES = st.sampled_from([state for state in SessionState if state is not SessionState.NONE])
SESSIONS = st.builds(
    Session,
    key=st.just("u1"),
    state=STATES,
    profile=st.text(min_size=1, max_size=9),
    enqueued_at=TIME,
    timeline=st.lists(st.tuples(STATES, TIME), min_size=1, max_size=5).map(tuple),
    identity=TEXT,
    email=TEXT,
    priority=st.integers(-9, 9),
    attempt=TEXT,
    current=st.none() | REF,
    next=st.none() | REF,
    activity=st.none() | st.builds(Activity, TIME, TEXT, TEXT),
    page_seen=st.none() | TIME,
    not_idle_at=st.none() | TIME,
    failures=st.integers(0, 9),
    reason=TEXT,
    holder=TEXT,
    renew_time=st.none() | TIME,
    duration_seconds=st.none() | st.integers(1, 99),
)


@given(SESSIONS)
def test_what_is_written_is_read(session: Session) -> None:
    assert decode(encode(session)) == session


@given(SESSIONS, SESSIONS)
def test_a_later_state_leaves_nothing_of_the_earlier_one(first: Session, second: Session) -> None:
    assert decode(encode(second, encode(first))) == second


def test_what_others_wrote_is_kept() -> None:
    lease = Lease("u1", "uid", "7", labels={"team": "x"}, annotations={"atelier.dev/later": "1", "note": "n"}, created_at=5)
    session = Session("u1", SessionState.QUEUED, "p", 5.0, ((SessionState.QUEUED, 5.0),))
    written = encode(session, lease)
    assert (written.uid, written.resource_version, written.created_at) == ("uid", "7", 5)
    assert written.labels == {"team": "x", **SESSION_KIND}
    assert written.annotations["atelier.dev/later"] == "1"
    assert written.annotations["note"] == "n"


def test_the_schema_before_this_one_decodes() -> None:
    """It had neither the schema's number nor a timeline nor a count of failures."""
    old = Lease("u1", created_at=7.0, annotations={"atelier.dev/state": "active", "atelier.dev/profile": "p"})
    session = decode(old)
    assert (session.state, session.profile, session.enqueued_at) == (SessionState.ACTIVE, "p", 7.0)
    assert session.entered(SessionState.ACTIVE) == 7.0
    assert decode(encode(session, old)) == session


GOOD = encode(Session("u1", SessionState.QUEUED, "p", 5.0, ((SessionState.QUEUED, 5.0),)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schema", "2"),
        ("schema", "x"),
        ("state", ""),
        ("state", "sleeping"),
        ("timeline", "{"),
        ("current", '["one"]'),
        ("activity", "7"),
        ("enqueued-at", "soon"),
    ],
)
def test_what_cannot_be_understood_is_unreadable(name: str, value: str) -> None:
    with pytest.raises(Unreadable):
        decode(replace(GOOD, annotations={**GOOD.annotations, "atelier.dev/" + name: value}))


def test_going_back_forgets_the_detour() -> None:
    session = decode(GOOD).enter(SessionState.ALLOCATING, 6.0).enter(SessionState.QUEUED, 7.0)
    assert session.timeline == ((SessionState.QUEUED, 5.0),)
    active = session.enter(SessionState.ACTIVE, 8.0)
    assert active.enter(SessionState.ENDING, 9.0, "idle").enter(SessionState.ACTIVE, 10.0) == active


def test_only_what_is_worked_on_is_held() -> None:
    held = decode(GOOD).enter(SessionState.ALLOCATING, 6.0).held("me", 6.0, 9)
    assert held.enter(SessionState.PREPARING, 7.0).holder == "me"
    active = held.enter(SessionState.ACTIVE, 8.0)
    assert (active.holder, active.renew_time, active.duration_seconds) == ("", None, None)
