"""`fleet.base.Fleet` on Agones. A GameServer belongs to Agones' controllers: we annotate it, allocate it, delete it."""

from collections.abc import Mapping
from typing import Final

from pydantic import Field, TypeAdapter

from fleet.agones import allocation
from fleet.agones.client import ApiServer
from fleet.agones.objects import Objects, Resource
from fleet.agones.transport import MERGE_PATCH
from fleet.agones.wire import Bookmark, Broken, Changed, Object, ObjectList, Wire
from fleet.base import Allocation, AllocationRequest, AllocationState, GameServer, NotFound, Uncertain
from runtime.clock import Clock
from runtime.names import GameServerState

FLEET_LABEL: Final = allocation.FLEET_LABEL
POD_IP: Final = "PodIP"


class Port(Wire):
    name: str
    port: int


class Address(Wire):
    type: str
    address: str


class GameServerStatus(Wire):
    state: str = ""
    ports: list[Port] | None = None
    addresses: list[Address] | None = None


class GameServerObject(Object):
    """agones.dev/v1 GameServer (pkg/apis/agones/v1/gameserver.go)."""

    status: GameServerStatus = Field(default_factory=GameServerStatus)


def view(found: GameServerObject) -> GameServer:
    """`status.address` is the node's: with portPolicy None nothing of ours is there. The PodIP may come late."""
    meta, status = found.metadata, found.status
    addresses = [item.address for item in status.addresses or () if item.type == POD_IP]
    return GameServer(
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
        fleet=meta.labels.get(FLEET_LABEL, ""),
        state=state(status.state),
        created_at=meta.creation_timestamp.timestamp(),
        labels=meta.labels,
        annotations=meta.annotations,
        address=addresses[0] if addresses else None,
        ports={item.name: item.port for item in status.ports or ()},
        deleting=meta.deletion_timestamp is not None,
    )


def state(value: str) -> GameServerState:
    """A state that a newer Agones has is neither ours to use nor to end, as a reserved server is."""
    try:
        return GameServerState(value or GameServerState.PORT_ALLOCATION)
    except ValueError:
        return GameServerState.RESERVED


GAMESERVERS: Final = Resource(
    "agones.dev/v1",
    "gameservers",
    TypeAdapter(GameServerObject),
    TypeAdapter(ObjectList[GameServerObject]),
    TypeAdapter(Changed[GameServerObject] | Bookmark | Broken),
    view,
)


class AgonesFleet(Objects[GameServer, GameServerObject]):
    """GameServers of one namespace."""

    def __init__(self, api: ApiServer, namespace: str, clock: Clock) -> None:
        super().__init__(api, GAMESERVERS, namespace, clock)
        self._allocations = allocation.path(namespace)

    async def allocate(self, request: AllocationRequest) -> Allocation:
        reply = allocation.parsed(await self._api.write("POST", self._allocations, allocation.body(request)))
        if reply.state is not AllocationState.ALLOCATED:
            return Allocation(reply.state)
        return Allocation(AllocationState.ALLOCATED, await self._allocated(reply.game_server_name))

    async def _allocated(self, name: str) -> GameServer:
        """The reply names the server and lacks the uid and resourceVersion that everything after needs."""
        try:
            return await self.get(name)
        except NotFound as error:
            raise Uncertain(f"{name} was allocated, and is gone") from error

    async def annotate(self, gameserver: GameServer, annotations: Mapping[str, str]) -> GameServer:
        changes = {"resourceVersion": gameserver.resource_version, "annotations": dict(annotations)}
        path = f"{self._path}/{gameserver.name}"
        return self._viewed(await self._api.write("PATCH", path, {"metadata": changes}, content_type=MERGE_PATCH))

    async def delete(self, gameserver: GameServer, *, any_version: bool = False) -> None:
        await self._delete(gameserver, any_version=any_version)
