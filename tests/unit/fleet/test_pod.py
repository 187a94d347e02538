"""A GameServer's processes: the order in which they end, and that they end whatever interrupts the ending."""

import asyncio
import sys
from pathlib import Path

import pytest

from fleet.local import folders, processes
from fleet.local.pod import FIRST_RESTART_SECONDS, Exit, Pod
from fleet.local.template import Container, Place
from runtime.clock import Clock, SystemClock
from tests.fake_clock import FakeClock
from tests.unit.fleet import program


def shell(name: str, script: str, *, restart: bool = False) -> Container:
    return Container(name, ("sh", "-c", script), restart=restart)


def pod(tmp_path: Path, *containers: Container, clock: Clock | None = None, grace: float = 5.0) -> Pod:
    folder = folders.create(tmp_path, "easel-1")
    place = Place("easel-1", f"uid of {tmp_path}", str(folder), 1, {"webui": 2, "user-init": 3})
    return Pod(containers, place, {}, clock or SystemClock(), grace_seconds=lambda: grace)


async def lines(pod_: Pod, container: str, count: int) -> list[str]:
    async with asyncio.timeout(10):
        while not pod_.log_of(container).exists() or len(pod_.log_of(container).read_text().splitlines()) < count:
            await asyncio.sleep(0.005)
    return pod_.log_of(container).read_text().splitlines()


async def test_it_returns_how_the_main_container_ended_and_ends_the_sidecars(tmp_path: Path) -> None:
    p = pod(tmp_path, shell("sidecar", "exec sleep 1000", restart=True), shell("webui", "exit 7"))
    assert await p.run(lambda: None) == Exit("webui", 7)
    assert processes.find(f"ATELIER_GAMESERVER_UID=uid of {tmp_path}") == set()


async def test_sidecars_live_until_the_main_container_has_ended(tmp_path: Path) -> None:
    log = tmp_path / "order"
    slow = shell("webui", f"trap 'sleep 0.2; echo webui >> {log}; exit' TERM; echo up; while :; do sleep 0.01; done")
    quick = shell("sidecar", f"trap 'echo sidecar >> {log}; exit' TERM; echo up; while :; do sleep 0.01; done", restart=True)
    p = pod(tmp_path, slow, quick)
    started = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(p.run(started.set))
        await started.wait()
        await lines(p, "webui", 1)
        await lines(p, "sidecar", 1)
        task.cancel()
    assert log.read_text().split() == ["webui", "sidecar"]


async def test_a_second_cancellation_does_not_stop_the_stopping(tmp_path: Path) -> None:
    p = pod(tmp_path, shell("webui", "trap 'echo asked' TERM; echo up; while :; do sleep 0.01; done"), grace=0.5)
    started = asyncio.Event()
    async with asyncio.TaskGroup() as group:
        task = group.create_task(p.run(started.set))
        await started.wait()
        await lines(p, "webui", 1)
        task.cancel()
        await lines(p, "webui", 2)
        task.cancel()
    assert task.cancelled()
    assert processes.find(f"ATELIER_GAMESERVER_UID=uid of {tmp_path}") == set()


async def test_a_sidecar_that_keeps_dying_is_restarted_ever_more_slowly(tmp_path: Path) -> None:
    clock = FakeClock()
    p = pod(tmp_path, shell("sidecar", "echo up; exit 1", restart=True), shell("webui", "exec sleep 1000"), clock=clock)
    async with asyncio.TaskGroup() as group:
        task = group.create_task(p.run(lambda: None))
        wait = FIRST_RESTART_SECONDS
        for count in range(1, 4):
            await lines(p, "sidecar", count)
            async with asyncio.timeout(10):
                while not clock.sleepers:
                    await asyncio.sleep(0.005)
            await clock.advance(wait * 0.9)
            assert len(await lines(p, "sidecar", count)) == count
            assert clock.sleepers == 1
            await clock.advance(wait * 0.1 + 0.001)
            wait *= 2
        await lines(p, "sidecar", 4)
        task.cancel()
    assert p.last_exit == Exit("sidecar", 1)


async def test_a_program_that_cannot_be_started_ends_those_that_were(tmp_path: Path) -> None:
    sidecar = Container("sidecar", (sys.executable, program.PATH, "deaf", "sleep"), restart=True)
    p = pod(tmp_path, sidecar, Container("webui", ("/no/such/program",)), grace=0.2)
    with pytest.raises(FileNotFoundError, match="/no/such/program"):
        await p.run(lambda: pytest.fail("it did not start"))
    assert processes.find(f"ATELIER_GAMESERVER_UID=uid of {tmp_path}") == set()
