"""Settings from the command's flags, and the local Fleets from settings: data in, data out."""

import shlex
from pathlib import Path

import yaml

from allocator.settings import Profile, Settings, load
from runtime.errors import UserError
from webuis import registry


def settings_from_flags(
    *,
    settings_file: Path | None,
    profile_file: Path | None,
    webui: str | None,
    command: str | None,
    port: int | None,
    data: Path | None,
    size: int | None,
    warm: int | None,
    idle_timeout: str | None,
) -> Settings:
    """What `atelier up` shall do. Raises `UserError`."""
    flags: dict[str, object] = {"data": data}
    if port is not None:
        flags |= {"listen": f"localhost:{port}", "operators": f"127.0.0.1:{port + 1}"}
    changes = {"webui": webui, "command": command, "size": size, "warm": warm, "idle_timeout": idle_timeout}
    given = {name: value for name, value in changes.items() if value is not None}
    if profile_file is not None:
        if webui is not None or command is not None:
            raise UserError("--webui and --command describe one profile, --profile-file several.", "Use either.")
        flags["profiles"] = [{**profile, **given} for profile in _profiles(profile_file)]
    elif given or settings_file is None:
        name = webui or "easel"
        title = registry.get(name).title if name in registry.NAMES else name
        only = {"name": name, "title": title, **given}
        if "warm" not in only and size is not None:
            only["warm"] = min(size, int(Profile.model_fields["warm"].default))
        flags["profiles"] = [only]
    return load(settings_file, flags=flags)


def _profiles(file: Path) -> list[dict[str, object]]:
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
