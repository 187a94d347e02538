"""Scaling decisions."""

from hypothesis import given, settings
from hypothesis import strategies as st

from fleet.base import GameServer
from fleet.local.scaling import HELD, LAST_BACKOFF_SECONDS, Backoff, moved, plan
from runtime.names import TERMINAL, GameServerState

SERVERS = st.lists(
    st.builds(
        lambda number, state, deleting: GameServer(f"s{number}", f"u{number}", "1", "easel", state, number, deleting=deleting),
        st.integers(0, 10**6),
        st.sampled_from(GameServerState),
        st.booleans(),
    ),
    max_size=20,
    unique_by=lambda item: item.name,
)


@settings(deadline=None)
@given(replicas=st.integers(0, 20), servers=SERVERS)
def test_a_plan_reaches_the_number_as_far_as_held_servers_allow(replicas: int, servers: list[GameServer]) -> None:
    wanted = plan(replicas, servers)
    present = [item for item in servers if not item.deleting]
    fixed = sum(item.state in HELD | TERMINAL for item in present)
    reached = len(present) + wanted.create - len(wanted.delete)
    assert reached == (max(replicas, fixed) if len(present) > replicas else replicas)
    assert not (wanted.create and wanted.delete)
    assert all(item in present and item.state not in HELD | TERMINAL for item in wanted.delete)


@settings(deadline=None)
@given(servers=SERVERS)
def test_a_server_that_someone_holds_is_never_deleted_by_scaling(servers: list[GameServer]) -> None:
    assert all(item.state not in HELD for item in plan(0, servers).delete)


def test_what_is_not_ready_goes_before_what_is_and_the_youngest_first() -> None:
    def server(name: str, state: GameServerState, created: float) -> GameServer:
        return GameServer(name, name, "1", "easel", state, created)

    old, young = server("old", GameServerState.READY, 1.0), server("young", GameServerState.READY, 2.0)
    starting = server("starting", GameServerState.STARTING, 0.0)
    assert plan(1, [old, young, starting]).delete == (starting, young)


@settings(deadline=None)
@given(state=st.sampled_from(sorted(TERMINAL)), to=st.sampled_from(GameServerState))
def test_no_way_leads_out_of_a_terminal_state(state: GameServerState, to: GameServerState) -> None:
    server = GameServer("s", "u", "1", "easel", state, 0.0)
    assert moved(server, to) is server


@settings(deadline=None)
@given(to=st.sampled_from(GameServerState))
def test_a_server_that_is_being_deleted_changes_no_more(to: GameServerState) -> None:
    server = GameServer("s", "u", "1", "easel", GameServerState.ALLOCATED, 0.0, deleting=True)
    assert moved(server, to) is server


def test_each_failure_waits_longer_up_to_a_limit() -> None:
    backoff, now, waits = Backoff(), 100.0, []
    for _ in range(20):
        backoff = backoff.failed(now)
        waits.append(backoff.until - now)
        now = backoff.until
    assert waits == sorted(waits)
    assert waits[0] < waits[1] < waits[2]
    assert waits[-1] == LAST_BACKOFF_SECONDS


def test_servers_that_fail_together_count_once() -> None:
    once = Backoff().failed(100.0)
    assert once.failed(100.5) == once
