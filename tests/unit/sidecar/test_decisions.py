"""What the sidecar decides, look by look. `World` stands for what Agones, the launcher and the WebUI do meanwhile."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agones_sdk.gameserver import GameServer
from runtime.names import BEFORE_READY, BUSY_ANNOTATION, LEASE_UID_ANNOTATION, GameServerState
from sidecar.busy import Evidence, Report
from sidecar.control import LauncherState, LauncherStatus
from sidecar.decisions import (
    Action,
    Annotate,
    Memory,
    Observation,
    Probe,
    Ready,
    Rules,
    Shutdown,
    decide,
    failed,
    probe_wanted,
)
from webuis.base import Busy, BusyState, Starts

EPOCH = 1_700_000_000
ADOPTED = {LEASE_UID_ANNOTATION: "6f0c"}
RUNNING = LauncherStatus(LauncherState.RUNNING, pid=7)
WAITING = LauncherStatus(LauncherState.WAITING)


class World:
    """An observation that a test changes, and every action that was decided."""

    def __init__(self, state: str, rules: Rules | None = None, *, annotations: dict[str, str] | None = None) -> None:
        self.rules = rules or Rules()
        self.memory = Memory(started_at=0.0)
        server = GameServer(name="gs", uid="1", resource_version="1", state=state, annotations=annotations or {})
        self.seen = Observation(now=0.0, gameserver=server, launcher=RUNNING)
        self.actions: list[Action] = []

    def look(self, seconds: float = 0.0, **seen: Any) -> Action | None:
        """What is decided `seconds` later, with this changed."""
        self.seen = replace(self.seen, now=self.seen.now + seconds, **seen)
        self.memory, action = decide(self.memory, self.seen, self.rules)
        if action:
            self.actions.append(action)
        return action

    def becomes(self, state: str, annotations: dict[str, str] | None = None) -> None:
        server = self.seen.gameserver
        assert server is not None
        server = replace(server, state=state, annotations={**server.annotations, **(annotations or {})})
        self.seen = replace(self.seen, gameserver=server)

    def probed(self, state: BusyState, seconds: float = 2.0, job: str = "") -> Action | None:
        """A look after the next probe."""
        now = self.seen.now + seconds
        return self.look(seconds, evidence=Evidence(now, EPOCH + now, Busy(state, job), state is not BusyState.UNKNOWN))

    def applied(self, action: Action | None) -> None:
        """The SDK server does what it was asked."""
        assert isinstance(action, Annotate)
        self.becomes(GameServerState.ALLOCATED, {BUSY_ANNOTATION: action.report.encode()})


def test_ready_is_called_once_when_the_model_is_loaded() -> None:
    world = World(GameServerState.SCHEDULED)
    assert world.look() is None
    assert world.look(1.0, loaded_pid=7) == Ready()
    assert world.look(1.0) is None
    world.becomes(GameServerState.REQUEST_READY)
    assert world.look(60.0) is None
    world.becomes(GameServerState.READY)
    assert world.look(60.0) is None


@pytest.mark.parametrize("state", sorted(set(GameServerState) - BEFORE_READY))
def test_ready_is_not_called_from(state: str) -> None:
    world = World(state, annotations=ADOPTED)
    for _ in range(100):
        world.look(60.0, loaded_pid=7)
    assert Ready() not in world.actions


def test_no_ready_while_the_model_is_not_loaded() -> None:
    world = World(GameServerState.SCHEDULED)
    for _ in range(80):
        assert world.look(10.0) is None


def test_no_ready_for_a_process_that_was_replaced_after_it_was_seen_loaded() -> None:
    world = World(GameServerState.SCHEDULED)
    assert world.look(1.0, loaded_pid=7, launcher=replace(RUNNING, pid=8)) is None
    assert probe_wanted(world.seen) is Probe.LOADED


def test_a_webui_that_starts_after_the_allocation_is_ready_while_its_launcher_waits() -> None:
    world = World(GameServerState.SCHEDULED, Rules(starts=Starts.AFTER_ALLOCATION))
    assert world.look() is None
    assert world.look(1.0, launcher=WAITING) == Ready()
    assert World(GameServerState.SCHEDULED).look(1.0, launcher=WAITING) is None


def test_a_ready_that_got_lost_is_called_again_but_seldom() -> None:
    world = World(GameServerState.SCHEDULED)
    world.look(1.0, loaded_pid=7)
    for _ in range(9):
        assert world.look(1.0) is None
    assert world.look(1.0) == Ready()


def test_what_could_not_be_carried_out_is_tried_again_soon() -> None:
    world = World(GameServerState.SCHEDULED)
    assert world.look(0.0, loaded_pid=7) == Ready()
    world.memory = failed(world.memory, world.seen.now, world.rules)
    assert world.look(0.5) is None
    assert world.look(0.5) == Ready()


def test_a_slow_start_within_the_deadline_still_becomes_ready() -> None:
    world = World(GameServerState.SCHEDULED)
    assert world.look(899.0) is None
    assert world.look(0.5, loaded_pid=7) == Ready()


@pytest.mark.parametrize(
    ("launcher", "why"),
    [
        (None, "its launcher is not there"),
        (RUNNING, "it runs, but does not serve or has not loaded its model"),
        (LauncherStatus(LauncherState.BACKOFF, exit=3), "the launcher is backoff, the WebUI ended with code 3"),
        (LauncherStatus(LauncherState.BACKOFF, exit=127, error="cannot run webui: No such file"), "cannot run webui"),
        (WAITING, "the launcher is waiting"),
    ],
)
def test_a_webui_that_is_never_ready_ends_the_gameserver_and_says_why(launcher: LauncherStatus | None, why: str) -> None:
    world = World(GameServerState.SCHEDULED)
    action = world.look(900.0, launcher=launcher)
    assert isinstance(action, Shutdown)
    assert "900 s" in action.reason
    assert why in action.reason


def test_a_webui_that_keeps_exiting_is_given_up_long_before_the_deadline() -> None:
    world = World(GameServerState.SCHEDULED, Rules(startup_attempts=3))
    assert world.look(5.0, launcher=LauncherStatus(LauncherState.BACKOFF, restarts=1, exit=7)) is None
    action = world.look(5.0, launcher=LauncherStatus(LauncherState.BACKOFF, restarts=2, exit=7))
    assert action == Shutdown("the WebUI ended 3 times before it was ready, the last time with code 7")


def test_a_webui_that_exits_often_once_it_was_ready_is_left_to_its_launcher() -> None:
    world = World(GameServerState.READY, Rules(startup_attempts=3))
    assert world.look(5.0, launcher=LauncherStatus(LauncherState.BACKOFF, restarts=9, exit=7)) is None


def test_a_webui_that_is_ready_a_moment_too_late_does_not_make_a_dying_gameserver_ready() -> None:
    world = World(GameServerState.SCHEDULED)
    assert isinstance(world.look(900.0), Shutdown)
    assert world.look(0.1, loaded_pid=7) is None
    assert isinstance(world.look(10.0), Shutdown)
    world.becomes(GameServerState.SHUTDOWN)
    assert world.look(10.0) is None


def test_the_start_up_deadline_ends_no_gameserver_that_was_ready_in_time() -> None:
    world = World(GameServerState.SCHEDULED)
    world.look(1.0, loaded_pid=7)
    world.becomes(GameServerState.READY)
    assert world.look(5000.0, loaded_pid=None, launcher=None) is None
    world.becomes(GameServerState.ALLOCATED, ADOPTED)
    assert world.look(5000.0) is None


def test_a_restarted_sidecar_leaves_an_allocated_gameserver_to_its_user() -> None:
    world = World(GameServerState.ALLOCATED, annotations=ADOPTED)
    assert world.look(0.0) is None
    assert probe_wanted(world.seen) is Probe.BUSY
    assert world.look(5000.0, loaded_pid=7) is None


def test_busy_is_written_at_once_and_idle_after_it_lasted() -> None:
    world = World(GameServerState.ALLOCATED, annotations=ADOPTED)
    action = world.probed(BusyState.BUSY, job="Batch 1")
    assert action == Annotate(Report(BusyState.BUSY, EPOCH + 2, "Batch 1"))
    world.applied(action)
    assert [world.probed(BusyState.IDLE) for _ in range(5)] == [None] * 5
    assert world.probed(BusyState.IDLE) == Annotate(Report(BusyState.IDLE, EPOCH + 4))


def test_nothing_is_written_again_that_is_there() -> None:
    world = World(GameServerState.ALLOCATED, annotations=ADOPTED)
    world.applied(world.probed(BusyState.BUSY))
    assert {world.probed(BusyState.BUSY) for _ in range(100)} == {None}


def test_a_report_that_got_lost_is_written_again() -> None:
    world = World(GameServerState.ALLOCATED, annotations=ADOPTED)
    first = world.probed(BusyState.BUSY)
    assert [world.probed(BusyState.BUSY) for _ in range(4)] == [None] * 4
    assert world.probed(BusyState.BUSY) == first


def test_a_new_job_every_two_seconds_is_not_a_write_every_two_seconds() -> None:
    world = World(GameServerState.ALLOCATED, annotations=ADOPTED)
    writes = []
    for number in range(50):
        if action := world.probed(BusyState.BUSY, job=f"Batch {number}"):
            writes.append(action)
            world.applied(action)
    assert 2 <= len(writes) <= 11
    assert isinstance(writes[-1], Annotate)
    assert writes[-1].report.job.startswith("Batch 4")


@pytest.mark.parametrize("state", sorted(set(GameServerState) - {GameServerState.ALLOCATED}))
def test_nothing_is_written_or_asked_while_nobody_has_it(state: str) -> None:
    world = World(state)
    world.seen = replace(world.seen, loaded_pid=7)
    for _ in range(30):
        world.probed(BusyState.BUSY)
        assert probe_wanted(world.seen) is None
    assert not any(isinstance(action, Annotate) for action in world.actions)


def test_the_report_of_before_a_restart_is_not_written_again() -> None:
    report = Report(BusyState.BUSY, EPOCH - 500, "Batch 1")
    world = World(GameServerState.ALLOCATED, annotations={**ADOPTED, BUSY_ANNOTATION: report.encode()})
    assert world.probed(BusyState.BUSY, job="Batch 1") is None


def test_an_allocated_gameserver_that_no_session_adopts_ends_itself() -> None:
    world = World(GameServerState.ALLOCATED)
    assert world.look(1.0) is None
    assert world.look(119.0) is None
    assert isinstance(world.look(1.0), Shutdown)


def test_an_adoption_in_time_or_late_stops_the_dead_mans_switch() -> None:
    world = World(GameServerState.ALLOCATED)
    world.look(1.0)
    assert isinstance(world.look(120.0), Shutdown)
    world.becomes(GameServerState.ALLOCATED, ADOPTED)
    assert world.look(1000.0) is None


def test_the_dead_mans_switch_rests_while_the_sdk_server_is_unreachable() -> None:
    world = World(GameServerState.ALLOCATED)
    world.look(1.0)
    assert world.look(500.0, reachable=False) is None
    assert world.look(1.0, reachable=True) is None
    assert world.look(119.0) is None
    assert isinstance(world.look(1.0), Shutdown)


def test_nothing_is_decided_before_the_sdk_server_has_answered() -> None:
    world = World(GameServerState.SCHEDULED)
    assert world.look(5000.0, gameserver=None, loaded_pid=7) is None
    assert probe_wanted(world.seen) is None


def test_nothing_is_asked_of_a_gameserver_that_is_being_deleted() -> None:
    world = World(GameServerState.ALLOCATED)
    assert world.seen.gameserver
    server = replace(world.seen.gameserver, deleted_at=EPOCH)
    assert world.look(0.0, gameserver=server, evidence=Evidence(0.0, 0.0, Busy(BusyState.BUSY))) is None
    assert world.look(5000.0) is None


LOOKS = st.fixed_dictionaries(
    {
        "seconds": st.floats(0.0, 400.0),
        "state": st.sampled_from(GameServerState),
        "reachable": st.booleans(),
        "adopted": st.booleans(),
        "loaded": st.booleans(),
        "launcher": st.none() | st.builds(LauncherStatus, st.sampled_from(LauncherState), st.sampled_from([7, 8])),
        "busy": st.none() | st.sampled_from(BusyState),
    }
)


@given(st.lists(LOOKS, max_size=40), st.sampled_from(Starts))
def test_whatever_happens_no_user_is_thrown_out_and_no_report_is_made_for_nobody(
    looks: list[dict[str, object]], starts: Starts
) -> None:
    world = World(GameServerState.CREATING, Rules(starts=starts))
    for look in looks:
        lease = ADOPTED[LEASE_UID_ANNOTATION] if look["adopted"] else ""
        world.becomes(str(look["state"]), {LEASE_UID_ANNOTATION: lease})
        seconds = look["seconds"]
        assert isinstance(seconds, float)
        now = world.seen.now + seconds
        evidence = Evidence(now, EPOCH + now, Busy(look["busy"])) if isinstance(look["busy"], BusyState) else None
        action = world.look(
            seconds,
            reachable=look["reachable"],
            launcher=look["launcher"],
            loaded_pid=7 if look["loaded"] else None,
            evidence=evidence,
        )
        match action:
            case Ready():
                assert look["state"] in BEFORE_READY - {GameServerState.REQUEST_READY}
            case Annotate():
                assert look["state"] == GameServerState.ALLOCATED
            case Shutdown():
                assert look["state"] in BEFORE_READY or (
                    look["state"] == GameServerState.ALLOCATED and not look["adopted"] and look["reachable"]
                )
