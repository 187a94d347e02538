"""What GameServers and Leases have in common: list, watch, get, delete of one kind in one namespace."""

from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import TypeAdapter, ValidationError

from fleet.agones.client import ApiServer, told
from fleet.agones.wire import Bookmark, Broken, Changed, ObjectList, ObjectT
from fleet.base import Event, EventType, Listing, Uncertain, Versioned
from runtime.clock import Clock

T = TypeVar("T", bound=Versioned)
V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Resource(Generic[T, ObjectT]):
    """A kind of object: where the API server has it, its JSON, and our view of it."""

    api_version: str
    plural: str
    item: TypeAdapter[ObjectT]
    listing: TypeAdapter[ObjectList[ObjectT]]
    event: TypeAdapter[Changed[ObjectT] | Bookmark | Broken]
    view: Callable[[ObjectT], T]


class Objects(Generic[T, ObjectT]):
    """The reading half of both contracts, and the delete."""

    def __init__(self, api: ApiServer, resource: Resource[T, ObjectT], namespace: str, clock: Clock) -> None:
        self._api = api
        self._resource = resource
        self._path = f"/apis/{resource.api_version}/namespaces/{namespace}/{resource.plural}"
        self._clock = clock

    async def list(self, labels: Mapping[str, str] | None = None) -> Listing[T]:
        """A quorum read: no resourceVersion is named, so no cache of the API server may answer with the past."""
        selector = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        content = await self._api.read(self._path, {"labelSelector": selector} if selector else {})
        found = _parsed(self._resource.listing, content)
        return Listing(tuple(self._resource.view(item) for item in found.items), found.metadata.resource_version)

    async def watch(self, resource_version: str) -> AsyncIterator[Event[T]]:
        """One watch. That the server ended it at its time and not before is a sign of life too: told as a bookmark."""
        began, version = self._clock.monotonic(), resource_version
        async with aclosing(self._api.watch(self._path, resource_version)) as lines:
            async for line in lines:
                event = self._event(line)
                version = event.resource_version
                yield event
        if self._clock.monotonic() - began >= self._api.watch_seconds:
            yield Event(EventType.BOOKMARK, version)

    async def get(self, name: str) -> T:
        return self._viewed(await self._api.read(f"{self._path}/{name}"))

    async def _delete(self, item: T, *, any_version: bool) -> None:
        preconditions = {"uid": item.uid}
        if not any_version:
            preconditions["resourceVersion"] = item.resource_version
        await self._api.delete(f"{self._path}/{item.name}", preconditions)

    def _viewed(self, content: bytes) -> T:
        return self._resource.view(_parsed(self._resource.item, content))

    def _event(self, line: bytes) -> Event[T]:
        """Raises `Expired`, `Refused`, `Uncertain`."""
        match _parsed(self._resource.event, line):
            case Broken(object=status):
                raise told(status, status.code)
            case Bookmark(object=mark):
                return Event(EventType.BOOKMARK, mark.metadata.resource_version)
            case Changed(type=kind, object=item):
                return Event(EventType(kind), item.metadata.resource_version, self._resource.view(item))


def _parsed(adapter: TypeAdapter[V], content: bytes) -> V:
    """Raises `Uncertain`: what cannot be read says nothing."""
    try:
        return adapter.validate_json(content)
    except ValidationError as error:
        raise Uncertain(f"not what the API server's schema says: {error}") from error
