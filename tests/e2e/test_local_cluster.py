"""The local fleet with real processes: how GameServers come, fail, are replaced, and end without a trace."""

import asyncio
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from fleet.base import AllocationRequest, AllocationState, Event, GameServer, Lease
from fleet.local import processes
from fleet.local.client import LocalBackend, connect
from fleet.local.cluster import LocalCluster
from fleet.local.template import Container, FleetSpec, Health
from runtime.errors import UserError
from runtime.names import USER_LABEL, GameServerState
from tests.unit.fleet import program


def container(name: str, *words: str, restart: bool = False) -> Container:
    return Container(name, (sys.executable, program.PATH, *words), restart=restart)


SIDECAR = container("sidecar", "ready", "ping", "sleep", restart=True)
WEBUI = Container("webui", ("sleep", "1000"))
EASEL = FleetSpec("easel", (SIDECAR, WEBUI), replicas=1, grace_seconds=2.0)


class Rig:
    """A running cluster, and what a test asks of it."""

    def __init__(self, cluster: LocalCluster, backend: LocalBackend, data: Path, instance: str) -> None:
        self.cluster = cluster
        self.fleet = backend.fleet
        self.leases = backend.leases
        self.data = data
        self.mark = f"ATELIER_INSTANCE={instance}"

    async def until(self, true: Callable[[tuple[GameServer, ...]], bool]) -> tuple[GameServer, ...]:
        """The GameServers, once this is true of them."""
        async with asyncio.timeout(30):
            while True:
                listing = await self.fleet.list()
                if true(listing.items):
                    return listing.items
                await anext(self._changes(listing.resource_version))

    async def ready(self, count: int = 1, besides: frozenset[str] = frozenset()) -> list[GameServer]:
        def found(items: tuple[GameServer, ...]) -> list[GameServer]:
            new = (item for item in items if item.name not in besides and not item.deleting)
            return [item for item in new if item.state is GameServerState.READY]

        return found(await self.until(lambda items: len(found(items)) >= count))

    async def _changes(self, version: str) -> AsyncIterator[Event[GameServer]]:
        watch = self.fleet.watch(version)
        yield await anext(watch)

    def processes(self, gameserver: GameServer) -> set[processes.Process]:
        return processes.find(f"ATELIER_GAMESERVER_UID={gameserver.uid}")


@asynccontextmanager
async def running(data: Path, *specs: FleetSpec, gpus: tuple[str, ...] = ()) -> AsyncIterator[Rig]:
    instance = str(uuid.uuid4())
    cluster = LocalCluster(data, specs, instance=instance, gpus=gpus)
    async with asyncio.TaskGroup() as group:
        group.create_task(cluster.run())
        await cluster.started.wait()
        async with connect(cluster.socket) as backend:
            rig = Rig(cluster, backend, data, instance)
            try:
                yield rig
            finally:
                cluster.stop()
    assert processes.find(rig.mark) == set()


@pytest.fixture
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("d")  # short: sockets lie in it


async def test_a_gameserver_becomes_ready_through_agones_states(data: Path) -> None:
    async with running(data, replace(EASEL, replicas=0), replace(EASEL, name="warm")) as rig:
        (gameserver,) = await rig.ready()
        states = list[GameServerState]()
        watch = rig.fleet.watch("1")
        async with asyncio.timeout(10):
            async for event in watch:
                assert event.object is not None
                states.append(event.object.state)
                if event.object.state is GameServerState.READY:
                    break
        assert [state for number, state in enumerate(states) if state not in states[:number]] == [
            GameServerState.PORT_ALLOCATION,
            GameServerState.CREATING,
            GameServerState.STARTING,
            GameServerState.SCHEDULED,
            GameServerState.REQUEST_READY,
            GameServerState.READY,
        ]
        assert gameserver.address == "127.0.0.1"
        assert set(gameserver.ports) == {"webui", "user-init"}
        assert gameserver.labels["agones.dev/fleet"] == "warm"


async def test_containers_get_their_place_and_their_logs_are_kept(data: Path) -> None:
    script = "import json, os, time; print(json.dumps([dict(os.environ), os.getcwd()]), flush=True); time.sleep(1000)"
    own = Container("webui", (sys.executable, "-c", script), env={"OWN": "{name} {port} {braces}"})
    async with running(data, replace(EASEL, containers=(SIDECAR, own))) as rig:
        (gameserver,) = await rig.ready()
        log = data / "run" / "gameservers" / gameserver.name / "logs" / "webui.log"
        async with asyncio.timeout(10):
            while "\n" not in log.read_text():
                await asyncio.sleep(0.01)
    text = (data / "run" / "logs" / gameserver.name / "webui.log").read_text()
    folder = data / "run" / "gameservers" / gameserver.name
    for wanted in (
        f'"OWN": "{gameserver.name} {gameserver.ports["webui"]} {{braces}}"',
        f'"ATELIER_GAMESERVER_UID": "{gameserver.uid}"',
        f'"ATELIER_WORK": "{folder}/work"',
        f'"ATELIER_LAUNCHER_SOCKET": "{folder}/launcher.sock"',
        f'"TMPDIR": "{folder}/tmp"',
        f'"{folder}/work"]',
    ):
        assert wanted in text
    assert not folder.exists()


async def test_a_deleted_gameserver_is_replaced_at_once_and_its_processes_end_however_they_hide(data: Path) -> None:
    hiding = container("webui", "orphan", "deaf", "sleep")
    async with running(data, replace(EASEL, containers=(SIDECAR, hiding), grace_seconds=0.3)) as rig:
        (first,) = await rig.ready()
        async with asyncio.timeout(10):
            while len(rig.processes(first)) < 5:
                await asyncio.sleep(0.01)
        allocation = await rig.fleet.allocate(AllocationRequest("easel", {USER_LABEL: "alice"}, {}))
        assert allocation.state is AllocationState.ALLOCATED
        await rig.fleet.delete(first, any_version=True)
        during = await rig.until(lambda items: len(items) == 2)
        assert [item.name for item in during if item.deleting] == [first.name]
        await rig.until(lambda items: first.name not in {item.name for item in items})
        assert rig.processes(first) == set()
        await rig.ready(besides=frozenset({first.name}))


async def test_a_webui_that_exits_at_once_is_told_with_its_last_words_and_backs_off(data: Path) -> None:
    dying = container("webui", "say=no module named torch", "exit=3")
    async with running(data, replace(EASEL, containers=(dying,))) as rig:
        began = time.monotonic()
        async with asyncio.timeout(20):
            while len(rig.cluster.failures) < 2:
                await asyncio.sleep(0.01)
        assert time.monotonic() - began > 0.9
        first, second = rig.cluster.failures[:2]
        assert first.reason == "webui exited with code 3"
        assert first.log == ("no module named torch",)
        assert not first.was_ready
        assert first.gameserver != second.gameserver
        assert second.at - first.at >= 1.0


async def test_a_command_that_does_not_exist_is_told(data: Path) -> None:
    missing = Container("webui", ("/no/such/program",))
    async with running(data, replace(EASEL, containers=(SIDECAR, missing))) as rig:
        async with asyncio.timeout(10):
            while not rig.cluster.failures:
                await asyncio.sleep(0.01)
        assert "/no/such/program" in rig.cluster.failures[0].reason


async def test_without_health_pings_a_server_is_unhealthy_and_replaced(data: Path) -> None:
    silent = container("sidecar", "ready", "sleep", restart=True)
    health = Health(period_seconds=1, failure_threshold=1, initial_delay_seconds=0)
    async with running(data, replace(EASEL, containers=(silent, WEBUI), health=health)) as rig:
        (first,) = await rig.ready()
        await rig.until(lambda items: first.name not in {item.name for item in items} and len(items) > 0)
        assert rig.cluster.failures[0].reason == "no health ping for 1 s"
        assert rig.cluster.failures[0].was_ready


async def test_pings_keep_a_server_healthy(data: Path) -> None:
    health = Health(period_seconds=1, failure_threshold=1, initial_delay_seconds=0)
    async with running(data, replace(EASEL, health=health)) as rig:
        (first,) = await rig.ready()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(1.5):
                await rig.until(lambda items: first.name not in {item.name for item in items})
        assert rig.cluster.failures == ()


async def test_a_sidecar_that_dies_is_restarted_and_the_server_stays(data: Path) -> None:
    dying = container("sidecar", "again={work}/died", "ready", "ping", "sleep", restart=True)
    async with running(data, replace(EASEL, containers=(dying, WEBUI))) as rig:
        folders = data / "run" / "gameservers"
        async with asyncio.timeout(10):
            while not list(folders.glob("*/work")):
                await asyncio.sleep(0.01)
        (next(folders.glob("*")) / "work" / "died").write_text("")
        (gameserver,) = await rig.ready()
        assert rig.cluster.failures == ()
    assert (data / "run" / "leftovers" / gameserver.name / "died").exists()


async def test_the_main_containers_end_is_the_servers_end(data: Path) -> None:
    async with running(data, EASEL) as rig:
        (first,) = await rig.ready()
        launcher = next(item for item in rig.processes(first) if Path(f"/proc/{item.pid}/comm").read_text() == "sleep\n")
        processes._kill(launcher)
        await rig.ready(besides=frozenset({first.name}))
        assert rig.cluster.failures[0].reason == "webui was ended by signal 9"


async def test_a_server_that_calls_shutdown_is_replaced_and_if_it_was_ready_it_is_no_failure(data: Path) -> None:
    quitting = container("sidecar", "ready", "shutdown", "sleep", restart=True)
    async with running(data, replace(EASEL, containers=(quitting, WEBUI))) as rig:
        names = {item.name for item in await rig.until(lambda items: len(items) > 0)}
        await rig.until(lambda items: len({item.name for item in items} - names) > 0)


async def test_a_gpu_has_one_server_and_passes_on_when_its_processes_have_ended(data: Path) -> None:
    spec = replace(EASEL, replicas=3, gpu=True)
    async with running(data, spec, gpus=("GPU-a", "GPU-b")) as rig:
        holders = await rig.ready(2)
        items = await rig.until(lambda items: len(items) == 3)
        (waiting,) = (item for item in items if item.state is not GameServerState.READY)
        assert waiting.state is GameServerState.STARTING
        assert rig.processes(waiting) == set()
        assert {gpu_of(rig, item) for item in holders} == {"GPU-a", "GPU-b"}
        freed = gpu_of(rig, holders[0])
        await rig.fleet.delete(holders[0], any_version=True)
        await rig.ready(2, besides=frozenset({holders[0].name}))
        assert rig.processes(holders[0]) == set()
        assert gpu_of(rig, waiting) == freed


async def test_what_needs_no_gpu_takes_none_and_sees_none(data: Path) -> None:
    async with running(data, replace(EASEL, replicas=2), gpus=("GPU-a",)) as rig:
        assert [gpu_of(rig, item) for item in await rig.ready(2)] == ["", ""]


def gpu_of(rig: Rig, gameserver: GameServer) -> str:
    environments = [Path(f"/proc/{item.pid}/environ").read_bytes().split(b"\0") for item in rig.processes(gameserver)]
    (gpu,) = {entry for environment in environments for entry in environment if entry.startswith(b"CUDA_VISIBLE_DEVICES=")}
    return gpu.decode().partition("=")[2]


async def test_everything_stops_within_its_grace_however_deaf_and_in_parallel(data: Path) -> None:
    deaf = container("webui", "deaf", "ready", "ping", "sleep")
    async with running(data, FleetSpec("easel", (deaf,), replicas=4, grace_seconds=1.5)) as rig:
        await rig.ready(4)
        began = time.monotonic()
    assert time.monotonic() - began < 5.0
    assert list((data / "run" / "gameservers").iterdir()) == []


async def test_leases_survive_a_restart_of_the_command_and_gameservers_do_not(data: Path) -> None:
    async with running(data, EASEL) as rig:
        await rig.ready()
        lease = await rig.leases.create(Lease("alice", holder="a"))
    async with running(data, replace(EASEL, replicas=0)) as rig:
        assert await rig.leases.get("alice") == replace(lease, holder=""), "who held it ended with the command"
        assert (await rig.fleet.list()).items == ()


async def test_a_cancelled_cluster_leaves_nothing_either(data: Path) -> None:
    instance = str(uuid.uuid4())
    cluster = LocalCluster(data, [EASEL], instance=instance, gpus=())
    async with asyncio.TaskGroup() as group:
        task = group.create_task(cluster.run())
        await cluster.started.wait()
        async with connect(cluster.socket) as backend:
            await Rig(cluster, backend, data, instance).ready()
        task.cancel()
    assert processes.find(f"ATELIER_INSTANCE={instance}") == set()
    assert not cluster.socket.exists()


async def test_a_data_folder_with_too_long_a_path_is_refused_before_anything_starts(data: Path) -> None:
    with pytest.raises(UserError, match="bytes too long"):
        await LocalCluster(data / ("x" * 100), [EASEL], instance="i", gpus=()).run()
    assert list(data.iterdir()) == []


async def test_the_socket_is_the_owners_alone(data: Path) -> None:
    async with running(data) as rig:
        assert rig.cluster.socket.stat().st_mode & 0o777 == 0o600


COMMAND = """
import asyncio, sys
from pathlib import Path
from fleet.local.cluster import LocalCluster
from fleet.local.template import Container, FleetSpec
from tests.unit.fleet import program

async def main():
    containers = (
        Container("sidecar", (sys.executable, program.PATH, "ready", "ping", "sleep"), restart=True),
        Container("webui", (sys.executable, program.PATH, "orphan", "deaf", "say=up", "sleep")),
    )
    cluster = LocalCluster(Path(sys.argv[1]), [FleetSpec("easel", containers, replicas=2)], instance=sys.argv[2], gpus=())
    await cluster.run()

asyncio.run(main())
"""


async def test_after_kill_9_of_the_command_nothing_is_left_and_the_next_one_starts(data: Path) -> None:
    instance = str(uuid.uuid4())
    mark = f"ATELIER_INSTANCE={instance}"
    command = await asyncio.create_subprocess_exec(sys.executable, "-c", COMMAND, str(data), instance, start_new_session=True)
    async with asyncio.timeout(30):
        while [log.read_text() for log in data.glob("run/gameservers/*/logs/webui.log")] != ["up\n", "up\n"]:
            await asyncio.sleep(0.02)
    before = await asyncio.to_thread(processes.find, mark)
    assert len(before) >= 10
    command.kill()
    await command.wait()
    async with running(data, EASEL) as rig:  # it waits for the lock, which the guard holds until it is done
        assert [process for process in before if is_alive(process)] == []
        await rig.ready()
        assert len(list((data / "run" / "gameservers").iterdir())) == 1


def is_alive(process: processes.Process) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE)
    return False
