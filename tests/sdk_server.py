"""A scripted Agones SDK server on a real port, for tests of whatever talks to one.

It behaves like Agones' until told otherwise: `hang`, `refuse`, `restart`, `drop_watches`, `deafen`, `send`.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import NoReturn, Protocol

import grpc
import grpc.aio
from google.protobuf.message import Message

from agones_sdk.stubs import sdk_pb2, sdk_pb2_grpc
from runtime.names import SDK_PREFIX, GameServerState

EMPTY = sdk_pb2.Empty()
TIMEOUT = 10.0
"""Seconds of real time that a test waits for something that should happen at once."""


class Context(Protocol):
    """What the handlers need of gRPC's context."""

    async def abort(self, code: grpc.StatusCode, details: str = "") -> NoReturn: ...


def gameserver(state: str = GameServerState.SCHEDULED, version: int = 100) -> sdk_pb2.GameServer:
    """A plausible GameServer, for the server to hold or to `send`."""
    return sdk_pb2.GameServer(
        object_meta=sdk_pb2.GameServer.ObjectMeta(
            name="atelier-abcde-fghij",
            namespace="default",
            uid="6f0c",
            resource_version=str(version),
            creation_timestamp=1_700_000_000,
        ),
        spec=sdk_pb2.GameServer.Spec(health=sdk_pb2.GameServer.Spec.Health(period_seconds=5, failure_threshold=3)),
        status=sdk_pb2.GameServer.Status(
            state=state, address="127.0.0.1", ports=[sdk_pb2.GameServer.Status.Port(name="webui", port=7860)]
        ),
    )


class SdkServer(sdk_pb2_grpc.SDKServicer):
    """Holds one GameServer. `calls` has every call that arrived, by name, with its message; a Health call for each ping."""

    def __init__(self, held: sdk_pb2.GameServer | None = None) -> None:
        self.gameserver = held or gameserver()
        self.port = 0
        self.calls: list[tuple[str, Message]] = []
        self.applies = True
        """False: changes are acknowledged and lost, as when Agones' server restarts before it wrote its queue."""
        self._server: grpc.aio.Server | None = None
        self._watchers: list[asyncio.Queue[sdk_pb2.GameServer | None]] = []
        self._deaf = False
        self._refusal: grpc.StatusCode | None = None
        self._going = asyncio.Event()
        self._going.set()
        self._happened = asyncio.Condition()

    # ---- what a test does with it

    async def start(self) -> None:
        """Listen: on a free port the first time, on the same port after a `stop`."""
        self._server = grpc.aio.server(options=(("grpc.so_reuseport", 0),))
        sdk_pb2_grpc.add_SDKServicer_to_server(self, self._server)
        self.port = self._server.add_insecure_port(f"127.0.0.1:{self.port}")
        await self._server.start()

    async def stop(self) -> None:
        """Go away at once; calls under way fail."""
        assert self._server is not None
        await self._server.stop(grace=None)
        self._server = None

    async def restart(self) -> None:
        """Stop and start on the same port, with the same GameServer."""
        await self.stop()
        await self.start()

    def hang(self) -> None:
        """Take calls and answer none until `resume`; watches go silent."""
        self._going.clear()

    def refuse(self, code: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE) -> None:
        """Answer every new call with `code` until `resume`."""
        self._refusal = code

    def resume(self) -> None:
        """Behave again."""
        self._going.set()
        self._refusal = None
        self._deaf = False

    def deafen(self) -> None:
        """Send nothing on watches any more, neither open nor new ones, without ending them."""
        self._deaf = True

    def drop_watches(self) -> None:
        """End every open watch with UNAVAILABLE, in the middle of it."""
        for watcher in self._watchers:
            watcher.put_nowait(None)

    def update(self, change: Callable[[sdk_pb2.GameServer], object]) -> None:
        """Change the GameServer, under a new resourceVersion, and tell the watches."""
        change(self.gameserver)
        meta = self.gameserver.object_meta
        meta.resource_version = str(int(meta.resource_version) + 1)
        self.send(self.gameserver)

    def set_state(self, state: str) -> None:
        self.update(lambda held: setattr(held.status, "state", state))

    def allocate(self, labels: dict[str, str] | None = None, annotations: dict[str, str] | None = None) -> None:
        """What an allocation does from outside: state Allocated, labels and annotations with their own names."""

        def change(held: sdk_pb2.GameServer) -> None:
            held.status.state = GameServerState.ALLOCATED
            held.object_meta.labels.update(labels or {})
            held.object_meta.annotations.update(annotations or {})

        self.update(change)

    def send(self, message: sdk_pb2.GameServer) -> None:
        """Send any state to the open watches, an old one for instance; what is held stays."""
        copy = sdk_pb2.GameServer()
        copy.CopyFrom(message)
        for watcher in self._watchers:
            watcher.put_nowait(copy)

    def count(self, name: str) -> int:
        """How many calls of this name have arrived."""
        return sum(call == name for call, _ in self.calls)

    async def called(self, name: str, times: int = 1) -> Message:
        """Wait until `name` was called `times` times; the last such call's message."""
        await self.until(lambda: self.count(name) >= times)
        return [message for call, message in self.calls if call == name][times - 1]

    async def watched(self) -> None:
        """Wait until a watch is open."""
        await self.until(lambda: bool(self._watchers))

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition`, looked at after each call, holds."""
        async with asyncio.timeout(TIMEOUT), self._happened:
            await self._happened.wait_for(condition)

    # ---- the protocol

    async def Ready(self, request: sdk_pb2.Empty, context: Context) -> sdk_pb2.Empty:  # noqa: N802 (gRPC's name)
        return await self._change("Ready", request, context, lambda: self.set_state(GameServerState.READY))

    async def Allocate(self, request: sdk_pb2.Empty, context: Context) -> sdk_pb2.Empty:  # noqa: N802 (gRPC's name)
        return await self._change("Allocate", request, context, lambda: self.set_state(GameServerState.ALLOCATED))

    async def Shutdown(self, request: sdk_pb2.Empty, context: Context) -> sdk_pb2.Empty:  # noqa: N802 (gRPC's name)
        return await self._change("Shutdown", request, context, lambda: self.set_state(GameServerState.SHUTDOWN))

    async def Reserve(self, request: sdk_pb2.Duration, context: Context) -> sdk_pb2.Empty:  # noqa: N802 (gRPC's name)
        return await self._change("Reserve", request, context, lambda: self.set_state(GameServerState.RESERVED))

    async def SetLabel(self, request: sdk_pb2.KeyValue, context: Context) -> sdk_pb2.Empty:  # noqa: N802 (gRPC's name)
        def change(held: sdk_pb2.GameServer) -> None:
            held.object_meta.labels[SDK_PREFIX + request.key] = request.value

        return await self._change("SetLabel", request, context, lambda: self.update(change))

    async def SetAnnotation(self, request: sdk_pb2.KeyValue, context: Context) -> sdk_pb2.Empty:  # noqa: N802 (gRPC's name)
        def change(held: sdk_pb2.GameServer) -> None:
            held.object_meta.annotations[SDK_PREFIX + request.key] = request.value

        return await self._change("SetAnnotation", request, context, lambda: self.update(change))

    async def GetGameServer(self, request: sdk_pb2.Empty, context: Context) -> sdk_pb2.GameServer:  # noqa: N802 (gRPC's name)
        await self._arrive("GetGameServer", request, context)
        return self.gameserver

    async def Health(  # noqa: N802 (gRPC's name)
        self, request_iterator: AsyncIterator[sdk_pb2.Empty], context: Context
    ) -> sdk_pb2.Empty:
        async for ping in request_iterator:
            await self._arrive("Health", ping, context)
        return EMPTY

    async def WatchGameServer(  # noqa: N802 (gRPC's name)
        self, request: sdk_pb2.Empty, context: Context
    ) -> AsyncIterator[sdk_pb2.GameServer]:
        queue: asyncio.Queue[sdk_pb2.GameServer | None] = asyncio.Queue()
        self._watchers.append(queue)
        try:
            await self._arrive("WatchGameServer", request, context)
            if not self._deaf:
                yield self.gameserver
            while message := await queue.get():
                await self._going.wait()
                if not self._deaf:
                    yield message
            await context.abort(grpc.StatusCode.UNAVAILABLE, "the watch was dropped")
        finally:
            self._watchers.remove(queue)

    async def _change(self, name: str, request: Message, context: Context, change: Callable[[], None]) -> sdk_pb2.Empty:
        await self._arrive(name, request, context)
        if self.applies:
            change()
        return EMPTY

    async def _arrive(self, name: str, request: Message, context: Context) -> None:
        self.calls.append((name, request))
        async with self._happened:
            self._happened.notify_all()
        await self._going.wait()
        if self._refusal is not None:
            await context.abort(self._refusal, "told to refuse")


@asynccontextmanager
async def sdk_server(held: sdk_pb2.GameServer | None = None) -> AsyncIterator[SdkServer]:
    """A started `SdkServer`, stopped afterwards."""
    server = SdkServer(held)
    await server.start()
    try:
        yield server
    finally:
        server.resume()
        await server.stop()
