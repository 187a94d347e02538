"""The sidecar's settings: flags before environment before defaults, and one line for what is wrong."""

import subprocess
import sys
from pathlib import Path

import pytest

from runtime.errors import UserError
from sidecar.decisions import Rules
from sidecar.options import parse
from webuis.base import Starts

ENVIRON = {
    "ATELIER_WEBUI": "easel",
    "ATELIER_WEBUI_PORT": "7860",
    "ATELIER_LAUNCHER_SOCKET": "/run/launcher.sock",
    "AGONES_SDK_GRPC_PORT": "9357",
}


def test_the_environment_of_a_gameserver_is_enough() -> None:
    options = parse([], ENVIRON)
    assert (options.webui.name, options.webui_port, options.sdk_port) == ("easel", 7860, 9357)
    assert options.launcher_socket == Path("/run/launcher.sock")
    assert options.rules == Rules(starts=Starts.BEFORE_ALLOCATION)


def test_a_flag_comes_before_the_environment() -> None:
    environ = {**ENVIRON, "ATELIER_STARTUP_DEADLINE": "60", "ATELIER_IDLE_AFTER": "5"}
    rules = parse(["--startup-deadline", "30"], environ).rules
    assert (rules.startup_deadline, rules.idle_after) == (30.0, 5.0)


@pytest.mark.parametrize(
    ("variable", "value", "allowed"),
    [
        ("ATELIER_WEBUI", "paint", "one of a1111, easel"),
        ("ATELIER_WEBUI_PORT", "0", "a port from 1 to 65535"),
        ("AGONES_SDK_GRPC_PORT", "http", "a port from 1 to 65535"),
        ("ATELIER_STARTUP_DEADLINE", "15m", "a number of seconds above 0"),
        ("ATELIER_ADOPTION_DEADLINE", "-1", "a number of seconds above 0"),
        ("ATELIER_IDLE_AFTER", "nan", "a number of seconds above 0"),
        ("ATELIER_BUSY_PERIOD", "0", "a number of seconds above 0"),
        ("ATELIER_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
    ],
)
def test_a_bad_value_names_the_variable_the_value_and_what_is_allowed(variable: str, value: str, allowed: str) -> None:
    with pytest.raises(UserError) as caught:
        parse([], {**ENVIRON, variable: value})
    message = str(caught.value)
    assert f"${variable}" in message
    assert repr(value) in message
    assert allowed in message


@pytest.mark.parametrize("variable", sorted(ENVIRON))
def test_a_missing_value_names_its_flag(variable: str) -> None:
    environ = {name: value for name, value in ENVIRON.items() if name != variable}
    with pytest.raises(UserError, match="required: --"):
        parse([], environ)


def test_help_names_every_flag_and_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse(["--help"], {})
    text = capsys.readouterr().out
    for variable in (*ENVIRON, "ATELIER_STARTUP_DEADLINE", "ATELIER_ADOPTION_DEADLINE", "ATELIER_LOG_LEVEL"):
        assert variable in text


def test_the_command_says_what_is_wrong_in_one_line() -> None:
    command = [sys.executable, "-m", "sidecar", "--webui", "paint"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


def test_it_stays_light() -> None:
    """Each of these is megabytes in every GameServer."""
    script = "import sys, sidecar.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=30).stdout.split()
    assert "grpc" in loaded
    assert not {"aiohttp", "pydantic", "jinja2", "rich", "yaml", "PIL"} & set(loaded)
