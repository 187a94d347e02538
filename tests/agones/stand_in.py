"""A stand-in for Agones, for tests: its CRDs, and its aggregated allocation API behind a real APIService.

There are no controllers: a GameServer is in the state that a test puts it into (`tests.agones.gameservers`).
"""

import asyncio
import base64
import json
import ssl
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import yaml
from aiohttp import web

from fleet.agones.client import ApiServer
from fleet.base import AlreadyExists, NotFound
from tests.agones import kit
from tests.agones.allocation_api import AllocationApi

GAMESERVER_CRD = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gameservers.agones.dev"
TEST_NAMESPACE = {"atelier.dev/test": "yes"}
_CRDS = GAMESERVER_CRD.rpartition("/")[0]
_API_SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
_API_SERVICE = "v1.allocation.agones.dev"
_SYSTEM = "agones-system"
_SERVICE = "agones-controller-service"
_MARK = {"app.kubernetes.io/managed-by": "atelier-tests"}
_SECONDS = 30


class StandIn:
    """What Agones adds to a cluster, as far as the contract's cases need it."""

    def __init__(self, api: ApiServer) -> None:
        self._api = api

    async def install(self) -> None:
        """The CRD of GameServers. Refuses a cluster that has an Agones of its own, whose controllers would interfere."""
        with suppress(NotFound):
            found = json.loads(await self._api.read(f"{_API_SERVICES}/{_API_SERVICE}"))
            assert _MARK.items() <= found["metadata"].get("labels", {}).items(), "this cluster has an Agones of its own"
        documents = yaml.load_all(kit.CRDS.read_bytes(), yaml.CSafeLoader)
        crd = next(item for item in documents if item and item["metadata"]["name"] == GAMESERVER_CRD.rpartition("/")[2])
        await self._create(_CRDS, crd)
        async with asyncio.timeout(_SECONDS):
            while not await self._served():
                await asyncio.sleep(0.05)

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[None]:
        """The allocation API, where the API server finds it."""
        address = await self._node_address()
        with tempfile.TemporaryDirectory() as folder:
            kit.serving_certificate(Path(folder), f"{_SERVICE}.{_SYSTEM}.svc")
            tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            tls.load_cert_chain(f"{folder}/tls.crt", f"{folder}/tls.key")
            authority = base64.b64encode(Path(folder, "ca.crt").read_bytes()).decode()
        runner = web.AppRunner(AllocationApi(self._api).application())
        await runner.setup()
        try:
            site = web.TCPSite(runner, address, 0, ssl_context=tls)
            await site.start()
            await self._register(address, runner.addresses[0][1], authority)
            yield
        finally:
            await self._delete(f"{_API_SERVICES}/{_API_SERVICE}")
            await runner.cleanup()

    async def remove(self) -> None:
        """All namespaces of tests, and the GameServers in them that wait for a controller which is not there."""
        selector = ",".join(f"{key}={value}" for key, value in TEST_NAMESPACE.items())
        for namespace in json.loads(await self._api.read("/api/v1/namespaces", {"labelSelector": selector}))["items"]:
            path = f"/apis/agones.dev/v1/namespaces/{namespace['metadata']['name']}/gameservers"
            for item in json.loads(await self._api.read(path))["items"]:
                patch = [{"op": "remove", "path": "/metadata/finalizers"}]
                where = f"{path}/{item['metadata']['name']}"
                await self._api.write("PATCH", where, patch, content_type="application/json-patch+json")
            await self._delete(f"/api/v1/namespaces/{namespace['metadata']['name']}")
        await self._delete(f"/api/v1/namespaces/{_SYSTEM}")
        await self._delete(GAMESERVER_CRD)

    async def _served(self) -> bool:
        try:
            return "gameservers" in (await self._api.read("/apis/agones.dev/v1")).decode()
        except Exception:  # noqa: BLE001 - whatever it is, it is not served yet; the deadline is the caller's
            return False

    async def _node_address(self) -> str:
        """The node's, which pods and the API server reach; an ordinary user's cluster has none but loopback."""
        path = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices/kubernetes"
        try:
            return str(json.loads(await self._api.read(path))["endpoints"][0]["addresses"][0])
        except NotFound:
            return "127.0.0.1"

    async def _register(self, address: str, port: int, authority: str) -> None:
        """As the cluster kit's README says: by an EndpointSlice, or where only loopback is, by a name."""
        await self._create("/api/v1/namespaces", _object("v1", "Namespace", _SYSTEM))
        services = f"/api/v1/namespaces/{_SYSTEM}/services"
        slices = f"/apis/discovery.k8s.io/v1/namespaces/{_SYSTEM}/endpointslices"
        await self._delete(f"{services}/{_SERVICE}")
        await self._delete(f"{slices}/{_SERVICE}")
        local = address == "127.0.0.1"
        front = port if local else 443
        spec: dict[str, Any] = {"ports": [{"port": front, "targetPort": port}]}
        if local:
            spec = {"type": "ExternalName", "externalName": "localhost"}
        await self._create(services, _object("v1", "Service", _SERVICE) | {"spec": spec})
        if not local:
            endpoints = {
                "addressType": "IPv4",
                "endpoints": [{"addresses": [address]}],
                "ports": [{"port": port, "protocol": "TCP"}],
            }
            labels = {"kubernetes.io/service-name": _SERVICE}
            await self._create(slices, _object("discovery.k8s.io/v1", "EndpointSlice", _SERVICE, labels) | endpoints)
        await self._delete(f"{_API_SERVICES}/{_API_SERVICE}")
        api_service = {
            "spec": {
                "group": "allocation.agones.dev",
                "version": "v1",
                "groupPriorityMinimum": 1000,
                "versionPriority": 15,
                "caBundle": authority,
                "service": {"name": _SERVICE, "namespace": _SYSTEM, "port": front},
            }
        }
        await self._create(_API_SERVICES, _object("apiregistration.k8s.io/v1", "APIService", _API_SERVICE, _MARK) | api_service)
        async with asyncio.timeout(_SECONDS):
            while not await self._available():
                await asyncio.sleep(0.05)

    async def _available(self) -> bool:
        found = json.loads(await self._api.read(f"{_API_SERVICES}/{_API_SERVICE}"))
        return any(item["type"] == "Available" and item["status"] == "True" for item in found["status"].get("conditions", []))

    async def _create(self, path: str, wanted: dict[str, Any]) -> None:
        with suppress(AlreadyExists):
            await self._api.write("POST", path, wanted)

    async def _delete(self, path: str) -> None:
        with suppress(NotFound):
            await self._api.delete(path, {})


def _object(version: str, kind: str, name: str, labels: dict[str, str] | None = None) -> dict[str, Any]:
    return {"apiVersion": version, "kind": kind, "metadata": {"name": name, "labels": labels or {}}}
