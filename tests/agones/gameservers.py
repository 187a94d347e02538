"""GameServers without Agones' controllers: created, moved between states and let go by the test itself."""

import itertools
import json
from typing import Any

from fleet.agones.client import ApiServer
from fleet.agones.gameservers import GameServerObject, view
from fleet.agones.transport import MERGE_PATCH
from fleet.base import USER_INIT_PORT, WEBUI_PORT, GameServer
from runtime.names import GameServerState

FINALIZER = "agones.dev/controller"
"""Agones' own (pkg/apis/agones/v1/common.go): the object stays until its pod is gone."""
_PORTS = {WEBUI_PORT: 7860, USER_INIT_PORT: 7861}


class GameServers:
    """Of one namespace."""

    def __init__(self, api: ApiServer, namespace: str) -> None:
        self._api = api
        self._path = f"/apis/agones.dev/v1/namespaces/{namespace}/gameservers"
        self._numbers = itertools.count(1)

    async def create(self, fleet: str, state: GameServerState, *, addresses: dict[str, str] | None = None) -> GameServer:
        """A new one; `addresses` by type, with a node's and a pod's unless given."""
        labels = {"agones.dev/fleet": fleet}
        ports = [
            {"name": name, "containerPort": port, "portPolicy": "None", "protocol": "TCP", "container": "webui"}
            for name, port in _PORTS.items()
        ]
        template = {"metadata": {}, "spec": {"containers": [{"name": "webui", "image": "none"}]}}
        where = addresses or {"InternalIP": "192.0.2.1", "PodIP": "10.0.0.7"}
        status = {
            "state": state.value,
            "address": "192.0.2.1",
            "addresses": [{"type": kind, "address": address} for kind, address in where.items()],
            "ports": [{"name": name, "port": port} for name, port in _PORTS.items()],
            "nodeName": "node-1",
        }
        return await self._write(
            "POST",
            self._path,
            {
                "apiVersion": "agones.dev/v1",
                "kind": "GameServer",
                "metadata": {"name": f"{fleet}-{next(self._numbers)}", "labels": labels, "finalizers": [FINALIZER]},
                "spec": {"container": "webui", "ports": ports, "template": template},
                "status": status,
            },
        )

    async def move(self, name: str, state: GameServerState) -> GameServer:
        """Its SDK server's, or a controller's, change of state."""
        return await self.patch(name, {"status": {"state": state.value}})

    async def patch(self, name: str, change: dict[str, Any]) -> GameServer:
        return await self._write("PATCH", f"{self._path}/{name}", change)

    async def let_go(self, name: str) -> None:
        """Its pod is gone: Agones removes its finalizer."""
        await self._api.write("PATCH", f"{self._path}/{name}", {"metadata": {"finalizers": None}}, content_type=MERGE_PATCH)

    async def _write(self, method: str, path: str, body: dict[str, Any]) -> GameServer:
        kind = MERGE_PATCH if method == "PATCH" else "application/json"
        return view(GameServerObject.model_validate(json.loads(await self._api.write(method, path, body, content_type=kind))))
