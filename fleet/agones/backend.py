"""Both contracts on one cluster: what the allocator's process connects to."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from fleet.agones.client import CALL_SECONDS, WATCH_SECONDS, ApiServer
from fleet.agones.gameservers import AgonesFleet
from fleet.agones.leases import KubernetesLeases
from fleet.agones.transport import Access, transport
from runtime.clock import Clock, SystemClock


@dataclass(frozen=True, slots=True)
class Namespaces:
    """Sessions live where the allocator does; WebUIs, which need other rights, in a namespace of their own."""

    leases: str
    gameservers: str


@dataclass(frozen=True, slots=True)
class AgonesBackend:
    """Both contracts over one connection pool."""

    fleet: AgonesFleet
    leases: KubernetesLeases


@asynccontextmanager
async def connect(
    namespaces: Namespaces,
    access: Access | None = None,
    *,
    clock: Clock | None = None,
    call_seconds: float = CALL_SECONDS,
    watch_seconds: int = WATCH_SECONDS,
) -> AsyncIterator[AgonesBackend]:
    """The API server. Connects on the first call, so it may come up later. Raises `UserError` without a configuration.

    Every call ends within `call_seconds`; a watch ends within `watch_seconds`, and on silence soon after.
    """
    async with transport(access or Access()) as way:
        api, time = ApiServer(way, call_seconds=call_seconds, watch_seconds=watch_seconds), clock or SystemClock()
        yield AgonesBackend(AgonesFleet(api, namespaces.gameservers, time), KubernetesLeases(api, namespaces.leases, time))
