"""Calls to the API server: each bounded in time, each failure told by what is known about it."""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import NamedTuple

import aiohttp
from aiohttp.http_exceptions import LineTooLong
from pydantic import TypeAdapter, ValidationError

from fleet.agones.transport import JSON, Transport
from fleet.agones.wire import Status
from fleet.base import AlreadyExists, Conflict, Expired, FleetError, NotFound, Refused, Uncertain

CALL_SECONDS = 10.0
WATCH_SECONDS = 15
"""The server ends a watch after so long: a quiet one gives a sign of life well within the informer's stall time, where
bookmarks alone come once a minute (k8s.io/apiserver, cacher: `defaultBookmarkFrequency`)."""

_FIELD_MANAGER = {"fieldManager": "atelier"}
_STATUS = TypeAdapter(Status)
_UNANSWERED = (TimeoutError, aiohttp.ClientError, OSError)
_TOO_MANY = 429
_SERVER_ERRORS = 500


class Request(NamedTuple):
    method: str
    path: str
    query: Mapping[str, str]
    body: object = None
    content_type: str = JSON


class ApiServer:
    """One client of it. Every call ends within `call_seconds`, and what it may have done is in the exception's class."""

    def __init__(self, transport: Transport, *, call_seconds: float = CALL_SECONDS, watch_seconds: int = WATCH_SECONDS) -> None:
        self._transport = transport
        self._call_seconds = call_seconds
        self.watch_seconds = watch_seconds

    async def read(self, path: str, query: Mapping[str, str] | None = None) -> bytes:
        """A GET. Raises `NotFound`, `Refused`, `Uncertain`."""
        return await self._call(Request("GET", path, query or {}))

    async def write(self, method: str, path: str, body: object, *, content_type: str = JSON) -> bytes:
        """What changes something. Raises `NotFound`, `AlreadyExists`, `Conflict`, `Refused`, `Uncertain`."""
        return await self._call(Request(method, path, _FIELD_MANAGER, body, content_type))

    async def delete(self, path: str, preconditions: Mapping[str, str]) -> None:
        """Raises `NotFound`, `Conflict`, `Refused`, `Uncertain`."""
        options = {"kind": "DeleteOptions", "apiVersion": "v1", "preconditions": dict(preconditions)}
        await self._call(Request("DELETE", path, {}, options))

    async def watch(self, path: str, resource_version: str) -> AsyncGenerator[bytes, None]:
        """The lines of one watch; it ends when the server ends it.

        Raises `Expired`, `Refused`, `Uncertain`: also when the server says nothing for longer than it promised.
        """
        query = {
            "watch": "true",
            "allowWatchBookmarks": "true",
            "resourceVersion": resource_version,
            "timeoutSeconds": str(self.watch_seconds),
        }
        request = Request("GET", path, query)
        try:
            async with asyncio.timeout(self._call_seconds):
                response = await self._send(request, silence_seconds=self.watch_seconds + self._call_seconds)
            async with response:
                if response.status >= 300:
                    raise failure(response.status, await response.read())
                async for line in response.content:
                    yield line
        except (*_UNANSWERED, LineTooLong) as error:
            raise _uncertain(request, error) from error

    async def _call(self, request: Request) -> bytes:
        try:
            async with asyncio.timeout(self._call_seconds):
                response = await self._send(request)
                async with response:
                    content = await response.read()
        except _UNANSWERED as error:
            raise _uncertain(request, error) from error
        if response.status >= 300:
            raise failure(response.status, content)
        return content

    async def _send(self, request: Request, silence_seconds: float | None = None) -> aiohttp.ClientResponse:
        """What was answered 429 did not happen: it is sent again when the server said, as long as there is time."""
        while True:
            method, path, query, body, content_type = request
            response = await self._transport.send(
                method, path, query, body, content_type=content_type, silence_seconds=silence_seconds
            )
            if response.status != _TOO_MANY:
                return response
            response.release()
            await asyncio.sleep(_retry_after(response))


def failure(code: int, content: bytes) -> FleetError:
    """What a reply that is no success says. A body that is no Status (a proxy's, Agones' plain text) has the code alone."""
    try:
        status = _STATUS.validate_json(content)
    except ValidationError:
        status = Status(reason="", message=content[:200].decode(errors="replace").strip())
    return told(status, code)


def told(status: Status, code: int) -> FleetError:
    """The exception for a Status: by its reason, where a code has several meanings (k8s.io/apimachinery, StatusReason)."""
    message = f"{code} {status.reason}: {status.message}"
    if code >= _SERVER_ERRORS or code == _TOO_MANY:
        return Uncertain(message)
    match code, status.reason:
        case 404, "NotFound" if status.missing != "namespaces":
            return NotFound(message)
        case 409, "AlreadyExists":
            return AlreadyExists(message)
        case 409, _:
            return Conflict(message)
        case 410, _:
            return Expired(message)
    return Refused(message)


def _uncertain(request: Request, error: Exception) -> Uncertain:
    return Uncertain(f"{request.method} {request.path}: {error!r}")


def _retry_after(response: aiohttp.ClientResponse) -> float:
    """Seconds. The API server never sends the form with a date."""
    value = response.headers.get("Retry-After", "")
    return float(value) if value.isdecimal() else 1.0
