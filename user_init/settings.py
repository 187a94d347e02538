"""user_init's settings: from the environment, as its GameServer is started with, or from flags."""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from runtime.errors import UserError
from webuis import registry

REMEDY = "See `python -m user_init --help`."


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    sdk_port: int
    webui: str
    webui_port: int
    launcher_socket: str
    port: int
    bind: str
    users: str
    work: str
    shared: str


class _Option(NamedTuple):
    variable: str
    help: str
    default: str | None = None


_OPTIONS = {
    "sdk_port": _Option("AGONES_SDK_GRPC_PORT", "where the SDK server listens on 127.0.0.1"),
    "webui": _Option("ATELIER_WEBUI", f"the WebUI's description: {', '.join(registry.NAMES)}"),
    "webui_port": _Option("ATELIER_WEBUI_PORT", "where the WebUI serves on 127.0.0.1"),
    "launcher_socket": _Option("ATELIER_LAUNCHER_SOCKET", "the launcher's control socket"),
    "port": _Option("ATELIER_USER_INIT_PORT", "where the allocator's long poll arrives"),
    "bind": _Option("ATELIER_USER_INIT_BIND", "address to listen on for it; 0.0.0.0 in a pod", "127.0.0.1"),
    "users": _Option("ATELIER_USERS", "the folder with a folder for each user; it must exist"),
    "work": _Option("ATELIER_WORK", "the WebUI's working folder, in which folders are linked; it must exist"),
    "shared": _Option("ATELIER_SHARED", "the folder with what is everybody's, models among it"),
}


def parse(arguments: Sequence[str], environ: Mapping[str, str]) -> Settings:
    """The settings; a flag counts more than the environment. Raises `UserError` for what is missing or cannot be."""
    parser = argparse.ArgumentParser(
        prog="python -m user_init",
        description="Prepares the user's folders once the GameServer is theirs, and answers the allocator who waits for it.",
        epilog="Each flag can be set by the environment variable named beside it.",
    )
    for name, option in _OPTIONS.items():
        default = "" if option.default is None else f"; default {option.default}"
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, metavar="VALUE", help=f"{option.help} ({option.variable}{default})")
    given = vars(parser.parse_args(arguments))
    values = {name: given[name] or environ.get(option.variable) or option.default for name, option in _OPTIONS.items()}
    for name, value in values.items():
        if value is None:
            raise UserError(f"{_OPTIONS[name].variable} is not set.", REMEDY)
    return _checked({name: value for name, value in values.items() if value is not None})


def _checked(values: Mapping[str, str]) -> Settings:
    if values["webui"] not in registry.NAMES:
        raise _wrong("webui", values["webui"], f"one of {', '.join(registry.NAMES)}")
    for name in ("users", "work"):
        if not Path(values[name]).is_dir():
            raise _wrong(name, values[name], "an existing folder")
    return Settings(
        sdk_port=_port("sdk_port", values),
        webui=values["webui"],
        webui_port=_port("webui_port", values),
        launcher_socket=values["launcher_socket"],
        port=_port("port", values),
        bind=values["bind"],
        users=_absolute(values["users"]),
        work=_absolute(values["work"]),
        shared=_absolute(values["shared"]),
    )


def _absolute(path: str) -> str:
    """Links lead to it from elsewhere."""
    return str(Path(path).absolute())


def _port(name: str, values: Mapping[str, str]) -> int:
    value = values[name]
    if not value.isdecimal() or not 0 < int(value) < 65536:
        raise _wrong(name, value, "a port from 1 to 65535")
    return int(value)


def _wrong(name: str, value: str, allowed: str) -> UserError:
    return UserError(f"{_OPTIONS[name].variable} is {value!r}, which is not {allowed}.", REMEDY)
