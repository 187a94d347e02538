"""Allocation, as Agones' GameServerAllocation with one Ready-only selector."""

from dataclasses import replace
from datetime import UTC, datetime

from fleet.base import Allocation, AllocationRequest, AllocationState, GameServer
from fleet.local.store import Store
from runtime.names import USER_LABEL, GameServerState

LAST_ALLOCATED = "agones.dev/last-allocated"


def may_be_allocated(gameserver: GameServer, fleet: str) -> bool:
    """Ready, staying, and never anyone's: labels survive a return to Ready, so a user's label is for life."""
    return (
        gameserver.fleet == fleet
        and gameserver.state is GameServerState.READY
        and not gameserver.deleting
        and USER_LABEL not in gameserver.labels
    )


def allocate(store: Store[GameServer], request: AllocationRequest, now: float) -> Allocation:
    """Give the oldest server that may be given. Atomic: the store is only touched from one event loop."""
    candidates = [item for item in store.list().items if may_be_allocated(item, request.fleet)]
    if not candidates:
        return Allocation(AllocationState.UNALLOCATED)
    chosen = min(candidates, key=lambda item: (item.created_at, item.name))
    at = datetime.fromtimestamp(now, UTC).isoformat()
    allocated = store.update(
        replace(
            chosen,
            state=GameServerState.ALLOCATED,
            labels={**chosen.labels, **request.labels},
            annotations={**chosen.annotations, LAST_ALLOCATED: at, **request.annotations},
        )
    )
    return Allocation(AllocationState.ALLOCATED, allocated)
