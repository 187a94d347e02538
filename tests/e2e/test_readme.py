"""The README's commands do what it says."""

import asyncio
import os
import re
import signal
from pathlib import Path

import pytest

from tests.running_atelier import free_ports

ROOT = Path(__file__).parents[2]
COMMANDS = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)


def test_every_command_in_the_readme_is_one_of_ours() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    verbs = {"up", "status", "release", "doctor"}
    for line in "".join(COMMANDS).splitlines():
        words = line.split()
        if words[0] == "make":
            assert words[1] in targets, line
        else:
            assert words[0] == ".venv/bin/atelier", line
            assert words[1] in verbs, line


def test_every_file_that_the_readme_shows_is_there() -> None:
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert (ROOT / target).exists(), target


@pytest.mark.timeout(120)
async def test_make_run_serves_until_ctrl_c(data: Path) -> None:
    port, _ = free_ports()
    process = await asyncio.create_subprocess_exec(
        *("make", "run", f"ARGS=--port {port} --data {data}"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        start_new_session=True,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(60):
            while b"Ctrl-C" not in (line := await process.stdout.readline()):
                assert line, "`make run` ended"
        os.killpg(process.pid, signal.SIGINT)
        async with asyncio.timeout(12):
            said = await process.stdout.read()
            assert await process.wait() in {0, -signal.SIGINT}  # make itself ends as a program does that was interrupted
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert b"Stopped." in said
