"""The typed view: what it reads from the wire and which of two states it knows to be older."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agones_sdk.gameserver import BEFORE_READY, Address, CounterStatus, GameServer, HealthSpec, ListStatus, State
from agones_sdk.stubs import sdk_pb2

SOME = GameServer(name="one", uid="u", resource_version="7", state=State.READY)
Status = sdk_pb2.GameServer.Status


def test_everything_on_the_wire_is_in_the_view() -> None:
    message = sdk_pb2.GameServer(
        object_meta=sdk_pb2.GameServer.ObjectMeta(
            name="one",
            namespace="default",
            uid="u",
            resource_version="7",
            generation=3,
            creation_timestamp=1_700_000_000,
            deletion_timestamp=1_700_000_009,
            labels={"atelier.dev/user": "k"},
            annotations={"atelier.dev/nonce": "n"},
        ),
        spec=sdk_pb2.GameServer.Spec(
            health=sdk_pb2.GameServer.Spec.Health(disabled=True, period_seconds=5, failure_threshold=3, initial_delay_seconds=4)
        ),
        status=Status(
            state="Allocated",
            address="10.0.0.1",
            addresses=[Status.Address(type="PodIP", address="10.1.2.3")],
            ports=[Status.Port(name="webui", port=7860)],
            counters={"jobs": Status.CounterStatus(count=1, capacity=4)},
            lists={"users": Status.ListStatus(capacity=2, values=["a", "b"])},
        ),
    )
    assert GameServer.parse(sdk_pb2.GameServer.FromString(message.SerializeToString())) == GameServer(
        name="one",
        namespace="default",
        uid="u",
        resource_version="7",
        created_at=1_700_000_000,
        deleted_at=1_700_000_009,
        labels={"atelier.dev/user": "k"},
        annotations={"atelier.dev/nonce": "n"},
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
