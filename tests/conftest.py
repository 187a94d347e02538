"""A test that leaks a task, a process or a socket fails."""

import asyncio
import inspect
import os
import shutil
import time
from collections.abc import AsyncIterator, Iterator

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
            item.fixturenames.insert(0, "no_leaked_tasks")
        if item.get_closest_marker("browser") and CHROMIUM is None and not NOTHING_LEFT_OUT:
            item.add_marker(pytest.mark.skip(reason="no Chromium on this machine: install Debian's package `chromium`"))


@pytest.fixture(autouse=True)
def no_leaked_processes_or_sockets() -> Iterator[None]:
    """After each test this process has the children and the network sockets that it had before."""
    me = psutil.Process()
    children, sockets = _children(me), _sockets(me)
    yield
    deadline = time.monotonic() + _LEAK_DEADLINE
    while leaks := _named("processes", _children(me) - children) or _named("sockets", _sockets(me) - sockets):
        if time.monotonic() > deadline:
            pytest.fail(leaks)
        time.sleep(0.02)


@pytest.fixture
async def no_leaked_tasks() -> AsyncIterator[None]:
    """After each test the loop has the tasks that it had before."""
    before = asyncio.all_tasks()
    yield
    leaked: set[asyncio.Task[object]] = set()
    for _ in range(100):
        leaked = {task for task in asyncio.all_tasks() - before if task is not asyncio.current_task()}
        if not leaked:
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"leaked tasks: {[task.get_coro() for task in leaked]}")


def _named(kind: str, leaked: set[str]) -> str:
    return f"leaked {kind}: {sorted(leaked)}" if leaked else ""


def _children(me: psutil.Process) -> set[str]:
    found = set()
    for child in me.children(recursive=True):
        try:
            if child.status() != psutil.STATUS_ZOMBIE:
                found.add(f"{child.pid} {' '.join(child.cmdline())[:120]}")
        except psutil.NoSuchProcess:
            continue
    return found


def _sockets(me: psutil.Process) -> set[str]:
    """Listening and established ones: what waits for the peer's last packet is the kernel's, not ours."""
    return {
        f"{entry.laddr} {entry.raddr} {entry.status}"
        for entry in me.net_connections(kind="inet")
        if entry.status in (psutil.CONN_LISTEN, psutil.CONN_ESTABLISHED)
    }
