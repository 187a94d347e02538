"""What has to be there before anything is started: the same checks serve `up` and `doctor`."""

import os
import shutil
import socket
import sys
import uuid
from pathlib import Path

from allocator.settings import Settings, bind_hosts, split_address
from cli.compose import webui_command
from runtime.errors import UserError

LEAST_DESCRIPTORS = 1024


def check_ports(settings: Settings) -> None:
    """Every listener's port is free. Raises `UserError`."""
    if split_address(settings.listen)[1] == split_address(settings.operators)[1]:
        problem = f"Browsers and operators cannot share a port: listen is {settings.listen}, operators {settings.operators}."
        raise UserError(problem, "Give each a port of its own.")
    for name, address in (("listen", settings.listen), ("operators", settings.operators)):
        host, port = split_address(address)
        for each in bind_hosts(host):
            if ":" not in each or _has_ipv6():
                _check_port(name, each, port)


def _check_port(name: str, host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except PermissionError:
            raise UserError(f"Port {port} needs more rights than you have.", "Choose one above 1023: --port 8000") from None
        except OSError as error:
            remedy = f"Stop what uses it, or choose another: --port {port + 10 if port < 65000 else 8000}"
            raise UserError(f"Cannot listen on {host} port {port} ({name}): {error.strerror}.", remedy) from None


def check_data(data: Path) -> None:
    """The data folder exists or can be made, and is writable. Raises `UserError`."""
    probe = data / f".probe-{uuid.uuid4().hex}"
    try:
        data.mkdir(parents=True, exist_ok=True)
        probe.touch(exist_ok=False)
        probe.unlink()
    except OSError as error:
        remedy = "Choose one that you may write to: --data FOLDER"
        raise UserError(f"The data folder {data} cannot be written: {error.strerror}.", remedy) from None


def check_commands(settings: Settings) -> None:
    """Each profile's WebUI can be started, as far as its first word tells. Raises `UserError`."""
    for profile in settings.profiles:
        shared = str(settings.data.expanduser() / "shared")
        program = webui_command(profile)[0].replace("{python}", sys.executable).replace("{shared}", shared)
        if shutil.which(os.path.expanduser(program)) is None:  # noqa: PTH111 - `which` takes text
            problem = f"Profile {profile.name}: there is no command {program!r}."
            raise UserError(
                problem, "Name one that exists, by its full path: --command '/opt/webui/webui.sh --api --port {port}'"
            )


def check_system() -> None:
    """This operating system can run the local edition. Raises `UserError`."""
    if not sys.platform.startswith("linux"):
        raise UserError(f"The local edition runs on Linux, not on {sys.platform}.", "Use a Linux machine or WSL 2.")


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True
