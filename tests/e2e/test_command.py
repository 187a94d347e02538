"""`atelier up` and its siblings: what a person types, and types wrongly."""

import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.running_atelier import RunningAtelier, Up, free_ports


def atelier_command(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=45, env={**os.environ, **environment})


def assert_one_clear_line(run: subprocess.CompletedProcess[str], *words: str) -> None:
    said = run.stdout + run.stderr
    assert run.returncode not in {0, None}, said
    assert "Traceback" not in said
    for word in words:
        assert word in said


async def test_up_says_where_and_how_to_stop(atelier: RunningAtelier) -> None:
    address, users = f"http://localhost:{atelier.port}", str(atelier.data / "users")
    for part in (address, users, "Ctrl-C", "not from each other's code", "The first WebUI is ready"):
        await atelier.said(part)


async def test_up_stops_everything_on_sigterm(up: Up) -> None:
    atelier = up("--size", "2")
    async with atelier:
        await atelier.start("alice")
        assert len(atelier.processes()) > 5
        events = await atelier.http.get("/_atelier/api/events", headers={"X-Atelier-Dev-User": "alice"})
        atelier.process.send_signal(signal.SIGTERM)
        assert b"event: session" in await events.read()  # ended in order: a stream that is cut off raises
        assert await atelier.stop() == 0
        assert atelier.processes() == []


async def test_nothing_outlives_a_killed_up(up: Up) -> None:
    atelier = up("--size", "2")
    async with atelier:
        await atelier.start("alice")
        mine = atelier.processes()
        atelier.process.send_signal(signal.SIGKILL)
        await atelier.process.wait()
        _, alive = psutil.wait_procs(mine, timeout=10)
        assert alive == []
        assert atelier.processes() == []


async def test_up_stops_everything_when_its_terminal_is_closed(up: Up) -> None:
    atelier = up("--size", "1")
    async with atelier:
        atelier.process.send_signal(signal.SIGHUP)
        atelier.process.send_signal(signal.SIGHUP)
        async with asyncio.timeout(10):
            assert await atelier.process.wait() == 0
        assert atelier.processes() == []


async def test_status_and_release_from_another_terminal(atelier: RunningAtelier) -> None:
    await atelier.start("alice")
    place = ("--data", str(atelier.data), "--port", str(atelier.port))
    status = atelier_command("status", "--json", *place)
    sessions = json.loads(status.stdout)["sessions"]
    assert [(session["user"], session["state"]) for session in sessions] == [("alice@localhost", "active")]
    assert "alice@localhost" in atelier_command("status", *place).stdout
    released = atelier_command("release", "alice", *place)
    assert released.returncode == 0, released.stderr
    view = await atelier.until("alice", lambda view: view["state"] in {"releasing", "ended"})
    assert "operator" in view["reason"]
    assert_one_clear_line(atelier_command("release", "nobody", *place), "nobody")
    (other := atelier.data / "other").mkdir()
    (other / "operator.token").write_text("0" * 64)
    (other / "operator.token").chmod(0o600)
    elsewhere = atelier_command("status", "--data", str(other), "--port", str(atelier.port))
    assert_one_clear_line(elsewhere, str(other / "operator.token"), "--data")


def test_doctor_names_what_is_missing(data: Path) -> None:
    port, _ = free_ports()
    well = atelier_command("doctor", "--data", str(data), "--port", str(port))
    assert well.returncode == 0, well.stdout
    ill = atelier_command("doctor", "--data", str(data), "--port", str(port), "--command", "/no/such/webui")
    assert_one_clear_line(ill, "/no/such/webui", "--command")


def test_a_port_in_use_is_said_with_another_to_take(data: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        run = atelier_command("up", "--data", str(data), "--port", str(port))
    assert_one_clear_line(run, str(port), "--port")


def test_an_unwritable_data_folder_is_said(data: Path) -> None:
    (data / "file").write_text("")
    port, _ = free_ports()
    assert_one_clear_line(atelier_command("up", "--data", str(data / "file" / "x"), "--port", str(port)), "--data")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--command", "/no/such/webui"), ("/no/such/webui", "--command")),
        (("--size", "0"), ("size", "0")),
        (("--size", "-3"), ("size", "-3")),
        (("--warm", "9", "--size", "2"), ("warm", "9")),
        (("--idle-timeout", "soon"), ("idle_timeout", "soon", "30m")),
        (("--idle-timeout", "1s"), ("idle_timeout", "1s")),
        (("--webui", "paint"), ("webui", "paint", "easel")),
        (("--port", "70000"), ("70000",)),
        (("--profile-file", "/no/such/file"), ("/no/such/file",)),
    ],
)
def test_a_bad_option_is_one_line_with_the_remedy(data: Path, options: tuple[str, ...], words: tuple[str, ...]) -> None:
    port, _ = free_ports()
    place = () if "--port" in options else ("--port", str(port))
    assert_one_clear_line(atelier_command("up", "--data", str(data), *place, *options), *words)


def test_a_broken_settings_file_is_one_line(data: Path) -> None:
    file = data / "atelier.yaml"
    file.write_text("profiles: [{name: x, size: many}]")
    assert_one_clear_line(atelier_command("up", "--settings", str(file)), "profiles.0.size", "many", str(file))


def test_a_webui_that_exits_at_once_ends_up_with_its_last_words(data: Path) -> None:
    port, _ = free_ports()
    command = "sh -c 'echo missing library libfoo >&2; exit 7'"
    run = atelier_command("up", "--data", str(data), "--port", str(port), "--command", command)
    assert_one_clear_line(run, "7", "missing library libfoo")
    assert not list((data / "run").rglob("*.sock"))


async def test_a_second_up_in_the_same_folder_is_refused(atelier: RunningAtelier) -> None:
    port, _ = free_ports()
    run = atelier_command("up", "--data", str(atelier.data), "--port", str(port))
    assert_one_clear_line(run, str(atelier.data), "choose another data folder")
