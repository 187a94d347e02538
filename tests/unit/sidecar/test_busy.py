"""From single probes to what is reported, with the times of the defaults: idle after 10 s, unknown after 15 s."""

import json
from collections.abc import Iterable
from itertools import takewhile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.busy import JOB_LENGTH, Evidence, Report, Track
from webuis.base import Busy, BusyState

BUSY, IDLE, UNKNOWN = BusyState.BUSY, BusyState.IDLE, BusyState.UNKNOWN
EPOCH = 1_700_000_000


def track(probes: Iterable[tuple[float, BusyState]], start: Report | None = None, job: str = "") -> Track:
    """The track after probes at these seconds."""
    result = Track(report=start)
    for at, state in probes:
        evidence = Evidence(at, EPOCH + at, Busy(state, job if state is BUSY else ""), answered=state is not UNKNOWN)
        result = result.after(evidence, idle_after=10.0, unknown_after=15.0)
    return result


def reported(probes: Iterable[tuple[float, BusyState]], start: Report | None = None) -> BusyState | None:
    report = track(probes, start).report
    return report.state if report else None


def test_busy_is_reported_at_once() -> None:
    assert track([(0, BUSY)], job="Batch 1").report == Report(BUSY, EPOCH, "Batch 1")
    assert reported([(0, IDLE), (10, IDLE), (12, BUSY)]) is BUSY


def test_the_first_report_of_all_is_made_at_once() -> None:
    assert track([(0, IDLE)]).report == Report(IDLE, EPOCH)
    assert reported([(0, UNKNOWN), (2, IDLE)]) is IDLE


def test_idle_is_reported_when_it_has_lasted_and_since_it_began() -> None:
    assert reported([(0, BUSY), (2, IDLE), (11.9, IDLE)]) is BUSY
    assert track([(0, BUSY), (2, IDLE), (12, IDLE)]).report == Report(IDLE, EPOCH + 2)


def test_a_pause_between_two_images_is_not_idle() -> None:
    assert reported([(0, BUSY), (2, IDLE), (8, IDLE), (10, BUSY), (12, IDLE), (20, IDLE)]) is BUSY


def test_a_failed_probe_is_unknown_when_it_lasted_and_never_idle() -> None:
    failing = [(0.0, BUSY), *((float(at), UNKNOWN) for at in range(2, 14, 2))]
    assert reported(failing) is BUSY
    report = track([*failing, (16.0, UNKNOWN)]).report
    assert report == Report(UNKNOWN, EPOCH, "", answering=False)


def test_a_failed_probe_interrupts_what_looked_idle() -> None:
    assert reported([(0, BUSY), (2, IDLE), (8, UNKNOWN), (10, IDLE), (12, IDLE)]) is BUSY


def test_idle_is_not_shaken_by_one_failed_probe() -> None:
    steady = track([(0, IDLE), (10, IDLE)]).report
    assert track([(0, IDLE), (10, IDLE), (12, UNKNOWN), (14, IDLE), (60, IDLE), (62, UNKNOWN)]).report == steady


def test_a_webui_that_answers_every_other_time_is_unknown_not_busy_for_ever() -> None:
    flapping = [(float(at), (IDLE, UNKNOWN)[at // 2 % 2]) for at in range(2, 60, 2)]
    assert reported([(0, BUSY), *flapping]) is UNKNOWN


def test_a_webui_that_never_said_anything_is_unknown_after_a_while() -> None:
    assert reported([(0, UNKNOWN), (14, UNKNOWN)]) is None
    assert reported([(0, UNKNOWN), (15, UNKNOWN)]) is UNKNOWN


def test_a_webui_that_answers_again_is_idle_only_after_it_lasted() -> None:
    silent = [(0.0, UNKNOWN), (15.0, UNKNOWN)]
    assert reported([*silent, (16, IDLE), (25.9, IDLE)]) is UNKNOWN
    assert reported([*silent, (16, IDLE), (26, IDLE)]) is IDLE
    assert reported([*silent, (16, BUSY)]) is BUSY


def test_busy_keeps_its_beginning_while_its_jobs_change() -> None:
    first = Report(BUSY, EPOCH - 500, "old")
    assert track([(0, BUSY)], first, job="new").report == Report(BUSY, EPOCH - 500, "new")


def test_what_was_reported_before_a_restart_stands_until_there_is_evidence() -> None:
    assert reported([(0, IDLE), (8, IDLE)], Report(BUSY, EPOCH - 500)) is BUSY
    assert track([(0, IDLE)], Report(IDLE, EPOCH - 500)).report == Report(IDLE, EPOCH - 500)


def test_a_job_with_an_endless_name_is_cut() -> None:
    report = track([(0, BUSY)], job="x" * 10_000).report
    assert report is not None
    assert len(report.job) == JOB_LENGTH


@given(
    st.lists(st.tuples(st.floats(0.1, 8.0), st.sampled_from(BusyState)), max_size=60),
    st.none() | st.builds(Report, st.sampled_from(BusyState), st.just(EPOCH - 500)),
)
def test_what_was_reported_as_anything_else_is_idle_only_after_ten_seconds_of_nothing_but_idle(
    steps: list[tuple[float, BusyState]], start: Report | None
) -> None:
    """Whatever the WebUI says: a report that becomes idle rests on idle probes alone, over ten seconds."""
    at, probes, now = 0.0, [], Track(report=start)
    for pause, state in steps:
        at += pause
        probes.append((at, state))
        evidence = Evidence(at, EPOCH + at, Busy(state))
        before, now = now.report, now.after(evidence, idle_after=10.0, unknown_after=15.0)
        assert state is not BUSY or (now.report and now.report.state is BUSY)
        became_idle = before and before.state is not IDLE and now.report and now.report.state is IDLE
        if became_idle:
            idle = list(takewhile(lambda probe: probe[1] is IDLE, reversed(probes)))
            assert at - idle[-1][0] >= 10.0


@given(st.builds(Report, st.sampled_from(BusyState), st.integers(0, 2**40), st.text(), st.booleans()))
def test_a_report_is_read_back_as_it_was_written(report: Report) -> None:
    assert Report.parse(report.encode()) == report
    assert set(json.loads(report.encode())) == {"state", "since", "job", "answering"}
    assert " " not in Report(report.state, report.since).encode()


@pytest.mark.parametrize(
    "value", ["", "busy", "[]", "{}", '{"state":"dead","since":1,"job":"","answering":true}', "[" * 100_000, '{"state":"idle"}']
)
def test_what_somebody_else_wrote_there_is_not_a_report(value: str) -> None:
    assert Report.parse(value) is None
