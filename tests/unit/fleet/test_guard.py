"""Nothing outlives the command, however it ends."""

import asyncio
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from fleet.local import processes
from fleet.local.instance import Guard, lock
from runtime.clock import SystemClock
from runtime.errors import UserError
from tests.fake_clock import FakeClock

PARENT = """
import os, subprocess, sys
mark = sys.argv[1]
guard = subprocess.Popen([sys.executable, "-m", "fleet.local.guard", mark], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                         start_new_session=True)
guard.stdout.readline()
name, _, value = mark.partition("=")
program = "trap '' TERM HUP INT; (setsid sleep 1000 &); (sleep 1000 &); env -i sleep 1000 & echo started; sleep 1000"
child = subprocess.Popen(["sh", "-c", program], env={**os.environ, name: value}, start_new_session=True, stdout=subprocess.PIPE)
child.stdout.readline()
print(guard.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def mark() -> Iterator[str]:
    mark = f"ATELIER_INSTANCE={uuid.uuid4()}"
    yield mark
    assert not processes.end(mark, 5.0)


def spawn(mark: str, *argv: str) -> subprocess.Popen[bytes]:
    name, _, value = mark.partition("=")
    return subprocess.Popen(argv, env={**os.environ, name: value}, start_new_session=True)


def is_alive(pid: int) -> bool:
    with suppress(psutil.NoSuchProcess):
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    return False


async def gone(mark: str) -> None:
    async with asyncio.timeout(10):
        while await asyncio.to_thread(processes.find, mark):
            await asyncio.sleep(0.01)


async def test_after_kill_9_of_the_command_no_grandchild_is_left_however_it_detached(mark: str) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", PARENT, mark, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )
    assert parent.stdout is not None
    guard = int(await parent.stdout.readline())
    before = processes.find(mark)
    assert len(before) >= 4
    parent.kill()
    await parent.wait()
    await gone(mark)
    async with asyncio.timeout(10):
        while is_alive(guard):
            await asyncio.sleep(0.01)
    assert [process for process in before if is_alive(process.pid)] == []


async def test_the_guard_is_deaf_to_signals_that_a_terminal_sends(tmp_path: Path, mark: str) -> None:
    async with lock(tmp_path, SystemClock()) as descriptor:
        guard = Guard(mark, descriptor, SystemClock())
        await guard.start()
        assert guard.pid is not None
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            os.kill(guard.pid, number)
        child = spawn(mark, "sleep", "1000")
        await guard.close()
        assert child.wait(timeout=5) == -signal.SIGKILL


async def test_a_guard_that_dies_is_replaced(tmp_path: Path, mark: str) -> None:
    async with lock(tmp_path, SystemClock()) as descriptor:
        guard = Guard(mark, descriptor, SystemClock())
        await guard.start()
        first = guard.pid
        assert first is not None
        async with asyncio.timeout(10), asyncio.TaskGroup() as group:
            keeping = group.create_task(guard.keep())
            os.kill(first, signal.SIGKILL)
            while guard.pid == first:
                await asyncio.sleep(0.005)
            keeping.cancel()
        child = spawn(mark, "sleep", "1000")
        await guard.close()
        assert child.wait(timeout=5) == -signal.SIGKILL


async def is_refused(run: Path) -> None:
    clock = FakeClock()

    async def second() -> None:
        with pytest.raises(UserError, match="Another `atelier up` runs"):
            async with lock(run, clock):
                pytest.fail("two at once")

    async with asyncio.TaskGroup() as group:
        group.create_task(second())
        await clock.advance(60)


async def test_a_second_command_with_the_same_data_is_refused(tmp_path: Path) -> None:
    async with lock(tmp_path, SystemClock()):
        await is_refused(tmp_path)
    async with lock(tmp_path, SystemClock()):
        pass


async def test_the_lock_is_held_until_the_guard_of_the_last_command_is_done(tmp_path: Path, mark: str) -> None:
    async with lock(tmp_path, SystemClock()) as descriptor:
        guard = Guard(mark, descriptor, SystemClock())
        await guard.start()
    await is_refused(tmp_path)
    await guard.close()
    async with lock(tmp_path, SystemClock()):
        pass


async def test_a_data_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"file/run cannot be used: Not a directory"):
        async with lock(tmp_path / "file" / "run", SystemClock()):
            pass


def test_only_what_carries_the_whole_mark_is_ended(mark: str) -> None:
    stranger = spawn(mark + "-longer", "sleep", "1000")
    ours = spawn(mark, "sleep", "1000")
    try:
        assert processes.end(mark, 5.0) == set()
        assert ours.wait(timeout=5) == -signal.SIGKILL
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
