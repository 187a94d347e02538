"""What the launcher does with the WebUI's process, driven over its socket as any client would."""

import asyncio
import os
import signal
import stat
import sys
from pathlib import Path

import psutil
import pytest

from tests.eventually import DEADLINE, eventually
from tests.launcher_process import Status, connect, launch

FOREVER = ("sh", "-c", "exec sleep 300")


def is_running(status: Status) -> bool:
    return bool(status["state"] == "running")


def shell(script: str) -> tuple[str, ...]:
    return ("sh", "-c", script)


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    return tmp_path / "launcher.sock"


async def gone(pid: int) -> None:
    """Return when no process has this pid any more."""
    await eventually(lambda: not psutil.pid_exists(pid))


async def pids_in(log: Path, count: int) -> list[int]:
    """The numbers in the WebUI's output, when there are so many."""
    await eventually(lambda: log.exists() and log.read_text().count("\n") == count)
    return [int(word) for word in log.read_text().split()]


async def announced_pauses(process: asyncio.subprocess.Process, count: int) -> list[float]:
    """The pauses that the launcher's first restarts are announced with."""
    assert process.stderr is not None
    pauses: list[float] = []
    async with asyncio.timeout(DEADLINE):
        while len(pauses) < count:
            line = (await process.stderr.readline()).decode()
            if "starting again in" in line:
                pauses.append(float(line.split()[-2]))
    return pauses


async def test_a_webui_that_crashes_is_started_again_and_its_exit_code_is_told(socket: Path) -> None:
    async with launch(socket, "--backoff", "0.05", "--", *FOREVER), connect(socket) as control:
        first = await control.ask("watch")
        assert first["state"] == "running"
        assert (first["restarts"], first["exit"], first["error"]) == (0, None, None)
        os.kill(first["pid"], signal.SIGKILL)
        died = await control.receive()
        assert (died["state"], died["pid"], died["exit"]) == ("backoff", None, -signal.SIGKILL)
        again = await control.until(is_running)
        assert again["restarts"] == 1
        assert again["pid"] != first["pid"]


async def test_a_webui_that_exits_at_once_is_started_more_and_more_seldom(socket: Path) -> None:
    async with launch(socket, "--backoff", "0.05", "--backoff-limit", "0.2", "--", *shell("exit 3")) as process:
        assert await announced_pauses(process, 4) == [0.05, 0.1, 0.2, 0.2]
        async with connect(socket) as control:
            await control.ask("watch")
            ended = await control.until(lambda status: status["state"] == "backoff")
            started = await control.until(is_running)
            assert started["since"] - ended["since"] >= 0.19
            assert ended["exit"] == 3


async def test_a_webui_that_lived_a_while_is_started_again_without_a_long_pause(socket: Path) -> None:
    command = shell("sleep 0.1")
    async with launch(socket, "--backoff", "0.05", "--steady", "0.1", "--", *command) as process:
        assert await announced_pauses(process, 4) == [0.05] * 4


@pytest.mark.parametrize("command", ["/nowhere/webui", "/etc/passwd"])
async def test_a_command_that_cannot_be_run_is_a_state_and_no_traceback(socket: Path, command: str) -> None:
    async with launch(socket, "--", command) as process:
        async with connect(socket) as control:
            status = await control.ask("status")
        assert (status["state"], status["exit"], status["pid"]) == ("backoff", 127, None)
        assert command in status["error"]
        process.terminate()
        _, errors = await process.communicate()
    assert process.returncode == 0
    assert b"Traceback" not in errors
    assert command.encode() in errors


async def test_start_cuts_the_pause_short_and_a_command_that_came_late_runs(socket: Path, tmp_path: Path) -> None:
    command = tmp_path / "webui"
    async with launch(socket, "--backoff", "600", "--", str(command)), connect(socket) as control:
        assert (await control.ask("watch"))["exit"] == 127
        command.write_text("#!/bin/sh\nexec sleep 300\n")
        command.chmod(0o755)
        await control.ask("start")
        status = await control.until(is_running)
        assert status["error"] is None


async def test_a_webui_that_ignores_sigterm_is_killed_when_its_time_is_over(socket: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    stubborn = shell("trap '' TERM; echo $$; while :; do sleep 300; done")
    async with launch(socket, "--stop-seconds", "0.2", "--log", str(log), "--", *stubborn), connect(socket) as control:
        (pid,) = await pids_in(log, 1)
        await control.ask("watch")
        asked = await control.ask("stop")
        assert asked["state"] == "stopping"
        stopped = await control.until(lambda status: status["state"] == "stopped")
        assert stopped["exit"] == -signal.SIGKILL
        assert stopped["since"] - asked["since"] >= 0.2
        await gone(pid)


@pytest.mark.parametrize("request_", ["stop", "restart"])
async def test_what_the_webui_forked_ends_with_it_however_it_forked(socket: Path, tmp_path: Path, request_: str) -> None:
    log = tmp_path / "log"
    forks = shell("sleep 300 & echo $!; setsid sh -c 'echo $$; trap \"\" TERM; sleep 300; sleep 300' & wait")
    async with launch(socket, "--stop-seconds", "0.3", "--log", str(log), "--", *forks), connect(socket) as control:
        children = await pids_in(log, 2)
        await control.ask("watch")
        await control.ask(request_)
        await control.until(lambda status: status["state"] == ("stopped" if request_ == "stop" else "running"))
        for pid in children:
            await gone(pid)


async def test_what_a_crashed_webui_left_running_is_ended_before_the_next_start(socket: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = shell("setsid sh -c 'echo $$; exec sleep 300' & sleep 300")
    async with launch(socket, "--backoff", "0.05", "--log", str(log), "--", *command), connect(socket) as control:
        (left,) = await pids_in(log, 1)
        os.kill((await control.ask("watch"))["pid"], signal.SIGKILL)
        await control.until(is_running)
        assert not psutil.pid_exists(left)


async def test_a_restart_lets_the_webui_end_in_its_own_time_and_counts(socket: Path, tmp_path: Path) -> None:
    saved = tmp_path / "saved"
    orderly = shell(f"trap 'sleep 0.2; touch {saved}; exit 0' TERM; echo ready; while :; do sleep 0.01; done")
    log = tmp_path / "log"
    async with launch(socket, "--log", str(log), "--", *orderly), connect(socket) as control:
        await eventually(lambda: log.exists() and "ready" in log.read_text())
        await control.ask("watch")
        assert (await control.ask("restart"))["state"] == "stopping"
        status = await control.until(is_running)
        assert (status["restarts"], status["exit"]) == (1, 0)
        assert saved.exists()


async def test_with_wait_nothing_runs_before_start_is_asked_for(socket: Path) -> None:
    async with launch(socket, "--wait", "--", *FOREVER), connect(socket) as control:
        status = await control.ask("watch")
        assert (status["state"], status["pid"]) == ("waiting", None)
        assert (await control.ask("start"))["state"] == "waiting"
        assert (await control.receive())["state"] == "running"
        assert (await control.ask("start"))["state"] == "running"
        assert (await control.ask("status"))["restarts"] == 0


async def test_stopped_stays_stopped_until_start(socket: Path) -> None:
    async with launch(socket, "--backoff", "0.01", "--", *FOREVER), connect(socket) as control:
        await control.ask("watch")
        await control.ask("stop")
        await control.until(lambda status: status["state"] == "stopped")
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.2):
                await control.receive()
        await control.ask("start")
        assert (await control.until(is_running))["restarts"] == 1


async def test_a_stop_during_the_pause_is_a_stop(socket: Path) -> None:
    async with launch(socket, "--backoff", "600", "--", *shell("exit 1")), connect(socket) as control:
        if (await control.ask("watch"))["state"] != "backoff":
            await control.until(lambda status: status["state"] == "backoff")
        assert (await control.ask("stop"))["state"] == "stopped"


async def test_sigterm_stops_the_webui_removes_the_socket_and_exits_with_zero(socket: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with launch(socket, "--log", str(log), "--", *shell("echo $$; exec sleep 300")) as process:
        (pid,) = await pids_in(log, 1)
        async with connect(socket) as control:
            await control.ask("watch")
            process.terminate()
            with pytest.raises(EOFError):
                await control.until(lambda _: False)
        _, errors = await process.communicate()
    assert process.returncode == 0
    assert not psutil.pid_exists(pid)
    assert not socket.exists()
    assert b"Traceback" not in errors


async def test_sigterm_during_a_pause_does_not_wait_for_its_end(socket: Path) -> None:
    async with launch(socket, "--backoff", "600", "--", *shell("exit 1")) as process:
        async with connect(socket) as control:
            await control.ask("status")
        process.terminate()
        async with asyncio.timeout(DEADLINE):
            await process.communicate()
        assert process.returncode == 0


async def test_a_malformed_request_gets_an_error_and_the_connection_goes_on(socket: Path) -> None:
    async with launch(socket, "--wait", "--", *FOREVER), connect(socket) as control:
        for line in (b"", b"stop", b'"stop"', b"[]", b"{}", b'{"do": "dance"}', b'{"do": ["stop"]}', b"\xff\xfe", b"[" * 20000):
            assert list(await control.send(line)) == ["error"], line
        assert (await control.ask("status"))["state"] == "waiting"


async def test_a_line_without_end_costs_its_sender_the_connection_and_nobody_else(socket: Path) -> None:
    async with launch(socket, "--wait", "--", *FOREVER), connect(socket) as other:
        async with connect(socket) as control:
            assert list(await control.send(b"x" * 200_000)) == ["error"]
            with pytest.raises((EOFError, ConnectionError)):
                await control.receive()
        assert (await other.ask("status"))["state"] == "waiting"


async def test_every_watcher_hears_what_one_client_asked_for(socket: Path) -> None:
    async with (
        launch(socket, "--wait", "--", *FOREVER),
        connect(socket) as one,
        connect(socket) as two,
        connect(socket) as three,
    ):
        await one.ask("watch")
        await two.ask("watch")
        await three.ask("start")
        assert (await one.receive())["state"] == (await two.receive())["state"] == "running"


async def test_only_the_owner_may_speak_to_it(socket: Path) -> None:
    async with launch(socket, "--wait", "--", *FOREVER), connect(socket):
        assert stat.S_IMODE(socket.stat().st_mode) == 0o600


async def test_a_socket_left_by_a_killed_launcher_is_replaced(socket: Path) -> None:
    async with launch(socket, "--wait", "--", *FOREVER) as process, connect(socket):
        process.kill()
        await process.wait()
    assert socket.exists()
    async with launch(socket, "--wait", "--", *FOREVER), connect(socket) as control:
        assert (await control.ask("status"))["state"] == "waiting"


async def test_a_second_launcher_on_one_socket_says_so_and_leaves_the_first_alone(socket: Path) -> None:
    async with launch(socket, "--wait", "--", *FOREVER), connect(socket) as control:
        async with launch(socket, "--", *FOREVER) as second:
            _, errors = await second.communicate()
        assert second.returncode == 1
        assert errors.decode().splitlines() == [f"launcher: {socket}: another launcher listens there"]
        assert (await control.ask("status"))["state"] == "waiting"


@pytest.mark.parametrize("directory", ["missing/launcher.sock", "x" * 200])
async def test_a_socket_that_cannot_be_made_is_one_line(tmp_path: Path, directory: str) -> None:
    async with launch(tmp_path / directory, "--", *FOREVER) as process:
        _, errors = await process.communicate()
    assert process.returncode == 1
    assert len(errors.splitlines()) == 1


def test_the_file_needs_nothing_but_the_standard_library() -> None:
    source = Path(__import__("sidecar.launcher").launcher.__file__).read_text()
    imports = {line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import ", "from "))}
    assert imports <= sys.stdlib_module_names
