"""What is read from Agones' objects, and what is asked of its allocation API."""

from typing import Any

import pytest

from fleet.agones import allocation
from fleet.agones.gameservers import GameServerObject, view
from fleet.agones.leases import LeaseObject, body
from fleet.agones.leases import view as view_of_lease
from fleet.base import AllocationRequest, AllocationState, GameServer, Lease, Uncertain
from runtime.names import USER_LABEL, GameServerState

META = {"name": "easel-1", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"}


def seen(status: dict[str, Any] | None, **meta: object) -> GameServer:
    found: dict[str, Any] = {"metadata": META | meta, "spec": {"container": "webui"}}
    return view(GameServerObject.model_validate(found if status is None else found | {"status": status}))


def test_the_address_is_the_pods_and_never_the_nodes() -> None:
    node = {"type": "InternalIP", "address": "192.0.2.1"}
    late = seen({"state": "Scheduled", "address": "192.0.2.1", "addresses": [node]})
    there = seen({"state": "Ready", "address": "192.0.2.1", "addresses": [node, {"type": "PodIP", "address": "10.0.0.7"}]})
    assert (late.address, there.address) == (None, "10.0.0.7")


def test_ports_are_found_by_name_once_they_are_there() -> None:
    assert seen({"state": "Ready", "ports": [{"name": "webui", "port": 7860}]}).ports == {"webui": 7860}
    assert seen({"state": "Creating", "ports": None, "addresses": None}).ports == {}


@pytest.mark.parametrize("status", [None, {}, {"state": ""}])
def test_a_server_that_no_controller_has_seen_is_at_the_beginning(status: dict[str, Any] | None) -> None:
    assert seen(status).state is GameServerState.PORT_ALLOCATION


def test_a_state_that_a_newer_agones_has_is_held_and_left_alone() -> None:
    assert seen({"state": "Hibernating"}).state is GameServerState.RESERVED


def test_a_deletion_timestamp_is_seen_whatever_the_state_says() -> None:
    going = seen({"state": "Allocated"}, deletionTimestamp="2026-01-01T00:00:10Z")
    assert (going.state, going.deleting) == (GameServerState.ALLOCATED, True)


def test_a_server_belongs_to_the_fleet_of_its_label() -> None:
    assert seen(None, labels={"agones.dev/fleet": "easel"}).fleet == "easel"
    assert seen(None).fleet == ""


def test_an_allocation_asks_for_ready_servers_that_never_had_a_user() -> None:
    spec: Any = allocation.body(AllocationRequest("easel", {USER_LABEL: "alice"}, {"a": "b"}))["spec"]
    (selector,) = spec["selectors"]
    assert selector["gameServerState"] == "Ready"
    assert selector["matchLabels"] == {"agones.dev/fleet": "easel"}
    assert selector["matchExpressions"] == [{"key": USER_LABEL, "operator": "DoesNotExist"}]
    assert spec["metadata"] == {"labels": {USER_LABEL: "alice"}, "annotations": {"a": "b"}}


@pytest.mark.parametrize("content", [b"{}", b"Internal Server Error\n", b'{"status": {"state": "Perhaps"}}'])
def test_an_answer_that_is_none_of_agones_is_uncertain(content: bytes) -> None:
    with pytest.raises(Uncertain):
        allocation.parsed(content)


def test_contention_is_read_as_such() -> None:
    assert allocation.parsed(b'{"status": {"state": "Contention", "gameServerName": ""}}').state is AllocationState.CONTENTION


def test_a_lease_without_a_holder_says_nothing_of_one() -> None:
    assert body(Lease("alice"))["spec"] == {}


def test_a_lease_keeps_its_times_to_the_microsecond() -> None:
    written = body(Lease("alice", renew_time=1767225600.123456, duration_seconds=15))
    read = view_of_lease(LeaseObject.model_validate({"metadata": META, "spec": written["spec"]}))
    assert (read.renew_time, read.duration_seconds) == (1767225600.123456, 15)
