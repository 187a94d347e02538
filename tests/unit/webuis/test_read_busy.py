"""What a WebUI says of itself is believed only when it says it clearly."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from webuis.base import Busy, BusyState
from webuis.registry import NAMES, get

scalars = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8)
anything = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
)
near_misses = st.fixed_dictionaries(
    {"state": st.fixed_dictionaries({}, optional={"job": anything, "job_count": anything}) | anything}
)


def clearly_idle(reply: object) -> bool:
    """The specification, written otherwise: a text and a whole number, both empty."""
    state = reply.get("state") if isinstance(reply, dict) else None
    return (
        isinstance(state, dict) and state.get("job") == "" and type(state.get("job_count")) is int and state["job_count"] == 0
    )


@pytest.mark.parametrize("name", NAMES)
@given(reply=anything | near_misses)
def test_whatever_is_said_is_read_and_only_a_clear_word_is_idle(name: str, reply: object) -> None:
    state = get(name).read_busy(reply).state
    assert (state is BusyState.IDLE) == clearly_idle(reply)


@given(job=st.text(), count=st.integers())
def test_a_name_or_a_count_is_busy(job: str, count: int) -> None:
    expected = Busy(BusyState.BUSY, job) if job or count else Busy(BusyState.IDLE)
    assert get("a1111").read_busy({"progress": 0.5, "state": {"job": job, "job_count": count, "skipped": False}}) == expected


@pytest.mark.parametrize(
    "state",
    [
        None,
        {},
        {"job": ""},
        {"job_count": 0},
        {"job": None, "job_count": 0},
        {"job": "", "job_count": False},
        {"job": "", "job_count": "0"},
    ],
)
def test_half_an_answer_is_unknown(state: object) -> None:
    assert get("a1111").read_busy({"state": state}).state is BusyState.UNKNOWN
