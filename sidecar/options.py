"""What can be set: by flags, else by the environment; `--help` lists both."""

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from agones_sdk import health
from agones_sdk.client import PORT_VARIABLE
from runtime.errors import UserError
from sidecar.decisions import Rules
from webuis import registry
from webuis.base import WebUI


@dataclass(frozen=True, slots=True)
class Options:
    """Durations and periods are in seconds."""

    webui: WebUI
    webui_port: int
    sdk_port: int
    launcher_socket: Path
    rules: Rules
    busy_period: float
    health_period: float
    log_level: str


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UserError(f"sidecar: {message}.", "See python -m sidecar --help.")


def _named(variable: str, convert: Callable[[str], object]) -> Callable[[str], object]:
    """`convert`, with errors that say what was given and where it can have come from."""

    def checked(text: str) -> object:
        try:
            return convert(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(f"{text!r} (or ${variable}) is not allowed, {error}") from None

    return checked


def _port(text: str) -> int:
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise ValueError("a port from 1 to 65535 is needed")
    return int(text)


def _seconds(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0.0 < value < float("inf"):
        raise ValueError("a number of seconds above 0 is needed")
    return value


def _webui(text: str) -> WebUI:
    try:
        return registry.get(text)
    except KeyError:
        raise ValueError(f"one of {', '.join(registry.NAMES)} is needed") from None


def _level(text: str) -> str:
    if text not in ("debug", "info", "warning", "error"):
        raise ValueError("one of debug, info, warning, error is needed")
    return text.upper()


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> Options:
    """The options from flags, then the environment, then defaults. Raises `UserError`; exits on `--help`."""
    parser = _Parser(
        prog="python -m sidecar",
        description="Tells Agones that the WebUI is ready and healthy, and tells the session whether it is busy.",
        epilog="Each flag can be given by the variable beside it instead. Times are in seconds.",
    )

    def add(flag: str, variable: str, convert: Callable[[str], object], text: str, default: float | str | None = None) -> None:
        value = environ.get(variable, None if default is None else f"{default}")
        note = "" if default is None else f" (default: {default})"
        parser.add_argument(
            flag, metavar=variable, type=_named(variable, convert), default=value, required=value is None, help=text + note
        )

    rules = Rules()
    add("--webui", "ATELIER_WEBUI", _webui, f"which WebUI runs here: {', '.join(registry.NAMES)}")
    add("--webui-port", "ATELIER_WEBUI_PORT", _port, "where it serves on 127.0.0.1")
    add("--launcher-socket", "ATELIER_LAUNCHER_SOCKET", Path, "the launcher's control socket")
    add("--sdk-port", PORT_VARIABLE, _port, "the Agones SDK server's gRPC port on 127.0.0.1")
    late = "the GameServer is ended when its WebUI is not ready by then"
    add("--startup-deadline", "ATELIER_STARTUP_DEADLINE", _seconds, late, rules.startup_deadline)
    orphan = "it is ended when it was allocated and no session adopted it for so long"
    add("--adoption-deadline", "ATELIER_ADOPTION_DEADLINE", _seconds, orphan, rules.adoption_deadline)
    add("--busy-period", "ATELIER_BUSY_PERIOD", _seconds, "between two questions whether the WebUI is busy", 3.0)
    add("--idle-after", "ATELIER_IDLE_AFTER", _seconds, "idle is reported when it lasted so long", rules.idle_after)
    silent = "unknown is reported when the WebUI has not said for so long"
    add("--unknown-after", "ATELIER_UNKNOWN_AFTER", _seconds, silent, rules.unknown_after)
    lost = "what the SDK server was asked for and has not done by then is asked for again"
    add("--resend-after", "ATELIER_RESEND_AFTER", _seconds, lost, rules.resend_after)
    add("--health-period", "ATELIER_HEALTH_PERIOD", _seconds, "between two health pings", health.PERIOD)
    add("--log-level", "ATELIER_LOG_LEVEL", _level, "debug, info, warning or error", "info")
    values = parser.parse_args(arguments)
    return Options(
        webui=values.webui,
        webui_port=values.webui_port,
        launcher_socket=values.launcher_socket,
        sdk_port=values.sdk_port,
        rules=Rules(
            starts=values.webui.starts,
            startup_deadline=values.startup_deadline,
            adoption_deadline=values.adoption_deadline,
            idle_after=values.idle_after,
            unknown_after=values.unknown_after,
            resend_after=values.resend_after,
        ),
        busy_period=values.busy_period,
        health_period=values.health_period,
        log_level=values.log_level,
    )
