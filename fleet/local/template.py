"""What a Fleet's GameServers consist of: the pod template of the local fleet. It knows processes, not WebUIs."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from fleet.base import USER_INIT_PORT, WEBUI_PORT

FLEET_LABEL = "agones.dev/fleet"
"""On every GameServer, as Agones has it."""


@dataclass(frozen=True, slots=True)
class Container:
    """One program of a GameServer, started in a session of its own.

    In `argv`, `env` and `cwd` these are filled in: {name} {uid} of the GameServer; {folder} its own folder, and in it
    {work} {logs} {tmp} and {socket}, a path for the launcher's control socket; {sdk_port}; {port} the WebUI's and
    {user_init_port}; {gpu}, empty where there is none. Other braces stay as they are.

    `restart`: a native sidecar (restartPolicy Always), started before the others and stopped after them. The end of
    a container without it is the end of its GameServer, as that of a pod's only container is.
    """

    name: str
    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    cwd: str = "{work}"
    restart: bool = False


@dataclass(frozen=True, slots=True)
class Health:
    """Agones' health check. Without a ping for `period_seconds * failure_threshold` the server is Unhealthy."""

    disabled: bool = False
    period_seconds: int = 5
    failure_threshold: int = 12
    initial_delay_seconds: int = 5


@dataclass(frozen=True, slots=True)
class Counter:
    """An Agones counter, as every new GameServer has it."""

    count: int = 0
    capacity: int = 1000


@dataclass(frozen=True, slots=True)
class ValueList:
    """An Agones list, as every new GameServer has it."""

    values: tuple[str, ...] = ()
    capacity: int = 1000


@dataclass(frozen=True, slots=True)
class FleetSpec:
    """A Fleet. `replicas` is what it starts with, until an autoscaler says otherwise.

    `gpu`: each GameServer has a GPU of its own, where the machine has any; else it sees none.
    `grace_seconds`: from SIGTERM to SIGKILL for a whole GameServer.
    """

    name: str
    containers: tuple[Container, ...]
    replicas: int = 0
    gpu: bool = False
    health: Health = field(default_factory=Health)
    grace_seconds: float = 6.0
    labels: Mapping[str, str] = field(default_factory=dict)
    counters: Mapping[str, Counter] = field(default_factory=dict)
    lists: Mapping[str, ValueList] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Place:
    """Where one GameServer runs: what fills a container's placeholders."""

    name: str
    uid: str
    folder: str
    sdk_port: int
    ports: Mapping[str, int]
    gpu: str | None = None
    """As CUDA_VISIBLE_DEVICES takes it, empty for none; None: whatever the machine has."""

    def values(self) -> dict[str, str]:
        return {
            "name": self.name,
            "uid": self.uid,
            "folder": self.folder,
            "work": f"{self.folder}/work",
            "logs": f"{self.folder}/logs",
            "tmp": f"{self.folder}/tmp",  # noqa: S108 - the GameServer's own, not the machine's
            "socket": f"{self.folder}/launcher.sock",
            "sdk_port": str(self.sdk_port),
            "port": str(self.ports[WEBUI_PORT]),
            "user_init_port": str(self.ports[USER_INIT_PORT]),
            "gpu": self.gpu or "",
        }

    def environment(self) -> dict[str, str]:
        """What every container of the GameServer gets, besides its own `env`."""
        values = self.values()
        environment = {
            "ATELIER_GAMESERVER_UID": self.uid,
            "ATELIER_WEBUI_PORT": values["port"],
            "ATELIER_USER_INIT_PORT": values["user_init_port"],
            "ATELIER_LAUNCHER_SOCKET": values["socket"],
            "ATELIER_WORK": values["work"],
            "AGONES_SDK_GRPC_PORT": values["sdk_port"],
            "TMPDIR": values["tmp"],
            "PYTHONUNBUFFERED": "1",
        }
        if self.gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = self.gpu
        return environment


def fill(text: str, values: Mapping[str, str]) -> str:
    """Replace the placeholders that `values` has, once, and nothing else."""
    return re.sub(r"\{(\w+)\}", lambda match: values.get(match[1], match[0]), text)
