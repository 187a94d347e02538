"""Settings from the command's flags, and the local Fleets from settings: data in, data out."""

import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, TypedDict

import yaml

from allocator.settings import Profile, Settings, load, read
from fleet.local.template import Container, FleetSpec, fill
from runtime.errors import UserError
from webuis import registry
from webuis.base import Starts

DEFAULT_WARM = 1
LAUNCHER = Path(str(getattr(find_spec("sidecar.launcher"), "origin", "")))
"""A file for the WebUI's own Python to run, never imported here."""
CHANGES: tuple[Literal["webui", "command", "size", "warm", "idle_timeout"], ...] = (
    "webui",
    "command",
    "size",
    "warm",
    "idle_timeout",
)
"""What a flag can change in a profile."""


class Place(TypedDict):
    """Which Atelier a command is about."""

    settings_file: Path | None
    data: Path | None
    port: int | None


class Flags(Place):
    """All that a command line can say about settings; None where it says nothing."""

    profile_file: Path | None
    webui: str | None
    command: str | None
    size: int | None
    warm: int | None
    idle_timeout: str | None


def settings_at(place: Place) -> Settings:
    """The settings of an Atelier that runs already. Raises `UserError`."""
    nothing: Flags = {
        **place,
        "profile_file": None,
        "webui": None,
        "command": None,
        "size": None,
        "warm": None,
        "idle_timeout": None,
    }
    return settings_from_flags(nothing)


def settings_from_flags(flags: Flags) -> Settings:
    """What `atelier up` shall do. Raises `UserError`."""
    values: dict[str, object] = {"data": flags["data"]}
    if (port := flags["port"]) is not None:
        values |= {"listen": f"localhost:{port}", "operators": f"127.0.0.1:{port + 1}"}
    given: dict[str, object] = {name: value for name in CHANGES if (value := flags[name]) is not None}
    profiles = _written_profiles(flags)
    if profiles is None:
        values["profiles"] = [_only_profile(given)]
    elif "webui" in given or "command" in given:
        raise UserError("--webui and --command describe a profile, and the file describes its own.", "Use either.")
    else:
        values["profiles"] = [{**profile, **given} if isinstance(profile, dict) else profile for profile in profiles]
    return load(flags["settings_file"], flags=values)


def _written_profiles(flags: Flags) -> list[object] | None:
    """The profiles of the profile file, else of the settings file; None where neither has any."""
    if (file := flags["profile_file"]) is not None:
        return _profiles(file)
    written = read(flags["settings_file"]).get("profiles") if flags["settings_file"] is not None else None
    return written if written is None or isinstance(written, list) else [written]


def _only_profile(given: dict[str, object]) -> dict[str, object]:
    """One profile, named after its WebUI; with a size alone, not more of them are warm than there may be."""
    name = str(given.get("webui", "easel"))
    title = registry.get(name).title if name in registry.NAMES else name
    fitting = {"warm": min(size, DEFAULT_WARM)} if isinstance(size := given.get("size"), int) and size > 0 else {}
    return {"name": name, "title": title, **fitting, **given}


def _profiles(file: Path) -> list[object]:
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read the profile file {file}: {error.strerror}.", "Check its path and rights.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(f"The profile file {file} is not YAML: {' '.join(str(error).split())}.", "Correct that line.") from None
    profiles = content.get("profiles") if isinstance(content, dict) and "profiles" in content else content
    profiles = [profiles] if isinstance(profiles, dict) else profiles
    if not isinstance(profiles, list) or not all(isinstance(profile, dict) for profile in profiles):
        raise UserError(f"The profile file {file} holds no profiles.", "Write a list of mappings, each with a `name`.")
    return profiles


def webui_command(profile: Profile) -> tuple[str, ...]:
    """The start command with its placeholders: the profile's own, or its description's. Raises `UserError`."""
    if not profile.command:
        return registry.get(profile.webui).command
    try:
        words = tuple(shlex.split(profile.command))
    except ValueError as error:
        raise UserError(f"The command {profile.command!r} cannot be read: {error}.", "Check its quotes.") from None
    if not words:
        raise UserError(
            "The command is empty.", "Say how the WebUI starts, such as --command './webui.sh --api --port {port}'."
        )
    return words


def fleet_spec(profile: Profile, settings: Settings) -> FleetSpec:
    """The processes of this profile's GameServers, as a pod template. Raises `UserError`."""
    webui = registry.get(profile.webui)
    data = settings.data.expanduser()
    ours = {
        "ATELIER_WEBUI": profile.webui,
        "ATELIER_USERS": str(data / "users"),
        "ATELIER_SHARED": str(data / "shared"),
        "ATELIER_STARTUP_DEADLINE": f"{profile.startup_deadline:g}",
    }
    # -P: a file in a working folder, which is the user's, is never taken for a module of ours.
    python = (sys.executable, "-P")
    launcher = (*python, str(LAUNCHER), "--socket", "{socket}", f"--stop-seconds={webui.stop_seconds:g}")
    waiting = ("--wait",) if webui.starts is Starts.AFTER_ALLOCATION else ()
    known = {"python": sys.executable, "shared": ours["ATELIER_SHARED"]}
    command = tuple(fill(word, known) for word in webui_command(profile))
    return FleetSpec(
        name=profile.fleet,
        replicas=profile.warm,
        gpu=webui.needs_gpu,
        containers=(
            Container("user-init", (*python, "-m", "user_init"), ours, cwd="{folder}", restart=True),
            Container("sidecar", (*python, "-m", "sidecar"), ours, cwd="{folder}", restart=True),
            Container(
                "webui", (*launcher, *waiting, "--", *command), {name: fill(text, known) for name, text in webui.env.items()}
            ),
        ),
        grace_seconds=webui.stop_seconds + 2.0,
    )
