"""What is wrong between sessions and GameServers."""

from dataclasses import replace

import pytest

from allocator.policy.reconcile import Delete, Fail, decide, settled
from allocator.sessions.model import GameServerRef, Session, SessionState
from fleet.base import GameServer
from runtime.names import USER_LABEL, GameServerState

THEIRS = GameServer("s1", "uid1", "1", "p", GameServerState.ALLOCATED, 0.0, labels={USER_LABEL: "u1"})
FREE = GameServer("s2", "uid2", "1", "p", GameServerState.READY, 0.0)
ACTIVE = Session("u1", SessionState.ACTIVE, "p", 0.0, (), current=GameServerRef("s1", "uid1", "n"))


def test_all_is_well() -> None:
    assert decide([ACTIVE], [THEIRS, FREE]) == []


@pytest.mark.parametrize(
    "sessions", [[], [replace(ACTIVE, state=SessionState.ENDED, current=None)], [replace(ACTIVE, state=SessionState.FAILED)]]
)
def test_an_orphan(sessions: list[Session]) -> None:
    (action,) = decide(sessions, [THEIRS])
    assert isinstance(action, Delete)
    assert action.reason.startswith("orphan")


def test_a_duplicate() -> None:
    (action,) = decide([ACTIVE], [THEIRS, replace(THEIRS, name="s3", uid="uid3")])
    assert isinstance(action, Delete)
    assert action.server.name == "s3"
    assert action.reason.startswith("duplicate")


@pytest.mark.parametrize(
    "state", [GameServerState.UNHEALTHY, GameServerState.ERROR, GameServerState.READY, GameServerState.SHUTDOWN]
)
def test_a_server_that_is_no_longer_allocated_fails_its_session_and_goes(state: GameServerState) -> None:
    fail, delete = decide([ACTIVE], [replace(THEIRS, state=state)])
    assert isinstance(fail, Fail)
    assert state.value in fail.detail
    assert isinstance(delete, Delete)
    assert settled(delete, {}, 0.0, 15.0)


@pytest.mark.parametrize("servers", [[], [replace(THEIRS, uid="other", labels={})], [replace(THEIRS, deleting=True)]])
def test_a_vanished_server_fails_its_session(servers: list[GameServer]) -> None:
    (action,) = decide([ACTIVE], servers)
    assert isinstance(action, Fail)
    assert "your files are safe" in action.reason


@pytest.mark.parametrize("state", [SessionState.PREPARING, SessionState.RELEASING, SessionState.QUEUED])
def test_only_sessions_in_use_fail_so(state: SessionState) -> None:
    assert decide([replace(ACTIVE, state=state)], []) == []


def test_who_cannot_be_read_is_left_alone() -> None:
    assert decide([], [THEIRS], {"u1"}) == []


def test_an_extra_has_time_to_be_named() -> None:
    (action,) = decide([], [THEIRS])
    assert not settled(action, {}, 100.0, 15.0)
    assert not settled(action, {"uid1": 90.0}, 100.0, 15.0)
    assert settled(action, {"uid1": 85.0}, 100.0, 15.0)
