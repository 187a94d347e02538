"""The GameServer as the SDK server shows it: a frozen view, made once from the message on the wire."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

from agones_sdk.stubs import sdk_pb2


@dataclass(frozen=True, slots=True)
class HealthSpec:
    """What Agones expects of health pings; periods in seconds."""

    disabled: bool = False
    period: int = 0
    failure_threshold: int = 0
    initial_delay: int = 0


@dataclass(frozen=True, slots=True)
class Address:
    """`type` is Kubernetes' name for a node's address ("InternalIP", "Hostname", ...) or "PodIP"."""

    type: str
    address: str


@dataclass(frozen=True, slots=True)
class CounterStatus:
    count: int
    capacity: int


@dataclass(frozen=True, slots=True)
class ListStatus:
    values: tuple[str, ...]
    capacity: int


@dataclass(frozen=True, slots=True)
class GameServer:
    """One state of the GameServer. Times are whole seconds since the epoch."""

    name: str
    uid: str
    resource_version: str
    state: str
    """One of `GameServerState`, or one that a newer Agones has and we do not know."""
    namespace: str = ""
    created_at: int = 0
    deleted_at: int | None = None
    """Set once it is being deleted, whatever its state says."""
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    health: HealthSpec = HealthSpec()
    address: str = ""
    addresses: tuple[Address, ...] = ()
    ports: Mapping[str, int] = field(default_factory=dict)
    counters: Mapping[str, CounterStatus] = field(default_factory=dict)
    lists: Mapping[str, ListStatus] = field(default_factory=dict)

    @classmethod
    def parse(cls, message: sdk_pb2.GameServer) -> Self:
        """The view of `message`. What is absent has proto3's default: nothing here can fail."""
        meta, status, health = message.object_meta, message.status, message.spec.health
        return cls(
            name=meta.name,
            namespace=meta.namespace,
            uid=meta.uid,
            resource_version=meta.resource_version,
            created_at=meta.creation_timestamp,
            deleted_at=meta.deletion_timestamp or None,
            labels=dict(meta.labels),
            annotations=dict(meta.annotations),
            health=HealthSpec(health.disabled, health.period_seconds, health.failure_threshold, health.initial_delay_seconds),
            state=status.state,
            address=status.address,
            addresses=tuple(Address(one.type, one.address) for one in status.addresses),
            ports={port.name: port.port for port in status.ports},
            counters={name: CounterStatus(one.count, one.capacity) for name, one in status.counters.items()},
            lists={name: ListStatus(tuple(one.values), one.capacity) for name, one in status.lists.items()},
        )

    def is_older_than(self, other: "GameServer") -> bool:
        """Whether this is known to be an earlier state of the same GameServer than `other`.

        resourceVersions tell it when both are decimal numbers, as a kube-apiserver's are (Kubernetes documents them as
        comparable since 1.35). Agones' SDK server in local mode says "v1" for ever: nothing can be told from that.
        """
        if self.uid != other.uid:
            return False
        mine, theirs = self.resource_version, other.resource_version
        return mine.isdecimal() and theirs.isdecimal() and int(mine) < int(theirs)
