"""The client of the local store against servers that break off, fail, or answer what nobody understands."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from aiohttp import web

from fleet.base import Event, EventType, Expired, Lease, NotFound, Uncertain
from fleet.local import server, wire
from fleet.local.client import MAX_LINE, LocalBackend, connect

ADDED = Event(EventType.ADDED, "7", Lease("alice", uid="u", resource_version="7"))
LINE = wire.LEASES.event.dump_json(ADDED) + b"\n"


@asynccontextmanager
async def answering(folder: Path, status: int, *chunks: bytes, silent: bool = False) -> AsyncIterator[LocalBackend]:
    """A store that answers every call so, and then breaks off or says nothing more."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=status)
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if silent:
            await asyncio.Event().wait()
        assert request.transport is not None
        request.transport.abort()
        return response

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    async with server.serve(folder / "s", app), connect(folder / "s", call_seconds=5.0, silence_seconds=0.2) as backend:
        yield backend


async def read(backend: LocalBackend, seen: list[Event[Lease]]) -> None:
    events = backend.leases.watch("1")
    assert isinstance(events, AsyncGenerator)
    try:
        async with asyncio.timeout(10):
            async for event in events:
                seen.append(event)  # noqa: PERF401 - it has to hold what came before an error
    finally:
        await events.aclose()


async def test_a_watch_that_expires_on_the_way_says_so_after_its_events(tmp_path: Path) -> None:
    gone = wire.STATUS.dump_json(wire.status(Expired("too slow"))) + b"\n"
    seen = list[Event[Lease]]()
    async with answering(tmp_path, 200, LINE, gone) as backend:
        with pytest.raises(Expired, match="too slow"):
            await read(backend, seen)
    assert seen == [ADDED]


@pytest.mark.parametrize("chunks", [(LINE,), (LINE, LINE[:20])], ids=["between events", "within an event"])
async def test_a_watch_that_breaks_off_is_uncertain_and_never_half_an_event(tmp_path: Path, chunks: tuple[bytes, ...]) -> None:
    seen = list[Event[Lease]]()
    async with answering(tmp_path, 200, *chunks) as backend:
        with pytest.raises(Uncertain):
            await read(backend, seen)
    assert seen == [ADDED]


async def test_a_watch_without_a_sign_of_life_is_uncertain(tmp_path: Path) -> None:
    async with answering(tmp_path, 200, LINE, silent=True) as backend:
        with pytest.raises(Uncertain):
            await read(backend, [])


@pytest.mark.parametrize(("status", "body"), [(500, b"<html>"), (502, b"{}"), (503, b'{"code": 503}'), (400, b"")])
async def test_an_error_that_is_no_status_of_ours_is_uncertain(tmp_path: Path, status: int, body: bytes) -> None:
    async with answering(tmp_path, status, body) as backend:
        with pytest.raises(Uncertain):
            await backend.leases.get("alice")


async def test_a_status_in_a_watch_s_place_is_the_error_that_it_names(tmp_path: Path) -> None:
    app = web.Application()

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=wire.STATUS.dump_json(wire.status(NotFound("no such kind"))), status=404)

    app.router.add_get("/leases/watch", handler)
    async with server.serve(tmp_path / "s", app), connect(tmp_path / "s") as backend:
        with pytest.raises(NotFound, match="no such kind"):
            await anext(backend.leases.watch("1"))


async def test_an_event_larger_than_any_object_ends_the_watch_and_nothing_else(tmp_path: Path) -> None:
    async with answering(tmp_path, 200, LINE, b"x" * (MAX_LINE + 1), b"x" * MAX_LINE, b"\n") as backend:
        with pytest.raises(Uncertain):
            await read(backend, [])
