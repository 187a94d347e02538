"""The contract between the allocator and what runs GameServers: `Fleet`, `LeaseStore` and their data.

The words and the semantics are Agones' and Kubernetes': every object has a uid and a resourceVersion, every write is
a compare and swap, every delete has preconditions, a list is a quorum read, a watch resumes from a resourceVersion or
fails with `Expired` (HTTP 410). `tests/contract/` holds the cases that every implementation passes.
"""

from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Generic, Protocol, TypeVar

from runtime.names import GameServerState

WEBUI_PORT = "webui"
USER_INIT_PORT = "user-init"


@dataclass(frozen=True, slots=True)
class GameServer:
    """One WebUI with its sidecars, as the store knows it. `created_at` is in epoch seconds."""

    name: str
    uid: str
    resource_version: str
    fleet: str
    state: GameServerState
    created_at: float
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    address: str | None = None
    """Where its ports are reached (the pod's IP, loopback locally); may come late."""
    ports: Mapping[str, int] = field(default_factory=dict)
    """By name: `WEBUI_PORT` and `USER_INIT_PORT`."""
    deleting: bool = False
    """Has a deletionTimestamp: still listed, counts for nothing any more."""


@dataclass(frozen=True, slots=True)
class Lease:
    """A coordination.k8s.io Lease. Times are epoch seconds of whoever wrote them: compare for change, not with a clock."""

    name: str
    uid: str = ""
    resource_version: str = ""
    holder: str = ""
    renew_time: float | None = None
    duration_seconds: int | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    created_at: float = 0.0


class Versioned(Protocol):
    """What an informer needs to know of an object."""

    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def resource_version(self) -> str: ...
    @property
    def labels(self) -> Mapping[str, str]: ...


T = TypeVar("T", bound=Versioned)


class EventType(StrEnum):
    ADDED = "ADDED"
    MODIFIED = "MODIFIED"
    DELETED = "DELETED"
    BOOKMARK = "BOOKMARK"


@dataclass(frozen=True, slots=True)
class Event(Generic[T]):
    """One change on a watch. A BOOKMARK has no object; it says how far the watch is and that it lives."""

    type: EventType
    resource_version: str
    object: T | None = None


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """A quorum read: everything as of `resource_version`, from which a watch goes on without a gap."""

    items: tuple[T, ...]
    resource_version: str


class AllocationState(StrEnum):
    ALLOCATED = "Allocated"
    UNALLOCATED = "UnAllocated"
    CONTENTION = "Contention"


@dataclass(frozen=True, slots=True)
class AllocationRequest:
    """Which Fleet, and what to put on the server that is chosen.

    Only servers that are Ready, not being deleted, and do not carry `USER_LABEL` may be chosen.
    """

    fleet: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Allocation:
    state: AllocationState
    gameserver: GameServer | None = None


class FleetError(Exception):
    """A call to the fleet's store failed; the subclasses say what is known about it."""


class NotFound(FleetError):
    """There is no such object (404)."""


class AlreadyExists(FleetError):
    """Create found an object of that name (409 AlreadyExists)."""


class Conflict(FleetError):
    """The uid or resourceVersion is not the one that was asked for (409 Conflict): read again and start over."""


class Expired(FleetError):
    """The watch's resourceVersion is no longer kept (410 Gone): list anew."""


class Refused(FleetError):
    """The store said no (400, 401, 403, 422): it did not happen, and will not while nothing else changes."""


class Uncertain(FleetError):
    """A time-out, a 5xx or a lost connection: it may or may not have happened. Read before acting on it."""


class Fleet(Protocol):
    """GameServers of one installation, over all its Fleets. Every call is bounded by the implementation."""

    async def list(self, labels: Mapping[str, str] | None = None) -> Listing[GameServer]:
        """All GameServers with these labels, by a quorum read. Raises `Uncertain`."""
        ...

    def watch(self, resource_version: str) -> AsyncIterator[Event[GameServer]]:
        """Changes after `resource_version`, with bookmarks. Raises `Expired`, `Uncertain`; ends when the server says so."""
        ...

    async def allocate(self, request: AllocationRequest) -> Allocation:
        """Take a Ready server of a Fleet. Success is the state ALLOCATED alone. Raises `Uncertain`."""
        ...

    async def annotate(self, gameserver: GameServer, annotations: Mapping[str, str]) -> GameServer:
        """Put annotations on, if it is still at `gameserver.resource_version`. Raises `Conflict`, `NotFound`, `Uncertain`."""
        ...

    async def delete(self, gameserver: GameServer, *, any_version: bool = False) -> None:
        """Delete it, if uid and (unless `any_version`) resourceVersion still hold.

        Raises `Conflict`, `NotFound`, `Uncertain`.
        """
        ...


class LeaseStore(Protocol):
    """Leases of one installation."""

    async def list(self, labels: Mapping[str, str] | None = None) -> Listing[Lease]: ...

    def watch(self, resource_version: str) -> AsyncIterator[Event[Lease]]: ...

    async def get(self, name: str) -> Lease:
        """A quorum read of one Lease. Raises `NotFound`, `Uncertain`."""
        ...

    async def create(self, lease: Lease) -> Lease:
        """Create by name; uid and resource_version are the store's. Raises `AlreadyExists`, `Uncertain`."""
        ...

    async def update(self, lease: Lease) -> Lease:
        """Replace what is at `lease.resource_version` of `lease.uid`. Raises `Conflict`, `NotFound`, `Uncertain`."""
        ...

    async def delete(self, lease: Lease) -> None:
        """Delete it, if uid and resourceVersion still hold. Raises `Conflict`, `NotFound`, `Uncertain`."""
        ...
