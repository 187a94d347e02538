"""A test that leaks a task, a process or a socket fails."""

import asyncio
import contextlib
import inspect
import os
import shutil
import time
from collections.abc import AsyncIterator, Collection, Iterator
from pathlib import Path

import psutil
import pytest

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
NOTHING_LEFT_OUT = bool(os.environ.get("ATELIER_TEST_NOTHING_LEFT_OUT"))
_LEAK_DEADLINE = 5.0


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        if not isinstance(item, pytest.Function):
            continue
        if inspect.iscoroutinefunction(item.obj):
            item.fixturenames.insert(item.fixturenames.index("no_leaked_processes_or_sockets"), "no_leaked_tasks")
        if item.get_closest_marker("browser") and CHROMIUM is None and not NOTHING_LEFT_OUT:
            item.add_marker(pytest.mark.skip(reason="no Chromium on this machine: install Debian's package `chromium`"))


@pytest.fixture(autouse=True)
def no_leaked_processes_or_sockets() -> Iterator[None]:
    """After each test this process has the children and the network sockets that it had before."""
    children, sockets = _children(), _sockets()
    yield
    deadline = time.monotonic() + _LEAK_DEADLINE
    while leaks := _leaked_processes(_children(children)) or _leaked_sockets(_sockets() - sockets):
        if time.monotonic() > deadline:
            pytest.fail(leaks)
        time.sleep(0.02)


@contextlib.asynccontextmanager
async def tasks_kept() -> AsyncIterator[None]:
    """The loop has as many tasks at the end as at the beginning, or the test fails."""
    before = asyncio.all_tasks()
    yield
    leaked: set[asyncio.Task[object]] = set()
    for _ in range(100):
        leaked = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
        if not leaked:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"leaked tasks: {[task.get_coro() for task in leaked]}")


@pytest.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """After each test the loop has the tasks that it had before."""
    async with tasks_kept():
        yield


def _children(known: Collection[int] = ()) -> set[int]:
    """This process's descendants without the known ones, whose children are their own business: fixtures that many tests
    share start and end processes. Read from /proc directly: this runs twice a test."""
    found: set[int] = set()
    waiting = [os.getpid()]
    while waiting:
        for task in Path(f"/proc/{waiting.pop()}/task").glob("*/children"):
            with contextlib.suppress(OSError):
                children = {int(pid) for pid in task.read_text().split()} - found - set(known)
                found |= children
                waiting += children
    return found


def _leaked_processes(pids: set[int]) -> str:
    alive = []
    for pid in pids:
        with contextlib.suppress(psutil.NoSuchProcess):
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                alive.append(f"{pid} {' '.join(process.cmdline())[:120]}")
    return f"leaked processes: {alive}" if alive else ""


def _sockets() -> set[str]:
    """The sockets of this process, by inode."""
    found = set()
    for descriptor in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):
            found.add(str(descriptor.readlink()))
    return {link for link in found if link.startswith("socket:")}


def _leaked_sockets(inodes: set[str]) -> str:
    """Listening and established ones: what waits for the peer's last packet is the kernel's, not ours."""
    if not inodes:
        return ""
    leaked = [
        f"{entry.laddr} {entry.raddr} {entry.status}"
        for entry in psutil.Process().net_connections(kind="inet")
        if entry.status in (psutil.CONN_LISTEN, psutil.CONN_ESTABLISHED)
        and entry.fd >= 0
        and str(Path(f"/proc/self/fd/{entry.fd}").readlink()) in inodes
    ]
    return f"leaked sockets: {leaked}" if leaked else ""
