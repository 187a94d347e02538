"""The SDK's calls, each with a deadline. What must outlive a restart of the SDK server is in `watch` and `health`."""

import os
from collections.abc import AsyncGenerator, Mapping
from types import TracebackType
from typing import Self

import grpc.aio

from agones_sdk.beta import Beta
from agones_sdk.errors import translated
from agones_sdk.gameserver import GameServer
from agones_sdk.stubs import sdk_pb2, sdk_pb2_grpc
from runtime.errors import UserError

PORT_VARIABLE = "AGONES_SDK_GRPC_PORT"
"""Agones sets it in every container but its own."""
DEADLINE = 5.0
"""Seconds for one call. The SDK server answers from memory, over loopback."""
STREAM_DEADLINE = 600.0
"""Seconds after which a watch is opened anew even if nothing seems wrong with it."""
EMPTY = sdk_pb2.Empty()
OPTIONS = (
    ("grpc.enable_http_proxy", 0),  # loopback is never reached through the proxy of the environment
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1000),  # gRPC's own 120 s would outlast the patience of Agones' health check
)


def sdk_port(environ: Mapping[str, str] = os.environ) -> int:
    """The SDK server's gRPC port. Raises `UserError` when `environ` names none."""
    value = environ.get(PORT_VARIABLE, "")
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise UserError(f"{PORT_VARIABLE} is {value!r}, not a port.", "It is set by whoever runs the SDK server.")
    return int(value)


class Client:
    """A connection to the SDK server on 127.0.0.1. Made in a running event loop; close it by leaving its context.

    Every call raises `SdkUnavailable`, `SdkTimeout` or `SdkRefused`. `deadline` is in seconds, for each call.
    Ready, Allocate, Shutdown, Reserve, SetLabel and SetAnnotation return when the server has queued the change, which
    can still be lost: it is done when the watch shows it.
    """

    def __init__(self, port: int, *, deadline: float = DEADLINE) -> None:
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{port}", options=OPTIONS)
        self._sdk = sdk_pb2_grpc.SDKStub(self._channel)
        self._deadline = deadline
        self.beta = Beta(self._channel, deadline)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._channel.close()

    async def ready(self) -> None:
        """Make it Ready. From Allocated this takes it away from its user: look at the state first (`BEFORE_READY`)."""
        with translated("Ready"):
            await self._sdk.Ready(EMPTY, timeout=self._deadline)

    async def allocate(self) -> None:
        """Make it Allocated, by itself and for nobody in particular."""
        with translated("Allocate"):
            await self._sdk.Allocate(EMPTY, timeout=self._deadline)

    async def reserve(self, seconds: int) -> None:
        """Make it Reserved: nobody can allocate it. After `seconds` it is Ready again; 0 is without end."""
        with translated("Reserve"):
            await self._sdk.Reserve(sdk_pb2.Duration(seconds=seconds), timeout=self._deadline)

    async def shutdown(self) -> None:
        """End it: Agones deletes the GameServer and its Fleet makes another."""
        with translated("Shutdown"):
            await self._sdk.Shutdown(EMPTY, timeout=self._deadline)

    async def health(self) -> None:
        """One health ping, acknowledged: a stream of a single message, which the server answers when it has counted it.

        A stream kept open is never answered, so pings into a server that hangs or restarted would go unseen.
        """
        with translated("Health"):
            await self._sdk.Health(iter((EMPTY,)), timeout=self._deadline)

    async def get(self) -> GameServer:
        """The GameServer as the SDK server has it in its cache."""
        with translated("GetGameServer"):
            return GameServer.parse(await self._sdk.GetGameServer(EMPTY, timeout=self._deadline))

    async def stream(self) -> AsyncGenerator[GameServer, None]:
        """The current state, then changes, until the server ends it or `STREAM_DEADLINE`. `watch.Watch` makes it reliable."""
        call = self._sdk.WatchGameServer(EMPTY, timeout=STREAM_DEADLINE)
        try:
            with translated("WatchGameServer"):
                async for message in call:
                    yield GameServer.parse(message)
        finally:
            call.cancel()

    async def set_label(self, key: str, value: str) -> None:
        """Put a label on, under `runtime.names.SDK_PREFIX` + `key`."""
        with translated("SetLabel"):
            await self._sdk.SetLabel(sdk_pb2.KeyValue(key=key, value=value), timeout=self._deadline)

    async def set_annotation(self, key: str, value: str) -> None:
        """Put an annotation on, under `runtime.names.SDK_PREFIX` + `key`."""
        with translated("SetAnnotation"):
            await self._sdk.SetAnnotation(sdk_pb2.KeyValue(key=key, value=value), timeout=self._deadline)
