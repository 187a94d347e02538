"""`fleet.agones` on a real kube-apiserver, with a stand-in for Agones (`tests.agones`); a namespace for each test."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager
from pathlib import Path

from fleet.agones.backend import Namespaces, connect
from fleet.agones.client import ApiServer
from fleet.agones.transport import MERGE_PATCH, Access, transport
from fleet.base import GameServer
from runtime.names import GameServerState
from tests.agones.faults import Faults, silence
from tests.agones.gameservers import GameServers
from tests.agones.stand_in import GAMESERVER_CRD, TEST_NAMESPACE
from tests.contract.backend import Stores

_WATCH_SECONDS = 3
_DISCARD_PORT = 9
"""Nobody listens there (RFC 863)."""


class AgonesTestBackend:
    """Implements `tests.contract.backend.Backend`."""

    bookmark_seconds = float(_WATCH_SECONDS)

    def __init__(self, kubeconfig: Path) -> None:
        self.kubeconfig = str(kubeconfig)
        self.namespace = f"test-{secrets.token_hex(5)}"
        self._stack = AsyncExitStack()

    @asynccontextmanager
    async def running(self) -> AsyncIterator["AgonesTestBackend"]:
        async with self._stack as stack:
            self._way = await stack.enter_async_context(transport(Access(self.kubeconfig)))
            self.api = ApiServer(self._way)
            self.gameservers = GameServers(self.api, self.namespace)
            metadata = {"name": self.namespace, "labels": TEST_NAMESPACE}
            await self.api.write("POST", "/api/v1/namespaces", {"metadata": metadata})
            self.stores = await stack.enter_async_context(self._stores(None))
            yield self

    async def gameserver(self, fleet: str, state: GameServerState = GameServerState.READY) -> GameServer:
        return await self.gameservers.create(fleet, state)

    async def sdk_ready(self, gameserver: GameServer) -> GameServer:
        return await self.gameservers.move(gameserver.name, GameServerState.READY)

    async def finish_deletion(self, gameserver: GameServer) -> None:
        await self.gameservers.let_go(gameserver.name)

    async def annotate_namespace(self, annotations: dict[str, str]) -> None:
        change = {"metadata": {"annotations": annotations}}
        await self.api.write("PATCH", f"/api/v1/namespaces/{self.namespace}", change, content_type=MERGE_PATCH)

    async def forget_history(self) -> None:
        """A change of the CRD makes the API server drop its cache of GameServers, history and all.

        Nothing short of a restart or a long wait does that for Leases: there a proxy repeats what it said of GameServers.
        """
        old = (await self.stores.fleet.list()).resource_version
        column = {"name": f"Changed-{secrets.token_hex(4)}", "type": "string", "jsonPath": ".status.state"}
        change = [{"op": "add", "path": "/spec/versions/0/additionalPrinterColumns/-", "value": column}]
        await self.api.write("PATCH", GAMESERVER_CRD, change, content_type="application/json-patch+json")
        async with asyncio.timeout(20):
            while (line := await self._expired(old)) is None:
                await asyncio.sleep(0.05)
        forgotten = int((await self.stores.leases.list()).resource_version)
        server = await self._stack.enter_async_context(Faults(self._way, forgotten=(forgotten, line)).serving())
        await self.gameserver("later")
        self.stores = await self._stack.enter_async_context(self._stores(server))

    @asynccontextmanager
    async def losing_replies(self) -> AsyncIterator[Stores]:
        async with Faults(self._way, losing=True).serving() as server, self._stores(server) as stores:
            yield stores

    @asynccontextmanager
    async def unreachable(self) -> AsyncIterator[Stores]:
        async with self._stores(f"http://127.0.0.1:{_DISCARD_PORT}") as stores:
            yield stores

    @asynccontextmanager
    async def hanging(self) -> AsyncIterator[Stores]:
        async with silence() as server, self._stores(server, call_seconds=0.2) as stores:
            yield stores

    async def _expired(self, version: str) -> bytes | None:
        """The line in which the API server says that a watch cannot resume from there, if it says so."""
        async with aclosing(self.api.watch(f"/apis/agones.dev/v1/namespaces/{self.namespace}/gameservers", version)) as lines:
            try:
                async with asyncio.timeout(0.5):
                    line = await anext(lines)
            except (TimeoutError, StopAsyncIteration):
                return None
        return line if json.loads(line)["object"].get("code") == 410 else None

    @asynccontextmanager
    async def _stores(self, server: str | None, *, call_seconds: float = 10.0) -> AsyncIterator[Stores]:
        namespaces, access = Namespaces(self.namespace, self.namespace), Access(self.kubeconfig, server=server)
        async with connect(namespaces, access, call_seconds=call_seconds, watch_seconds=_WATCH_SECONDS) as backend:
            yield Stores(backend.fleet, backend.leases)
