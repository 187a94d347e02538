"""Agones' aggregated allocation API, as a test's stand-in: 201 with Allocated, UnAllocated or Contention.

As Agones does, it authenticates nobody, works on one request after the other, chooses by the request's selectors, and
writes by compare and swap. The trouble that a namespace's annotation asks for is made on every allocation in it.
"""

import asyncio
import json
from collections import defaultdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from aiohttp import web

from fleet.agones.client import ApiServer
from fleet.agones.transport import MERGE_PATCH
from fleet.base import Conflict

API_VERSION = "allocation.agones.dev/v1"
TROUBLE = "atelier.dev/test-trouble"


class Trouble(StrEnum):
    CONTENTION = "contention"
    """Nothing is done, and the answer is 201."""
    LOST_REPLY = "lost reply"
    """It is carried out, and the connection ends."""
    FAILURE = "failure"
    """Nothing is done: 500 with plain text, as Agones tells errors."""


class AllocationApi:
    def __init__(self, api: ApiServer) -> None:
        self._api = api
        self._turn: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def application(self) -> web.Application:
        app = web.Application()
        path = f"/apis/{API_VERSION}"
        app.add_routes(
            [
                web.get(path, self._resources),
                web.post(path + "/namespaces/{namespace}/gameserverallocations", self._allocate),
            ]
        )
        return app

    async def _resources(self, _: web.Request) -> web.Response:
        """Discovery, and the sign of life that makes the APIService available."""
        resource = {
            "name": "gameserverallocations",
            "singularName": "gameserverallocation",
            "kind": "GameServerAllocation",
            "namespaced": True,
            "verbs": ["create"],
        }
        return web.json_response(
            {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": API_VERSION, "resources": [resource]}
        )

    async def _allocate(self, request: web.Request) -> web.Response:
        namespace, wanted = request.match_info["namespace"], await request.json()
        trouble = await self._trouble(namespace)
        if trouble is Trouble.FAILURE:
            return web.Response(status=500, text="Internal Server Error\n")
        if trouble is Trouble.CONTENTION:
            return _answer(wanted, {"state": "Contention"})
        async with self._turn[namespace]:
            chosen = await self._choose(namespace, wanted["spec"])
        if trouble is Trouble.LOST_REPLY and request.transport is not None:
            request.transport.abort()
        if chosen is None:
            return _answer(wanted, {"state": "UnAllocated"})
        meta, status = chosen["metadata"], chosen["status"]
        wanted["metadata"] = wanted.get("metadata", {}) | {"name": meta["name"]}
        found = {key: status[key] for key in ("ports", "address", "addresses", "nodeName") if key in status}
        told = {"labels": meta.get("labels"), "annotations": meta.get("annotations")}
        return _answer(
            wanted, {"state": "Allocated", "gameServerName": meta["name"], "source": "local", "metadata": told, **found}
        )

    async def _trouble(self, namespace: str) -> Trouble | None:
        found = json.loads(await self._api.read(f"/api/v1/namespaces/{namespace}"))
        value = found["metadata"].get("annotations", {}).get(TROUBLE)
        return None if value is None else Trouble(value)

    async def _choose(self, namespace: str, spec: dict[str, Any]) -> dict[str, Any] | None:
        """By the first selector that something matches. Agones' own order (packed on nodes) is not modelled."""
        for selector in spec["selectors"]:
            path = f"/apis/agones.dev/v1/namespaces/{namespace}/gameservers"
            for item in json.loads(await self._api.read(path, {"labelSelector": _label_selector(selector)}))["items"]:
                state = selector.get("gameServerState", "Ready")
                if item.get("status", {}).get("state") != state or "deletionTimestamp" in item["metadata"]:
                    continue
                try:
                    return await self._take(f"{path}/{item['metadata']['name']}", item, spec.get("metadata", {}))
                except Conflict:
                    continue
        return None

    async def _take(self, path: str, item: dict[str, Any], patch: dict[str, Any]) -> dict[str, Any]:
        """Raises `Conflict`."""
        stamp = {"agones.dev/last-allocated": datetime.now(UTC).isoformat()}
        metadata = {
            "resourceVersion": item["metadata"]["resourceVersion"],
            "labels": patch.get("labels", {}),
            "annotations": stamp | patch.get("annotations", {}),
        }
        change = {"metadata": metadata, "status": {"state": "Allocated"}}
        taken: dict[str, Any] = json.loads(await self._api.write("PATCH", path, change, content_type=MERGE_PATCH))
        return taken


def _label_selector(selector: dict[str, Any]) -> str:
    """As the API server takes it in a query; it does the selecting."""
    terms = [f"{key}={value}" for key, value in selector.get("matchLabels", {}).items()]
    for expression in selector.get("matchExpressions", []):
        key, values = expression["key"], ",".join(expression.get("values", []))
        forms = {"DoesNotExist": f"!{key}", "Exists": key, "In": f"{key} in ({values})", "NotIn": f"{key} notin ({values})"}
        terms.append(forms[expression["operator"]])
    return ",".join(terms)


def _answer(wanted: dict[str, Any], status: dict[str, Any]) -> web.Response:
    return web.json_response(wanted | {"status": {"gameServerName": "", "source": ""} | status}, status=201)
