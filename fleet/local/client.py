"""`Fleet` and `LeaseStore` over the local store's socket: what the allocator's process uses."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Generic

import aiohttp
from pydantic import ValidationError

from fleet.base import Allocation, AllocationRequest, Event, FleetError, GameServer, Lease, Listing, Uncertain
from fleet.local import wire
from fleet.local.store import T
from fleet.local.wire import Kind

CALL_SECONDS = 5.0
MAX_LINE = 2 * 1024 * 1024
"""Bytes of one event: an object with all the annotations that Kubernetes allows is far smaller."""


class _Wire:
    """One connection pool and what every call has in common: a deadline, and errors that say what is known."""

    def __init__(self, session: aiohttp.ClientSession, call_seconds: float, silence_seconds: float) -> None:
        self._session = session
        self._call_seconds = call_seconds
        self._silence_seconds = silence_seconds

    async def get(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        return await self._call("GET", path, query, None)

    async def post(self, path: str, body: bytes) -> bytes:
        return await self._call("POST", path, None, body)

    async def lines(self, path: str, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        timeout = aiohttp.ClientTimeout(sock_connect=self._call_seconds, sock_read=self._silence_seconds)
        try:
            async with self._session.get(f"http://local{path}", params=query, timeout=timeout) as response:
                if response.status >= 300:
                    raise _failure(path, await response.read())
                async for line in response.content:
                    yield line
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a line beyond MAX_LINE
            raise Uncertain(f"watch {path}: {error!r}") from error

    async def _call(self, method: str, path: str, query: Mapping[str, str] | None, body: bytes | None) -> bytes:
        try:
            async with (
                asyncio.timeout(self._call_seconds),
                self._session.request(method, f"http://local{path}", params=query, data=body) as response,
            ):
                content = await response.read()
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise Uncertain(f"{method} {path}: {error!r}") from error
        if response.status >= 300:
            raise _failure(path, content)
        return content


def _failure(path: str, content: bytes) -> FleetError:
    try:
        return wire.error(wire.STATUS.validate_json(content))
    except ValidationError:
        return Uncertain(f"{path}: {content[:200]!r}")


class _Objects(Generic[T]):
    """Reading one kind: the same for GameServers and Leases."""

    def __init__(self, kind: Kind[T], wire_: _Wire) -> None:
        self._kind: Kind[T] = kind
        self._wire = wire_

    async def list(self, labels: Mapping[str, str] | None = None) -> Listing[T]:
        selector = ",".join(f"{key}={value}" for key, value in (labels or {}).items())
        return self._kind.listing.validate_json(await self._wire.get(f"/{self._kind.path}", {"labels": selector}))

    async def watch(self, resource_version: str) -> AsyncIterator[Event[T]]:
        async for line in self._wire.lines(f"/{self._kind.path}/watch", {"from": resource_version}):
            try:
                event = self._kind.event.validate_json(line)
            except ValidationError:
                raise _failure(f"watch /{self._kind.path}", line) from None
            yield event

    async def _delete(self, item: T, *, any_version: bool) -> None:
        deletion = wire.Deletion(item.name, item.uid, None if any_version else item.resource_version)
        await self._wire.post(f"/{self._kind.path}/delete", wire.DELETION.dump_json(deletion))


class LocalFleet(_Objects[GameServer]):
    """`fleet.base.Fleet` on this machine."""

    def __init__(self, wire_: _Wire) -> None:
        super().__init__(wire.GAMESERVERS, wire_)

    async def allocate(self, request: AllocationRequest) -> Allocation:
        body = wire.ALLOCATION_REQUEST.dump_json(request)
        return wire.ALLOCATION.validate_json(await self._wire.post("/gameservers/allocate", body))

    async def annotate(self, gameserver: GameServer, annotations: Mapping[str, str]) -> GameServer:
        wanted = wire.Annotating(gameserver.name, gameserver.uid, gameserver.resource_version, dict(annotations))
        body = await self._wire.post("/gameservers/annotate", wire.ANNOTATING.dump_json(wanted))
        return self._kind.item.validate_json(body)

    async def delete(self, gameserver: GameServer, *, any_version: bool = False) -> None:
        await self._delete(gameserver, any_version=any_version)


class LocalLeases(_Objects[Lease]):
    """`fleet.base.LeaseStore` on this machine."""

    def __init__(self, wire_: _Wire) -> None:
        super().__init__(wire.LEASES, wire_)

    async def get(self, name: str) -> Lease:
        return self._kind.item.validate_json(await self._wire.get(f"/leases/named/{name}"))

    async def create(self, lease: Lease) -> Lease:
        return await self._write("create", lease)

    async def update(self, lease: Lease) -> Lease:
        return await self._write("update", lease)

    async def delete(self, lease: Lease) -> None:
        await self._delete(lease, any_version=False)

    async def _write(self, verb: str, lease: Lease) -> Lease:
        body = await self._wire.post(f"/leases/{verb}", self._kind.item.dump_json(lease))
        return self._kind.item.validate_json(body)


@dataclass(frozen=True, slots=True)
class LocalBackend:
    """Both contracts over one connection pool."""

    fleet: LocalFleet
    leases: LocalLeases


@asynccontextmanager
async def connect(
    socket: Path, *, call_seconds: float = CALL_SECONDS, silence_seconds: float = 3 * wire.BOOKMARK_SECONDS
) -> AsyncIterator[LocalBackend]:
    """The store behind `socket`. Connects on the first call, so it may come up later.

    Every call ends within `call_seconds`; a watch on which nothing, not even a bookmark, came for `silence_seconds`
    ends with `Uncertain`.
    """
    connector = aiohttp.UnixConnector(path=str(socket), limit=0)
    async with aiohttp.ClientSession(connector=connector, read_bufsize=MAX_LINE) as session:
        wire_ = _Wire(session, call_seconds, silence_seconds)
        yield LocalBackend(LocalFleet(wire_), LocalLeases(wire_))
