"""The typed view: what it reads from the wire and which of two states it knows to be older."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agones_sdk.gameserver import Address, CounterStatus, GameServer, HealthSpec, ListStatus
from agones_sdk.stubs import sdk_pb2
from runtime.names import BEFORE_READY, GameServerState

SOME = GameServer(name="one", uid="u", resource_version="7", state=GameServerState.READY)
Status = sdk_pb2.GameServer.Status


FROM_AGONES = bytes.fromhex(
    "0a5c0a07656173656c2d78120764656661756c741a04366630632202373728033080e2cfaa063889e2cfaa0642190a116174"
    "656c6965722e6465762f6e6f6e63651204343731314a150a106174656c6965722e6465762f7573657212016b120a0a080801"
    "1005180320041a550a09416c6c6f6361746564120831302e302e302e311a0a0a05776562756910b43d2a0c0a046a6f627312"
    "040801100432110a057573657273120808021201611201623a110a05506f644950120831302e312e322e33"
)
"""What Agones' own SDK server (source of March 2026, local mode) answered to GetGameServer, for the view below."""


def test_what_agones_sdk_server_sends_is_read_in_full() -> None:
    assert GameServer.parse(sdk_pb2.GameServer.FromString(FROM_AGONES)) == GameServer(
        name="easel-x",
        namespace="default",
        uid="6f0c",
        resource_version="77",
        created_at=1_700_000_000,
        deleted_at=1_700_000_009,
        labels={"atelier.dev/user": "k"},
        annotations={"atelier.dev/nonce": "4711"},
        health=HealthSpec(disabled=True, period=5, failure_threshold=3, initial_delay=4),
        state="Allocated",
        address="10.0.0.1",
        addresses=(Address("PodIP", "10.1.2.3"),),
        ports={"webui": 7860},
        counters={"jobs": CounterStatus(1, 4)},
        lists={"users": ListStatus(("a", "b"), 2)},
    )


def test_an_empty_message_is_a_gameserver_of_no_known_state() -> None:
    view = GameServer.parse(sdk_pb2.GameServer())
    assert view.state == ""
    assert view.state not in BEFORE_READY
    assert view.deleted_at is None


def test_a_state_that_we_do_not_know_is_kept_as_it_is() -> None:
    view = GameServer.parse(sdk_pb2.GameServer(status=Status(state="Hibernating")))
    assert view.state == "Hibernating"
    assert view.state not in BEFORE_READY


@given(st.integers(0, 10**12), st.integers(0, 10**12))
def test_numeric_versions_of_one_gameserver_are_ordered_as_numbers(one: int, other: int) -> None:
    older = replace(SOME, resource_version=str(one)).is_older_than(replace(SOME, resource_version=str(other)))
    assert older == (one < other)


@given(st.text(max_size=4), st.text(max_size=4))
def test_of_two_states_at_most_one_is_older_whatever_the_versions_are(one: str, other: str) -> None:
    first, second = replace(SOME, resource_version=one), replace(SOME, resource_version=other)
    assert not (first.is_older_than(second) and second.is_older_than(first))


def test_versions_that_are_no_numbers_and_other_uids_tell_nothing() -> None:
    assert not replace(SOME, resource_version="v1").is_older_than(replace(SOME, resource_version="v2"))
    assert not replace(SOME, resource_version="").is_older_than(SOME)
    assert not replace(SOME, resource_version="1", uid="another").is_older_than(SOME)
