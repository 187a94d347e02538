"""GameServers: allocation and its races, preconditions of annotating and deleting."""

import asyncio
from dataclasses import replace

import pytest

from fleet.base import AllocationRequest, AllocationState, Conflict, GameServer, NotFound
from runtime.names import NONCE_ANNOTATION, USER_LABEL, GameServerState
from tests.contract.backend import Backend


def request(user: str, fleet: str = "easel") -> AllocationRequest:
    return AllocationRequest(fleet, {USER_LABEL: user}, {NONCE_ANNOTATION: f"nonce of {user}"})


async def current(backend: Backend, name: str) -> GameServer:
    return next(item for item in (await backend.stores.fleet.list()).items if item.name == name)


async def test_an_allocation_takes_a_ready_server_and_marks_it(backend: Backend) -> None:
    ready = await backend.gameserver("easel")
    allocation = await backend.stores.fleet.allocate(request("alice"))
    assert allocation.state is AllocationState.ALLOCATED
    assert allocation.gameserver is not None
    assert allocation.gameserver.uid == ready.uid
    assert allocation.gameserver.state is GameServerState.ALLOCATED
    assert allocation.gameserver.annotations[NONCE_ANNOTATION] == "nonce of alice"
    assert (await backend.stores.fleet.list({USER_LABEL: "alice"})).items == (allocation.gameserver,)


async def test_of_fifty_users_for_three_servers_three_get_one_each(backend: Backend) -> None:
    servers = {(await backend.gameserver("easel")).uid for _ in range(3)}
    allocations = await asyncio.gather(*(backend.stores.fleet.allocate(request(f"user-{number}")) for number in range(50)))
    taken = [item.gameserver.uid for item in allocations if item.gameserver is not None]
    assert sorted(taken) == sorted(servers)
    assert [item.state for item in allocations].count(AllocationState.ALLOCATED) == 3
    users = [item.labels[USER_LABEL] for item in (await backend.stores.fleet.list()).items]
    assert len(set(users)) == 3


@pytest.mark.parametrize("state", [state for state in GameServerState if state is not GameServerState.READY])
async def test_only_a_ready_server_is_allocated(backend: Backend, state: GameServerState) -> None:
    await backend.gameserver("easel", state)
    assert (await backend.stores.fleet.allocate(request("alice"))).state is AllocationState.UNALLOCATED


async def test_a_server_of_another_fleet_is_not_allocated(backend: Backend) -> None:
    await backend.gameserver("other")
    assert (await backend.stores.fleet.allocate(request("alice"))).state is AllocationState.UNALLOCATED


async def test_a_server_that_is_being_deleted_is_not_allocated(backend: Backend) -> None:
    await backend.stores.fleet.delete(await backend.gameserver("easel"))
    assert (await backend.stores.fleet.allocate(request("alice"))).state is AllocationState.UNALLOCATED


async def test_a_server_that_returns_to_ready_keeps_its_user_and_is_never_chosen_again(backend: Backend) -> None:
    await backend.gameserver("easel")
    allocated = (await backend.stores.fleet.allocate(request("alice"))).gameserver
    assert allocated is not None
    returned = await backend.sdk_ready(allocated)
    assert returned.state is GameServerState.READY
    assert (await current(backend, returned.name)).labels[USER_LABEL] == "alice"
    assert (await backend.stores.fleet.allocate(request("bob"))).state is AllocationState.UNALLOCATED


async def test_annotations_are_added_to_what_was_read_and_to_nothing_newer(backend: Backend) -> None:
    fleet = backend.stores.fleet
    ready = await backend.gameserver("easel")
    first = await fleet.annotate(ready, {"atelier.dev/a": "1"})
    with pytest.raises(Conflict):
        await fleet.annotate(ready, {"atelier.dev/a": "2"})
    second = await fleet.annotate(first, {"atelier.dev/b": "2"})
    assert {"atelier.dev/a": "1", "atelier.dev/b": "2"}.items() <= second.annotations.items()
    assert second.state is GameServerState.READY


async def test_a_delete_at_an_old_version_conflicts_unless_any_will_do(backend: Backend) -> None:
    fleet = backend.stores.fleet
    old = await backend.gameserver("easel")
    await fleet.annotate(old, {"atelier.dev/activity": "just now"})
    with pytest.raises(Conflict):
        await fleet.delete(old)
    assert not (await current(backend, old.name)).deleting
    await fleet.delete(old, any_version=True)
    assert (await current(backend, old.name)).deleting


async def test_a_delete_of_another_uid_conflicts_at_any_version(backend: Backend) -> None:
    gameserver = await backend.gameserver("easel")
    with pytest.raises(Conflict):
        await backend.stores.fleet.delete(replace(gameserver, uid="another"), any_version=True)
    assert not (await current(backend, gameserver.name)).deleting


async def test_a_deleted_server_is_listed_until_its_processes_have_ended(backend: Backend) -> None:
    fleet = backend.stores.fleet
    await backend.gameserver("easel")
    allocated = (await fleet.allocate(request("alice"))).gameserver
    assert allocated is not None
    await fleet.delete(allocated)
    await fleet.delete(allocated, any_version=True)
    listed = await fleet.list({USER_LABEL: "alice"})
    assert [(item.uid, item.deleting) for item in listed.items] == [(allocated.uid, True)]
    await backend.finish_deletion(listed.items[0])
    assert (await fleet.list({USER_LABEL: "alice"})).items == ()
    with pytest.raises(NotFound):
        await fleet.delete(allocated)
    with pytest.raises(NotFound):
        await fleet.annotate(allocated, {"a": "b"})
