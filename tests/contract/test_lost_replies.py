"""A call without a reply is `Uncertain`, whatever became of it; a read afterwards tells."""

from collections.abc import Awaitable, Callable
from dataclasses import replace

import pytest

from fleet.base import AllocationRequest, GameServer, Lease, NotFound, Uncertain
from runtime.names import USER_LABEL
from tests.contract.backend import Backend, Stores

LEASE = Lease("alice", uid="u", resource_version="1")
GAMESERVER_CALL = AllocationRequest("easel", {USER_LABEL: "alice"}, {})
CALLS: dict[str, Callable[[Stores], Awaitable[object]]] = {
    "list gameservers": lambda stores: stores.fleet.list(),
    "watch gameservers": lambda stores: anext(stores.fleet.watch("1")),
    "allocate": lambda stores: stores.fleet.allocate(GAMESERVER_CALL),
    "list leases": lambda stores: stores.leases.list(),
    "get": lambda stores: stores.leases.get("alice"),
    "create": lambda stores: stores.leases.create(LEASE),
    "update": lambda stores: stores.leases.update(LEASE),
    "delete": lambda stores: stores.leases.delete(LEASE),
}


@pytest.mark.parametrize("call", CALLS)
async def test_nobody_there_is_uncertain(backend: Backend, call: str) -> None:
    async with backend.unreachable() as stores:
        with pytest.raises(Uncertain):
            await CALLS[call](stores)


@pytest.mark.parametrize("call", CALLS)
async def test_a_server_that_says_nothing_is_uncertain_in_time(backend: Backend, call: str) -> None:
    async with backend.hanging() as stores:
        with pytest.raises(Uncertain):
            await CALLS[call](stores)


async def test_a_create_whose_reply_is_lost_may_have_happened(backend: Backend) -> None:
    async with backend.losing_replies() as stores:
        with pytest.raises(Uncertain):
            await stores.leases.create(Lease("alice", annotations={"attempt": "mine"}))
    assert (await backend.stores.leases.get("alice")).annotations["attempt"] == "mine"


async def test_an_update_whose_reply_is_lost_is_no_conflict_with_itself(backend: Backend) -> None:
    lease = await backend.stores.leases.create(Lease("alice"))
    async with backend.losing_replies() as stores:
        with pytest.raises(Uncertain):
            await stores.leases.update(replace(lease, holder="mine"))
    assert (await backend.stores.leases.get("alice")).holder == "mine"


async def test_a_delete_whose_reply_is_lost_may_have_happened(backend: Backend) -> None:
    lease = await backend.stores.leases.create(Lease("alice"))
    async with backend.losing_replies() as stores:
        with pytest.raises(Uncertain):
            await stores.leases.delete(lease)
    with pytest.raises(NotFound):
        await backend.stores.leases.get("alice")


async def test_an_allocation_whose_reply_is_lost_is_found_by_the_users_label(backend: Backend) -> None:
    ready = await backend.gameserver("easel")
    async with backend.losing_replies() as stores:
        with pytest.raises(Uncertain):
            await stores.fleet.allocate(GAMESERVER_CALL)
    assert [item.uid for item in (await backend.stores.fleet.list({USER_LABEL: "alice"})).items] == [ready.uid]


async def test_an_annotation_and_a_deletion_whose_replies_are_lost_happened_once(backend: Backend) -> None:
    ready = await backend.gameserver("easel")
    async with backend.losing_replies() as stores:
        with pytest.raises(Uncertain):
            await stores.fleet.annotate(ready, {"atelier.dev/a": "1"})
        annotated = await _only(backend)
        assert annotated.annotations["atelier.dev/a"] == "1"
        with pytest.raises(Uncertain):
            await stores.fleet.delete(annotated)
    assert (await _only(backend)).deleting


async def _only(backend: Backend) -> GameServer:
    (item,) = (await backend.stores.fleet.list()).items
    return item
