"""`fleet.base.LeaseStore` on coordination.k8s.io, with client-go's meaning of the fields."""

from datetime import UTC, datetime
from typing import Final

from pydantic import Field, TypeAdapter

from fleet.agones.client import ApiServer
from fleet.agones.objects import Objects, Resource
from fleet.agones.wire import Bookmark, Broken, Changed, Object, ObjectList, Wire
from fleet.base import Conflict, Lease
from runtime.clock import Clock

API_VERSION: Final = "coordination.k8s.io/v1"
_MICRO_TIME = "%Y-%m-%dT%H:%M:%S.%fZ"
"""meta/v1 MicroTime."""


class LeaseSpec(Wire):
    holder_identity: str = ""
    renew_time: datetime | None = None
    lease_duration_seconds: int | None = None


class LeaseObject(Object):
    spec: LeaseSpec = Field(default_factory=LeaseSpec)


def view(found: LeaseObject) -> Lease:
    meta, spec = found.metadata, found.spec
    return Lease(
        name=meta.name,
        uid=meta.uid,
        resource_version=meta.resource_version,
        holder=spec.holder_identity,
        renew_time=None if spec.renew_time is None else spec.renew_time.timestamp(),
        duration_seconds=spec.lease_duration_seconds,
        labels=meta.labels,
        annotations=meta.annotations,
        created_at=meta.creation_timestamp.timestamp(),
    )


def body(lease: Lease) -> dict[str, object]:
    """Without uid and resourceVersion: what is created has neither. An empty holder is invalid, so it is left out."""
    spec: dict[str, object] = {}
    if lease.holder:
        spec["holderIdentity"] = lease.holder
    if lease.renew_time is not None:
        spec["renewTime"] = datetime.fromtimestamp(lease.renew_time, UTC).strftime(_MICRO_TIME)
    if lease.duration_seconds is not None:
        spec["leaseDurationSeconds"] = lease.duration_seconds
    metadata: dict[str, object] = {"name": lease.name, "labels": dict(lease.labels), "annotations": dict(lease.annotations)}
    return {"apiVersion": API_VERSION, "kind": "Lease", "metadata": metadata, "spec": spec}


def replacement(lease: Lease) -> dict[str, object]:
    """`body`, for what is at this uid and resourceVersion."""
    wanted = body(lease)
    metadata = wanted["metadata"]
    assert isinstance(metadata, dict)
    return wanted | {"metadata": metadata | {"uid": lease.uid, "resourceVersion": lease.resource_version}}


LEASES: Final = Resource(
    API_VERSION,
    "leases",
    TypeAdapter(LeaseObject),
    TypeAdapter(ObjectList[LeaseObject]),
    TypeAdapter(Changed[LeaseObject] | Bookmark | Broken),
    view,
)


class KubernetesLeases(Objects[Lease, LeaseObject]):
    """Leases of one namespace, all of them ours: whoever else writes to one is seen as a conflict."""

    def __init__(self, api: ApiServer, namespace: str, clock: Clock) -> None:
        super().__init__(api, LEASES, namespace, clock)

    async def create(self, lease: Lease) -> Lease:
        return self._viewed(await self._api.write("POST", self._path, body(lease)))

    async def update(self, lease: Lease) -> Lease:
        try:
            return self._viewed(await self._api.write("PUT", f"{self._path}/{lease.name}", replacement(lease)))
        except Conflict:
            await self.get(lease.name)  # a PUT of a Lease that is gone conflicts with its uid: `NotFound` says more
            raise

    async def delete(self, lease: Lease) -> None:
        await self._delete(lease, any_version=False)
