"""The client of the API server against servers that are busy, break off, fail, or answer what nobody understands."""

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from fleet.agones.backend import AgonesBackend, Namespaces, connect
from fleet.agones.transport import Access
from fleet.base import AllocationRequest, Event, EventType, Expired, FleetError, Lease, NotFound, Refused, Uncertain
from runtime.errors import UserError
from tests.fake_clock import FakeClock

PATIENT, IMPATIENT = 10.0, 0.5
META = {"name": "alice", "uid": "u", "resourceVersion": "7", "creationTimestamp": "2026-01-01T00:00:00Z"}
OBJECT = {"metadata": META, "spec": {"holderIdentity": "a"}}
LEASE = Lease("alice", "u", "7", holder="a", created_at=1767225600.0)
LINE = json.dumps({"type": "ADDED", "object": OBJECT}).encode() + b"\n"
ADDED = Event(EventType.ADDED, "7", LEASE)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def kubeconfig(folder: Path, server: str) -> Access:
    path = folder / "kubeconfig"
    named = {"name": "here"}
    path.write_text(
        json.dumps(
            {
                "apiVersion": "v1",
                "kind": "Config",
                "current-context": "here",
                "clusters": [named | {"cluster": {"server": server}}],
                "users": [named | {"user": {"token": "secret"}}],
                "contexts": [named | {"context": {"cluster": "here", "user": "here"}}],
            }
        )
    )
    return Access(str(path))


@asynccontextmanager
async def serving(
    folder: Path, handler: Handler, clock: FakeClock | None = None, *, call_seconds: float = PATIENT
) -> AsyncIterator[AgonesBackend]:
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        access = kubeconfig(folder, f"http://127.0.0.1:{runner.addresses[0][1]}")
        here = Namespaces("here", "here")
        async with connect(here, access, clock=clock, call_seconds=call_seconds, watch_seconds=1) as backend:
            yield backend
    finally:
        await runner.cleanup()


def status(code: int, reason: str, message: str = "", **details: str) -> dict[str, Any]:
    return {"kind": "Status", "code": code, "reason": reason, "message": message, "details": details}


def streaming(*chunks: bytes, then: Callable[[web.Request], Awaitable[None]] | None = None) -> Handler:
    """A watch that says this, and then ends in good order, unless `then` does something else."""

    async def handler(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        for chunk in chunks:
            await response.write(chunk)
        if then is not None:
            await then(request)
        return response

    return handler


async def break_off(request: web.Request) -> None:
    assert request.transport is not None
    request.transport.abort()


async def silence(_: web.Request) -> None:
    await asyncio.Event().wait()


async def watched(backend: AgonesBackend) -> list[Event[Lease]]:
    """All events of one watch; what it raises has them as its last argument."""
    seen = list[Event[Lease]]()
    events = backend.leases.watch("5")
    assert isinstance(events, AsyncGenerator)
    try:
        async with asyncio.timeout(10):
            async for event in events:
                seen.append(event)
    except FleetError as error:
        error.args = (*error.args, seen)
        raise
    finally:
        await events.aclose()
    return seen


@pytest.mark.parametrize(
    ("code", "body", "kind"),
    [
        (404, status(404, "NotFound", kind="leases"), NotFound),
        (404, status(404, "NotFound", kind="namespaces"), Refused),
        (404, "404 page not found", Refused),
        (403, status(403, "Forbidden", "u cannot get leases"), Refused),
        (401, status(401, "Unauthorized"), Refused),
        (422, status(422, "Invalid"), Refused),
        (410, status(410, "Expired"), Expired),
        (500, "Internal Server Error", Uncertain),
        (503, status(503, "ServiceUnavailable"), Uncertain),
        (504, status(504, "Timeout"), Uncertain),
        (200, "no JSON", Uncertain),
        (200, {"metadata": {"name": "alice"}}, Uncertain),
    ],
)
async def test_what_an_answer_says_is_in_the_exceptions_class(
    tmp_path: Path, code: int, body: str | dict[str, Any], kind: type[FleetError]
) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=code, text=body if isinstance(body, str) else json.dumps(body))

    async with serving(tmp_path, handler) as backend:
        with pytest.raises(FleetError) as raised:
            await backend.leases.get("alice")
    assert type(raised.value) is kind
    if isinstance(body, dict):
        assert body.get("message", "") in str(raised.value)


async def test_a_call_carries_the_token_and_names_no_resource_version(tmp_path: Path) -> None:
    seen = list[web.Request]()

    async def handler(request: web.Request) -> web.Response:
        seen.append(request)
        return web.json_response({"metadata": {"resourceVersion": "9"}, "items": [OBJECT]})

    async with serving(tmp_path, handler) as backend:
        listing = await backend.leases.list({"kind": "session", "team": "a"})
    assert (listing.items, listing.resource_version) == ((LEASE,), "9")
    assert seen[0].headers["Authorization"] == "Bearer secret"
    assert dict(seen[0].query) == {"labelSelector": "kind=session,team=a"}


async def test_too_many_requests_are_sent_again_when_the_server_said(tmp_path: Path) -> None:
    answers = [web.Response(status=429, headers={"Retry-After": "0"}) for _ in range(3)]

    async def handler(_: web.Request) -> web.Response:
        return answers.pop() if answers else web.json_response(OBJECT)

    async with serving(tmp_path, handler) as backend:
        assert await backend.leases.create(LEASE) == LEASE
    assert not answers


async def test_too_many_requests_for_too_long_are_given_up_in_time(tmp_path: Path) -> None:
    async def handler(_: web.Request) -> web.Response:
        return web.Response(status=429, headers={"Retry-After": "60"})

    async with serving(tmp_path, handler, call_seconds=IMPATIENT) as backend, asyncio.timeout(20 * IMPATIENT):
        with pytest.raises(Uncertain):
            await backend.leases.create(LEASE)
        with pytest.raises(Uncertain):
            await watched(backend)


@pytest.mark.parametrize(
    "write",
    [
        lambda backend: backend.leases.update(LEASE),
        lambda backend: backend.leases.delete(LEASE),
        lambda backend: backend.leases.create(LEASE),
        lambda backend: backend.fleet.allocate(AllocationRequest("easel", {}, {})),
    ],
    ids=["update", "delete", "create", "allocate"],
)
async def test_a_write_on_a_kept_connection_that_breaks_is_sent_once(
    tmp_path: Path, write: Callable[[AgonesBackend], Awaitable[object]]
) -> None:
    methods = list[str]()

    async def handler(request: web.Request) -> web.Response:
        methods.append(request.method)
        if request.method != "GET":
            await break_off(request)
        return web.json_response(OBJECT)

    async with serving(tmp_path, handler) as backend:
        await backend.leases.get("alice")
        with pytest.raises(Uncertain):
            await write(backend)
    assert len(methods) == 2


@pytest.mark.parametrize(
    ("handler", "kind"),
    [
        (streaming(LINE, json.dumps({"type": "ERROR", "object": status(410, "Expired")}).encode() + b"\n"), Expired),
        (streaming(LINE, json.dumps({"type": "ERROR", "object": status(500, "InternalError")}).encode() + b"\n"), Uncertain),
        (streaming(LINE, then=break_off), Uncertain),
        (streaming(LINE, LINE[:20], then=break_off), Uncertain),
        (streaming(LINE, LINE[:20]), Uncertain),
        (streaming(LINE, b"x" * 5_000_000), Uncertain),
    ],
    ids=["expired", "failed", "cut", "cut in a line", "ended in a line", "endless line"],
)
async def test_a_watch_that_breaks_says_how_after_its_events(tmp_path: Path, handler: Handler, kind: type[FleetError]) -> None:
    async with serving(tmp_path, handler) as backend:
        with pytest.raises(FleetError) as raised:
            await watched(backend)
    assert type(raised.value) is kind
    assert raised.value.args[-1] == [ADDED]


async def test_a_watch_on_which_nothing_comes_for_too_long_is_given_up(tmp_path: Path) -> None:
    async with serving(tmp_path, streaming(LINE, then=silence), call_seconds=IMPATIENT) as backend:
        with pytest.raises(Uncertain) as raised:
            await watched(backend)
    assert raised.value.args[-1] == [ADDED]


async def test_a_watch_that_the_server_ends_in_time_was_alive_to_its_end(tmp_path: Path) -> None:
    clock = FakeClock()

    async def a_second_passes(_: web.Request) -> None:
        await clock.advance(1)

    async with serving(tmp_path, streaming(LINE, then=a_second_passes), clock) as backend:
        assert await watched(backend) == [ADDED, Event(EventType.BOOKMARK, "7")]
    async with serving(tmp_path, streaming(then=a_second_passes), clock) as backend:
        assert await watched(backend) == [Event(EventType.BOOKMARK, "5")]


async def test_a_watch_that_ends_before_its_time_is_no_sign_of_life(tmp_path: Path) -> None:
    async with serving(tmp_path, streaming(LINE), FakeClock()) as backend:
        assert await watched(backend) == [ADDED]


@pytest.mark.parametrize("text", [None, "", "{", "apiVersion: v1\nkind: Config\n", "just words"])
async def test_a_kubeconfig_that_names_no_cluster_is_one_line_with_a_remedy(tmp_path: Path, text: str | None) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError) as raised:
        async with connect(Namespaces("a", "b"), Access(str(path))):
            pass
    assert "\n" not in raised.value.problem
    assert "KUBECONFIG" in raised.value.remedy


async def test_a_context_that_does_not_exist_is_named(tmp_path: Path) -> None:
    access = kubeconfig(tmp_path, "http://127.0.0.1:9")
    with pytest.raises(UserError, match="elsewhere"):
        async with connect(Namespaces("a", "b"), Access(access.kubeconfig, context="elsewhere")):
            pass
