"""What the local store's socket speaks: kinds, their JSON, and errors as a kube-apiserver tells them (status and reason)."""

from dataclasses import dataclass, field
from typing import Generic

from pydantic import TypeAdapter

from fleet.base import (
    Allocation,
    AllocationRequest,
    AlreadyExists,
    Conflict,
    Event,
    Expired,
    FleetError,
    GameServer,
    Lease,
    Listing,
    NotFound,
    Uncertain,
)
from fleet.local.store import T

BOOKMARK_SECONDS = 5.0
"""A watch that says nothing for three times as long is dead."""


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """A kind of object: where it lives on the server, and its JSON."""

    path: str
    item: TypeAdapter[T]
    listing: TypeAdapter[Listing[T]]
    event: TypeAdapter[Event[T]]


GAMESERVERS = Kind("gameservers", TypeAdapter(GameServer), TypeAdapter(Listing[GameServer]), TypeAdapter(Event[GameServer]))
LEASES = Kind("leases", TypeAdapter(Lease), TypeAdapter(Listing[Lease]), TypeAdapter(Event[Lease]))


@dataclass(frozen=True, slots=True)
class Deletion:
    """Preconditions of a delete. No resourceVersion: any."""

    name: str
    uid: str
    resource_version: str | None = None


@dataclass(frozen=True, slots=True)
class Annotating:
    """Annotations to put on what is at this resourceVersion."""

    name: str
    uid: str
    resource_version: str
    annotations: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Status:
    """What went wrong: the body of every error, and the last line of a watch that ends with one."""

    code: int
    reason: str
    message: str


DELETION = TypeAdapter(Deletion)
ANNOTATING = TypeAdapter(Annotating)
ALLOCATION_REQUEST = TypeAdapter(AllocationRequest)
ALLOCATION = TypeAdapter(Allocation)
STATUS = TypeAdapter(Status)

_CODES: dict[type[FleetError], int] = {NotFound: 404, AlreadyExists: 409, Conflict: 409, Expired: 410}
_BY_REASON = {kind.__name__: kind for kind in _CODES}


def status(error: FleetError) -> Status:
    return Status(_CODES.get(type(error), 500), type(error).__name__, str(error))


def error(status: Status) -> FleetError:
    """The exception that a status stands for; `Uncertain` for whatever says nothing certain."""
    return _BY_REASON.get(status.reason, Uncertain)(status.message)
