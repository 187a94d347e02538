"""`atelier doctor`: what is missing on this machine, and how to mend it."""

import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from allocator.identity.secret import read_secret
from allocator.settings import Settings, split_address
from cli import output, preflight
from cli.gpus import fitted, needing
from cli.output import Finding
from fleet.local.machine import nvidia_gpus
from runtime.errors import UserError


def examine(settings: Settings) -> Iterator[Finding]:
    """Everything that `up` needs, in the order in which it needs it."""
    version = ".".join(str(part) for part in sys.version_info[:3])
    yield Finding("ok", "Python", version)
    yield _tried("system", f"{sys.platform}, {os.cpu_count()} cores", preflight.check_system)
    data = settings.data.expanduser()
    yield _tried("data folder", f"{data} can be written", lambda: preflight.check_data(data))
    yield _key(data / "installation.key")
    yield from _ports(settings)
    yield _tried(
        "WebUIs", ", ".join(profile.webui for profile in settings.profiles), lambda: preflight.check_commands(settings)
    )
    yield _descriptors()
    yield _watches()
    yield _names()
    yield _gpus(settings)


def run(settings: Settings) -> int:
    """Print every finding; the exit code is 1 when one of them is a fault."""
    found = list(examine(settings))
    for each in found:
        output.finding(each)
    faults = sum(each.verdict == "fault" for each in found)
    output.say(f"{faults} to mend." if faults else "Everything that Atelier needs is there.")
    return 1 if faults else 0


def _tried(subject: str, detail: str, check: Callable[[], None]) -> Finding:
    try:
        check()
    except UserError as error:
        return Finding("fault", subject, error.problem, error.remedy)
    return Finding("ok", subject, detail)


def _key(file: Path) -> Finding:
    if not file.exists():
        return Finding("note", "installation key", "none yet", "`atelier up` makes one. Back it up: folders are named by it.")
    return _tried("installation key", f"{file}; keep a backup of it", lambda: _ignore(read_secret(file)))


def _ignore(_: object) -> None:
    return None


def _ports(settings: Settings) -> Iterator[Finding]:
    try:
        preflight.check_ports(settings)
    except UserError as error:
        if _answers(settings.operators):
            yield Finding("note", "ports", f"something listens on {settings.operators}; is Atelier running? `atelier status`")
        else:
            yield Finding("fault", "ports", error.problem, error.remedy)
    else:
        yield Finding("ok", "ports", f"{settings.listen} and {settings.operators} are free")


def _answers(address: str) -> bool:
    try:
        with socket.create_connection(split_address(address), timeout=1.0):
            return True
    except OSError:
        return False


def _descriptors() -> Finding:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < preflight.LEAST_DESCRIPTORS:
        return Finding("fault", "open files", f"the limit is {hard}", f"ulimit -n {preflight.LEAST_DESCRIPTORS} or more")
    return Finding("ok", "open files", f"limit {soft}, may be raised to {hard}")


def _watches() -> Finding:
    file = Path("/proc/sys/fs/inotify/max_user_watches")
    try:
        watches = int(file.read_text())
    except (OSError, ValueError):
        return Finding(
            "note", "file watches", "cannot tell how many are allowed", "New models may need a refresh in the WebUI."
        )
    if watches < 8192:
        return Finding("note", "file watches", f"only {watches} are allowed", "sysctl fs.inotify.max_user_watches=65536")
    return Finding("ok", "file watches", f"{watches} are allowed")


def _names() -> Finding:
    try:
        socket.getaddrinfo("alice.localhost", 80)
    except OSError:
        detail = "NAME.localhost does not resolve for programs; browsers resolve it by themselves"
        return Finding("note", "names", detail, "Scripts: use http://localhost:8000 and the header X-Atelier-Dev-User.")
    return Finding("ok", "names", "NAME.localhost resolves")


def _gpus(settings: Settings) -> Finding:
    names = ", ".join(profile.name for profile in needing(settings))
    gpus = len(nvidia_gpus())
    if gpus:
        return _tried("GPU", f"{gpus}; each WebUI that needs one has one of its own", lambda: _ignore(fitted(settings, gpus)))
    if names:
        return Finding("note", "GPU", "no NVIDIA GPU found", f"The WebUIs of {names} run without, very slowly.")
    return Finding("ok", "GPU", "none is needed")
