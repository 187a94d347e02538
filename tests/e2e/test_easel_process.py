"""Easel as a process: how it starts, ends, and fails."""

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from runtime.http import HttpError, call
from webuis.easel.failures import CRASH_CODE
from webuis.registry import get

ROOT = Path(__file__).parents[3]
HOST = "127.0.0.1"


async def start(data: Path, *flags: str, **environ: str) -> asyncio.subprocess.Process:
    command = [argument.format(python=sys.executable, port=0, work=data, shared=data) for argument in get("easel").command]
    return await asyncio.create_subprocess_exec(
        *command,
        *flags,
        cwd=data,
        env=os.environ | {"PYTHONPATH": str(ROOT)} | environ,
        stderr=asyncio.subprocess.PIPE,
    )


@asynccontextmanager
async def running(data: Path, *flags: str, **environ: str) -> AsyncIterator[tuple[asyncio.subprocess.Process, int]]:
    """An Easel that serves, and its port. It is killed at the end if it still lives."""
    process = await start(data, *flags, **environ)
    try:
        async with asyncio.timeout(20):
            assert process.stderr is not None
            line = (await process.stderr.readline()).decode()
        assert "no model, no GPU" in line, line
        yield process, int(line.partition(f"{HOST}:")[2].split()[0])
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ping(port: int, timeout: float = 10) -> int:
    return (await call(HOST, port, "GET", "/internal/ping", timeout=timeout)).status


async def ping_until_it_fails(port: int) -> None:
    while True:
        await ping(port, timeout=0.5)


async def test_it_starts_by_its_description_and_ends_cleanly_on_sigterm(tmp_path: Path) -> None:
    async with running(tmp_path) as (process, port), asyncio.timeout(20):
        assert await ping(port) == 200
        process.terminate()
        assert await process.wait() == 0


async def test_sigterm_in_a_generation_does_not_wait_for_it(tmp_path: Path) -> None:
    async with running(tmp_path, "--step-seconds=600") as (process, port), asyncio.timeout(20):
        with pytest.raises(HttpError, match="no reply"):
            await call(HOST, port, "POST", "/sdapi/v1/txt2img", payload={}, timeout=0.3)
        process.terminate()
        assert await process.wait() == 0
    assert list(tmp_path.rglob("*.png")) == []


async def test_sigterm_ends_it_even_when_it_has_stopped_answering(tmp_path: Path) -> None:
    async with running(tmp_path) as (process, port), asyncio.timeout(20):
        await call(HOST, port, "POST", "/easel/fail", payload={"how": "stop-answering"}, timeout=10)
        with pytest.raises(HttpError, match="no reply"):
            await ping(port, timeout=0.2)
        process.terminate()
        assert await process.wait() == 0


async def test_a_crash_on_demand_is_answered_and_then_happens(tmp_path: Path) -> None:
    async with running(tmp_path) as (process, port), asyncio.timeout(20):
        assert (await call(HOST, port, "POST", "/easel/fail", payload={"how": "crash"}, timeout=10)).status == 200
        assert await process.wait() == CRASH_CODE


async def test_a_hang_leaves_the_process_alive_deaf_to_sigterm_and_mute(tmp_path: Path) -> None:
    async with running(tmp_path) as (process, port), asyncio.timeout(20):
        assert (await call(HOST, port, "POST", "/easel/fail", payload={"how": "hang"}, timeout=10)).status == 200
        with pytest.raises(HttpError, match="no reply"):
            await ping_until_it_fails(port)
        process.send_signal(signal.SIGTERM)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(process.wait(), 0.3)


async def test_a_crash_after_a_while_comes_by_itself(tmp_path: Path) -> None:
    async with running(tmp_path, "--crash-after=0.3") as (process, _), asyncio.timeout(20):
        assert await process.wait() == CRASH_CODE


async def test_a_slow_start_listens_but_is_not_ready(tmp_path: Path) -> None:
    async with running(tmp_path, EASEL_START_SECONDS="600") as (_, port):
        assert await ping(port) == 503


async def test_the_environment_sets_what_no_flag_does(tmp_path: Path) -> None:
    async with running(tmp_path, EASEL_NEVER_READY="1") as (_, port):
        assert await ping(port) == 503


async def ended(process: asyncio.subprocess.Process) -> tuple[int | None, str]:
    async with asyncio.timeout(20):
        _, errors = await process.communicate()
    return process.returncode, errors.decode()


async def test_exit_at_once_ends_with_the_code_that_was_asked_for(tmp_path: Path) -> None:
    assert (await ended(await start(tmp_path, "--exit-at-once=7")))[0] == 7


async def test_a_taken_port_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as taken:
        code, errors = await ended(await start(tmp_path, f"--port={taken.getsockname()[1]}"))
    assert code == 1
    assert errors.count("\n") == 1
    assert "--port" in errors


async def test_a_missing_folder_is_one_line_with_the_remedy(tmp_path: Path) -> None:
    code, errors = await ended(await start(tmp_path, f"--data={tmp_path / 'gone'}"))
    assert code == 1
    assert errors.count("\n") == 1
    assert "--data" in errors
