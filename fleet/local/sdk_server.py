"""The Agones SDK server of one GameServer, over real gRPC on a port of its own.

What it does at once, Agones only queues: a caller that waits for the watch is right with both.
"""
# ruff: noqa: ARG002, N802 - gRPC decides how handlers are called

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace

import grpc.aio

from agones_sdk.stubs import beta_pb2_grpc, sdk_pb2, sdk_pb2_grpc
from fleet.base import GameServer
from fleet.local.scaling import moved
from fleet.local.sdk_counters import Context, Counters
from fleet.local.store import Store
from fleet.local.template import FleetSpec
from runtime.clock import Clock
from runtime.names import SDK_PREFIX, GameServerState

_EMPTY = sdk_pb2.Empty()
_STOP_SECONDS = 0.2
MAX_BYTES = 256 * 1024
"""Of all annotations (k8s.io/apimachinery pkg/api/validation, TotalAnnotationSizeLimitB), and here of all labels too."""


class SdkServer(sdk_pb2_grpc.SDKServicer):
    """Agones' semantics, traps included: Ready makes an Allocated server Ready again, with its user's labels."""

    def __init__(
        self, store: Store[GameServer], gameserver: GameServer, spec: FleetSpec, clock: Clock, tasks: asyncio.TaskGroup
    ) -> None:
        self._store = store
        self._name = gameserver.name
        self._uid = gameserver.uid
        self._health = spec.health
        self._clock = clock
        self._tasks = tasks
        self._reservation: asyncio.Task[None] | None = None
        self.counters = Counters(spec.counters, spec.lists)
        self.last_ping: float | None = None
        """Monotonic."""

    @asynccontextmanager
    async def serve(self) -> AsyncIterator[int]:
        """Listen on a free port of the loopback interface, and say which."""
        server = grpc.aio.server()
        sdk_pb2_grpc.add_SDKServicer_to_server(self, server)
        beta_pb2_grpc.add_SDKServicer_to_server(self.counters, server)
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        try:
            yield port
        finally:
            self._end_reservation()
            await server.stop(_STOP_SECONDS)

    async def Ready(self, request: sdk_pb2.Empty, context: Context) -> sdk_pb2.Empty:
        self._move(GameServerState.REQUEST_READY)
        self._move(GameServerState.READY)
        return _EMPTY

    async def Allocate(self, request: sdk_pb2.Empty, context: Context) -> sdk_pb2.Empty:
        self._move(GameServerState.ALLOCATED)
        return _EMPTY

    async def Shutdown(self, request: sdk_pb2.Empty, context: Context) -> sdk_pb2.Empty:
        self._move(GameServerState.SHUTDOWN)
        return _EMPTY

    async def Reserve(self, request: sdk_pb2.Duration, context: Context) -> sdk_pb2.Empty:
        self._move(GameServerState.RESERVED)
        if request.seconds > 0:
            self._reservation = self._tasks.create_task(self._lapse(request.seconds))
        return _EMPTY

    async def Health(self, request_iterator: AsyncIterator[sdk_pb2.Empty], context: Context) -> sdk_pb2.Empty:
        async for _ in request_iterator:
            self.last_ping = self._clock.monotonic()
        return _EMPTY

    async def SetLabel(self, request: sdk_pb2.KeyValue, context: Context) -> sdk_pb2.Empty:
        return await self._put(lambda item: replace(item, labels=_with(item.labels, request)), context)

    async def SetAnnotation(self, request: sdk_pb2.KeyValue, context: Context) -> sdk_pb2.Empty:
        return await self._put(lambda item: replace(item, annotations=_with(item.annotations, request)), context)

    async def GetGameServer(self, request: sdk_pb2.Empty, context: Context) -> sdk_pb2.GameServer:
        found = self._find()
        if found is None:
            await context.abort(grpc.StatusCode.UNKNOWN, f"gameserver {self._name} not found")
        return self._message(found)

    async def WatchGameServer(self, request: sdk_pb2.Empty, context: Context) -> AsyncIterator[sdk_pb2.GameServer]:
        sent = ""
        while (found := self._find()) is not None:
            seen = self._store.version
            if found.resource_version != sent:
                sent = found.resource_version
                yield self._message(found)
            await self._store.changed(seen)

    def _find(self) -> GameServer | None:
        found = self._store.find(self._name)
        return found if found is not None and found.uid == self._uid else None

    async def _put(self, change: Callable[[GameServer], GameServer], context: Context) -> sdk_pb2.Empty:
        try:
            self._store.change(self._uid, self._name, change)
        except ValueError as error:
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, str(error))
        return _EMPTY

    def _move(self, state: GameServerState) -> None:
        self._end_reservation()
        self._store.change(self._uid, self._name, lambda item: moved(item, state))

    async def _lapse(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        self._reservation = None  # it is this task, which must not cancel itself
        self._move(GameServerState.READY)

    def _end_reservation(self) -> None:
        if self._reservation is not None:
            self._reservation.cancel()
            self._reservation = None

    def _message(self, item: GameServer) -> sdk_pb2.GameServer:
        message = sdk_pb2.GameServer()
        meta, status, health = message.object_meta, message.status, message.spec.health
        meta.name, meta.namespace, meta.uid, meta.resource_version = item.name, "default", item.uid, item.resource_version
        meta.creation_timestamp = int(item.created_at)
        meta.deletion_timestamp = int(self._clock.time()) if item.deleting else 0
        meta.labels.update(item.labels)
        meta.annotations.update(item.annotations)
        health.disabled, health.period_seconds = self._health.disabled, self._health.period_seconds
        health.failure_threshold = self._health.failure_threshold
        health.initial_delay_seconds = self._health.initial_delay_seconds
        status.state, status.address = item.state.value, item.address or ""
        for name, port in item.ports.items():
            status.ports.add(name=name, port=port)
        if item.address:
            status.addresses.add(type="PodIP", address=item.address)
        self.counters.describe(status)
        return message


def _with(present: Mapping[str, str], put: sdk_pb2.KeyValue) -> dict[str, str]:
    """Bounded, as in Kubernetes: all who watch GameServers read what a program writes here. Raises `ValueError`."""
    wanted = {**present, SDK_PREFIX + put.key: put.value}
    if sum(len(key.encode()) + len(value.encode()) for key, value in wanted.items()) > MAX_BYTES:
        raise ValueError(f"more than {MAX_BYTES} bytes in all")
    return wanted
