"""GameServerAllocation: what is asked of Agones' aggregated API, and what its 201 says."""

from typing import Final

from pydantic import TypeAdapter, ValidationError

from fleet.agones.wire import Wire
from fleet.base import AllocationRequest, AllocationState, Uncertain
from runtime.names import USER_LABEL, GameServerState

API_VERSION: Final = "allocation.agones.dev/v1"
KIND: Final = "GameServerAllocation"
FLEET_LABEL: Final = "agones.dev/fleet"


class Reply(Wire):
    """`status` of the reply (pkg/apis/allocation/v1/gameserverallocation.go)."""

    state: AllocationState
    game_server_name: str = ""


class _Replied(Wire):
    status: Reply


_REPLY = TypeAdapter(_Replied)


def path(namespace: str) -> str:
    return f"/apis/{API_VERSION}/namespaces/{namespace}/gameserverallocations"


def body(request: AllocationRequest) -> dict[str, object]:
    """Ready, and never anyone's: labels survive a return to Ready, which any process in the pod can ask for."""
    selector = {
        "matchLabels": {FLEET_LABEL: request.fleet},
        "matchExpressions": [{"key": USER_LABEL, "operator": "DoesNotExist"}],
        "gameServerState": GameServerState.READY.value,
    }
    metadata = {"labels": dict(request.labels), "annotations": dict(request.annotations)}
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "spec": {"selectors": [selector], "scheduling": "Packed", "metadata": metadata},
    }


def parsed(content: bytes) -> Reply:
    """Any state is a 201. Raises `Uncertain` for what is none of Agones' answers."""
    try:
        return _REPLY.validate_json(content).status
    except ValidationError as error:
        raise Uncertain(f"the allocation's answer cannot be read: {error}") from error
