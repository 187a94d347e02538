"""The verbs that the allocator needs, no more; and what it says where one is missing."""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fleet.agones.backend import Namespaces, connect
from fleet.agones.transport import Access
from fleet.base import AllocationRequest, EventType, Lease, Refused
from runtime.names import USER_LABEL
from tests.contract.agones_backend import AgonesTestBackend
from tests.contract.backend import Stores

ENOUGH = [
    {
        "apiGroups": ["coordination.k8s.io"],
        "resources": ["leases"],
        "verbs": ["create", "delete", "get", "list", "update", "watch"],
    },
    {"apiGroups": ["agones.dev"], "resources": ["gameservers"], "verbs": ["delete", "get", "list", "patch", "watch"]},
    {"apiGroups": ["allocation.agones.dev"], "resources": ["gameserverallocations"], "verbs": ["create"]},
]
RBAC = "/apis/rbac.authorization.k8s.io/v1/namespaces"
NAME = "allocator"


@asynccontextmanager
async def as_allocator(agones: AgonesTestBackend, folder: Path, rules: list[dict[str, Any]]) -> AsyncIterator[Stores]:
    """The stores for a service account that may do this and nothing else."""
    here, api = agones.namespace, agones.api
    await api.write("POST", f"/api/v1/namespaces/{here}/serviceaccounts", {"metadata": {"name": NAME}})
    await api.write("POST", f"{RBAC}/{here}/roles", {"metadata": {"name": NAME}, "rules": rules})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": NAME}
    subject = {"kind": "ServiceAccount", "name": NAME, "namespace": here}
    binding = {"metadata": {"name": NAME}, "roleRef": role, "subjects": [subject]}
    await api.write("POST", f"{RBAC}/{here}/rolebindings", binding)
    answer = await api.write("POST", f"/api/v1/namespaces/{here}/serviceaccounts/{NAME}/token", {"spec": {}})
    async with stores(agones, folder, json.loads(answer)["status"]["token"]) as mine:
        yield mine


@asynccontextmanager
async def stores(agones: AgonesTestBackend, folder: Path, token: str) -> AsyncIterator[Stores]:
    config = json.loads(Path(agones.kubeconfig).read_text())
    config["users"][0]["user"] = {"token": token}
    path = folder / "kubeconfig"
    path.write_text(json.dumps(config))
    async with connect(Namespaces(agones.namespace, agones.namespace), Access(str(path)), watch_seconds=1) as backend:
        yield Stores(backend.fleet, backend.leases)


async def test_these_verbs_are_enough_for_every_call(agones: AgonesTestBackend, tmp_path: Path) -> None:
    await agones.gameserver("easel")
    async with as_allocator(agones, tmp_path, ENOUGH) as mine:
        lease = await mine.leases.update(await mine.leases.create(Lease("alice")))
        assert (await mine.leases.list()).items == (await mine.leases.get("alice"),)
        assert (await anext(mine.leases.watch(lease.resource_version))).type is EventType.BOOKMARK
        await mine.leases.delete(lease)
        gameserver = (await mine.fleet.allocate(AllocationRequest("easel", {USER_LABEL: "alice"}, {}))).gameserver
        assert gameserver is not None
        annotated = await mine.fleet.annotate(gameserver, {"atelier.dev/a": "1"})
        assert (await mine.fleet.list()).items == (annotated,)
        assert (await anext(mine.fleet.watch(annotated.resource_version))).type is EventType.BOOKMARK
        await mine.fleet.delete(annotated)


CALLS: dict[str, Callable[[Stores], Awaitable[object]]] = {
    "list leases": lambda mine: mine.leases.list(),
    "create leases": lambda mine: mine.leases.create(Lease("alice")),
    "watch leases": lambda mine: anext(mine.leases.watch("1")),
    "list gameservers": lambda mine: mine.fleet.list(),
    "create gameserverallocations": lambda mine: mine.fleet.allocate(AllocationRequest("easel", {}, {})),
}


@pytest.mark.parametrize("call", CALLS)
async def test_who_may_not_is_told_which_verb_on_which_resource(agones: AgonesTestBackend, tmp_path: Path, call: str) -> None:
    verb, resource = call.split()
    async with as_allocator(agones, tmp_path, []) as mine:
        with pytest.raises(Refused, match=f'cannot {verb} resource "{resource}"'):
            await CALLS[call](mine)


async def test_a_token_that_is_none_is_refused_and_not_uncertain(agones: AgonesTestBackend, tmp_path: Path) -> None:
    async with stores(agones, tmp_path, "not a token") as mine:
        with pytest.raises(Refused, match="Unauthorized"):
            await mine.leases.list()


async def test_an_object_that_the_schema_forbids_is_refused(agones: AgonesTestBackend) -> None:
    lease = await agones.stores.leases.create(Lease("alice"))
    with pytest.raises(Refused, match="resourceVersion"):
        await agones.stores.leases.update(replace(lease, resource_version=""))
