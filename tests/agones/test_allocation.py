"""What Agones' allocation API does that is neither a success nor a plain no."""

import pytest

from fleet.base import AllocationRequest, AllocationState, GameServer, Uncertain
from runtime.names import NONCE_ANNOTATION, USER_LABEL, GameServerState
from tests.agones.allocation_api import TROUBLE, Trouble
from tests.contract.agones_backend import AgonesTestBackend

REQUEST = AllocationRequest("easel", {USER_LABEL: "alice"}, {NONCE_ANNOTATION: "n"})


async def make(agones: AgonesTestBackend, trouble: Trouble) -> None:
    await agones.annotate_namespace({TROUBLE: trouble.value})


async def only(agones: AgonesTestBackend) -> GameServer:
    (item,) = (await agones.stores.fleet.list()).items
    return item


async def test_contention_is_a_201_and_no_success(agones: AgonesTestBackend) -> None:
    await agones.gameserver("easel")
    await make(agones, Trouble.CONTENTION)
    allocation = await agones.stores.fleet.allocate(REQUEST)
    assert (allocation.state, allocation.gameserver) == (AllocationState.CONTENTION, None)


async def test_an_error_in_plain_text_is_uncertain(agones: AgonesTestBackend) -> None:
    await agones.gameserver("easel")
    await make(agones, Trouble.FAILURE)
    with pytest.raises(Uncertain, match="Internal Server Error"):
        await agones.stores.fleet.allocate(REQUEST)
    assert (await only(agones)).state is GameServerState.READY


async def test_a_reply_lost_between_agones_and_the_api_server_is_found_by_the_users_label(agones: AgonesTestBackend) -> None:
    ready = await agones.gameserver("easel")
    await make(agones, Trouble.LOST_REPLY)
    with pytest.raises(Uncertain):
        await agones.stores.fleet.allocate(REQUEST)
    (found,) = (await agones.stores.fleet.list({USER_LABEL: "alice"})).items
    assert (found.uid, found.state, found.annotations[NONCE_ANNOTATION]) == (ready.uid, GameServerState.ALLOCATED, "n")


async def test_a_pod_ip_that_comes_after_the_allocation_is_heard_on_the_watch(agones: AgonesTestBackend) -> None:
    ready = await agones.gameservers.create("easel", GameServerState.READY, addresses={"InternalIP": "192.0.2.1"})
    allocated = (await agones.stores.fleet.allocate(REQUEST)).gameserver
    assert allocated is not None
    assert allocated.address is None
    listing = await agones.stores.fleet.list()
    await agones.gameservers.patch(ready.name, {"status": {"addresses": [{"type": "PodIP", "address": "10.0.0.7"}]}})
    event = await anext(agones.stores.fleet.watch(listing.resource_version))
    assert event.object is not None
    assert event.object.address == "10.0.0.7"
