"""How many GameServers a Fleet should have, and what the autoscaler is told."""

from dataclasses import replace

import pytest

from allocator.autoscaling.review import BadReview, answer
from allocator.policy.scaling import Failures, desired, paused_until
from allocator.sessions.model import GameServerRef, Session, SessionState
from allocator.settings import Profile, Settings
from fleet.base import GameServer
from runtime.names import USER_LABEL, GameServerState

READY, ALLOCATED, UNHEALTHY = GameServerState.READY, GameServerState.ALLOCATED, GameServerState.UNHEALTHY
NONE = Failures()


def profile(warm: int = 1, size: int = 4) -> Profile:
    return Profile(name="p", warm=warm, size=size)


def server(name: str, state: GameServerState = READY, user: str = "") -> GameServer:
    return GameServer(name, name, "1", "p", state, 0.0, labels={USER_LABEL: user} if user else {})


def session(key: str, state: SessionState, current: str = "") -> Session:
    ref = GameServerRef(current, current, "n") if current else None
    return Session(key, state, "p", 0.0, ((state, 0.0),), current=ref)


USED = server("s1", ALLOCATED, "u1")


@pytest.mark.parametrize(
    ("warm", "sessions", "servers", "replicas"),
    [
        (1, [], [], 1),
        (0, [], [server("s1")], 0),
        (1, [], [USED], 2),
        (1, [session("u2", SessionState.QUEUED)], [USED], 3),
        (1, [session(f"u{n}", SessionState.QUEUED) for n in range(2, 9)], [USED], 4),
        (0, [session("u1", SessionState.ALLOCATING)], [USED], 1),
        (0, [session("u1", SessionState.ALLOCATING)], [], 1),
        (0, [session("u1", SessionState.RELEASING, "s1")], [USED], 0),
        (1, [session("u1", SessionState.RELEASING, "s1")], [USED], 2),
        (0, [session("u1", SessionState.RELEASING, "s1"), session("u2", SessionState.QUEUED)], [USED], 1),
        (0, [], [replace(USED, deleting=True)], 0),
        (0, [], [replace(USED, fleet="other")], 0),
    ],
)
def test_allocated_and_waiting_and_warm(warm: int, sessions: list[Session], servers: list[GameServer], replicas: int) -> None:
    assert desired(profile(warm), sessions, servers, NONE, 0).replicas == replicas


def test_more_in_use_than_its_size_are_left_in_use() -> None:
    servers = [server(f"s{n}", ALLOCATED, f"u{n}") for n in range(6)]
    assert desired(profile(), [], servers, NONE, 0).replicas == 6


def test_failed_starts_pause_then_one_more_is_tried() -> None:
    queue = [session(f"u{n}", SessionState.QUEUED) for n in range(3)]
    servers = [USED, server("s2", UNHEALTHY)]
    assert desired(profile(), queue, servers, Failures(2, 100), 101).replicas == 4
    paused = desired(profile(), queue, servers, Failures(3, 100), 101)
    assert (paused.replicas, "failed" in paused.reason) == (1, True)
    assert desired(profile(), queue, servers, Failures(3, 100), 131).replicas == 2


def test_the_pause_doubles_up_to_ten_minutes() -> None:
    ends = [paused_until(Failures(count, 0.0)) for count in (2, 3, 4, 5, 50)]
    assert ends == [None, 30.0, 60.0, 120.0, 600.0]


def review(name: str = "p", replicas: int = 1) -> dict[str, object]:
    return {"request": {"uid": "r1", "name": name, "namespace": "default", "status": {"replicas": replicas}}}


def test_a_review_is_answered_with_its_uid() -> None:
    settings = Settings(profiles=(profile(warm=2),))
    assert answer(review(replicas=1), settings, [], [], NONE, 0)["response"] == {"uid": "r1", "scale": True, "replicas": 2}
    assert answer(review(replicas=2), settings, [], [], NONE, 0)["response"] == {"uid": "r1", "scale": False, "replicas": 2}


@pytest.mark.parametrize("body", [None, [], {}, {"request": 1}, review(name="other")])
def test_a_bad_review_is_refused(body: object) -> None:
    with pytest.raises(BadReview):
        answer(body, Settings(profiles=(profile(),)), [], [], NONE, 0)
