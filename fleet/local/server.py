"""The local store on a Unix socket, as a kube-apiserver is to a cluster. It runs in the command's process.

Every write is a POST: HTTP clients repeat the other methods by themselves when a connection breaks, and a repeated
compare and swap would report a conflict with itself.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import replace
from pathlib import Path

from aiohttp import web
from pydantic import ValidationError

from fleet.base import AllocationState, Expired, FleetError, GameServer, Lease
from fleet.local import wire
from fleet.local.allocation import allocate
from fleet.local.store import Store, T
from fleet.local.wire import Kind
from runtime.clock import Clock
from runtime.sockets import bind_private

log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serve(socket: Path, app: web.Application) -> AsyncIterator[None]:
    """Listen on `socket` for the owner alone. Open watches are cut at the end. Raises `OSError`."""
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
    await runner.setup()
    try:
        await web.SockSite(runner, bind_private(socket)).start()
        yield
    finally:
        await runner.cleanup()
        _remove(socket)


def _remove(socket: Path) -> None:
    socket.unlink(missing_ok=True)


def application(
    gameservers: Store[GameServer],
    leases: Store[Lease],
    clock: Clock,
    *,
    bookmark_seconds: float = wire.BOOKMARK_SECONDS,
    unallocated: Callable[[str], None] = lambda _: None,
) -> web.Application:
    """Both kinds, and the calls that GameServers alone know."""
    app = web.Application(middlewares=[_errors], client_max_size=4 * 1024 * 1024)
    app.add_routes(_reading(wire.GAMESERVERS, gameservers, bookmark_seconds))
    app.add_routes(_reading(wire.LEASES, leases, bookmark_seconds))
    app.add_routes(_gameserver_writes(gameservers, clock, unallocated))
    app.add_routes(_lease_writes(leases))
    return app


def _reading(kind: Kind[T], store: Store[T], bookmark_seconds: float) -> list[web.RouteDef]:
    async def list_(request: web.Request) -> web.StreamResponse:
        labels = dict(part.split("=", 1) for part in request.query.get("labels", "").split(",") if part)
        return _reply(kind.listing.dump_json(store.list(labels)))

    async def get(request: web.Request) -> web.StreamResponse:
        return _reply(kind.item.dump_json(store.get(request.match_info["name"])))

    async def watch(request: web.Request) -> web.StreamResponse:
        version = int(request.query["from"])
        store.since(version)  # so that Expired is an HTTP status while it still can be one
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        try:
            async with aclosing(store.watch(version, bookmark_seconds=bookmark_seconds)) as events:
                async for event in events:
                    await response.write(kind.event.dump_json(event) + b"\n")
        except ConnectionResetError:
            log.debug("a watcher of %s left", kind.path)
        except Expired as error:
            await response.write(wire.STATUS.dump_json(wire.status(error)) + b"\n")
        return response

    return [
        web.get(f"/{kind.path}", list_),
        web.get(f"/{kind.path}/watch", watch),
        web.get(f"/{kind.path}/named/{{name}}", get),
    ]


def _gameserver_writes(store: Store[GameServer], clock: Clock, unallocated: Callable[[str], None]) -> list[web.RouteDef]:
    async def take(request: web.Request) -> web.StreamResponse:
        wanted = wire.ALLOCATION_REQUEST.validate_json(await request.read())
        allocation = allocate(store, wanted, clock.time())
        if allocation.state is AllocationState.UNALLOCATED:
            unallocated(wanted.fleet)
        return _reply(wire.ALLOCATION.dump_json(allocation))

    async def annotate(request: web.Request) -> web.StreamResponse:
        wanted = wire.ANNOTATING.validate_json(await request.read())
        found = store.check(wanted.name, wanted.uid, wanted.resource_version)
        annotated = store.update(replace(found, annotations={**found.annotations, **wanted.annotations}))
        return _reply(wire.GAMESERVERS.item.dump_json(annotated))

    async def delete(request: web.Request) -> web.StreamResponse:
        wanted = wire.DELETION.validate_json(await request.read())
        found = store.check(wanted.name, wanted.uid, wanted.resource_version)
        store.change(found.uid, found.name, lambda gameserver: replace(gameserver, deleting=True))
        return _reply(b"{}")

    return [
        web.post("/gameservers/allocate", take),
        web.post("/gameservers/annotate", annotate),
        web.post("/gameservers/delete", delete),
    ]


def _lease_writes(store: Store[Lease]) -> list[web.RouteDef]:
    async def create(request: web.Request) -> web.StreamResponse:
        lease = store.create(wire.LEASES.item.validate_json(await request.read()))
        return _reply(wire.LEASES.item.dump_json(lease), status=201)

    async def update(request: web.Request) -> web.StreamResponse:
        return _reply(wire.LEASES.item.dump_json(store.update(wire.LEASES.item.validate_json(await request.read()))))

    async def delete(request: web.Request) -> web.StreamResponse:
        wanted = wire.DELETION.validate_json(await request.read())
        store.remove(wanted.name, wanted.uid, wanted.resource_version)
        return _reply(b"{}")

    return [web.post("/leases/create", create), web.post("/leases/update", update), web.post("/leases/delete", delete)]


@web.middleware
async def _errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    try:
        return await handler(request)
    except FleetError as error:
        status = wire.status(error)
    except (ValidationError, ValueError, KeyError) as error:
        status = wire.Status(422, "Invalid", str(error))
    return _reply(wire.STATUS.dump_json(status), status=status.code)


def _reply(body: bytes, status: int = 200) -> web.Response:
    return web.Response(body=body, status=status, content_type="application/json")
