"""The allocator's settings: one YAML file, the environment (ATELIER_...), and flags, in rising order of precedence.

A bad value names the field, the value and what is allowed.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
)

from runtime.errors import UserError
from webuis.registry import NAMES

ENV_PREFIX = "ATELIER_"
MIN_IDLE_ENV = "ATELIER_TEST_MIN_IDLE"
"""Tests lower the shortest idle time-out with it; nobody else should."""
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


def parse_duration(value: object) -> float:
    """Seconds from a number or from text such as `90s`, `30m`, `1h30m`. Raises `ValueError`."""
    if isinstance(value, bool):
        raise ValueError("a duration such as 30m")  # noqa: TRY004 - pydantic turns ValueError into its own error
    if isinstance(value, int | float):
        return float(value)
    text = str(value).strip().lower()
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    parts = re.findall(r"(\d+(?:\.\d+)?)([smhd])", text)
    if not parts or "".join(number + unit for number, unit in parts) != text:
        raise ValueError("a duration such as 90s, 30m or 1h30m is needed")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def _above_zero(value: float) -> float:
    if value <= 0:
        raise ValueError("more than 0 seconds is needed")
    return value


def split_address(address: str) -> tuple[str, int]:
    """Host and port of `host:port`; an IPv6 host stands in brackets. Raises `ValueError`."""
    host, colon, port = address.rpartition(":")
    if not host or not colon or not port.isascii() or not port.isdigit() or not 0 < int(port) < 65536:
        raise ValueError("host:port with a port from 1 to 65535 is needed")
    return host.strip("[]"), int(port)


def bind_hosts(host: str) -> tuple[str, ...]:
    """The addresses to bind for a host: `localhost` is both loopback ones, of which a machine may lack the second."""
    return ("127.0.0.1", "::1") if host == "localhost" else (host,)


Duration = Annotated[float, BeforeValidator(parse_duration), Field(ge=0, le=30 * 86400)]
"""Seconds."""
Span = Annotated[Duration, AfterValidator(_above_zero)]
"""A duration of which 0 would make no sense."""
Name = Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Profile(_Strict):
    """What a user can ask for: a WebUI, the Fleet that holds it, its time-outs and limits. Durations are in seconds."""

    name: Name
    title: str = ""
    description: str = ""
    webui: str = "easel"
    command: str = ""
    """Instead of the description's start command; {port} {work} {shared} {python} are filled in."""
    size: Annotated[int, Field(ge=1, le=1000)] = 4
    """At most so many GameServers."""
    warm: Annotated[int, Field(ge=0, le=1000)] = 1
    """So many Ready ones are kept waiting for the next user."""
    idle_timeout: Span = 1800.0
    warning: Span = 120.0
    """So long before the release the user is told; never more than half of `idle_timeout`."""
    busy_limit: Span = 86400.0
    """A WebUI that says busy for so long, with nobody there, is released all the same."""
    unknown_limit: Span = 7200.0
    """The same for a WebUI that does not say whether it is busy."""
    max_age: Duration = 0.0
    """A session ends after so long, whatever happens in it; 0: never."""
    startup_deadline: Span = 900.0
    """A GameServer that is not Ready by then is replaced."""
    priority: int = 0

    @field_validator("webui")
    @classmethod
    def _known(cls, value: str) -> str:
        if value not in NAMES:
            raise ValueError(f"one of {', '.join(NAMES)} is needed")
        return value

    @field_validator("idle_timeout")
    @classmethod
    def _not_too_short(cls, value: float) -> float:
        least = float(os.environ.get(MIN_IDLE_ENV, "300"))
        if value < least:
            raise ValueError(f"at least {least:g}s is needed: below that a pause for thought would cost the session")
        return value

    @field_validator("warm")
    @classmethod
    def _within_size(cls, value: int, info: ValidationInfo) -> int:
        size = info.data.get("size")
        if isinstance(size, int) and value > size:
            raise ValueError(f"at most size ({size}) is needed")
        return value

    @property
    def fleet(self) -> str:
        """The name of the Fleet that holds this profile's GameServers."""
        return self.name

    @property
    def activity_resolution(self) -> float:
        """Activity is written at most so often: once a minute, finer when the idle time-out is short."""
        return min(60.0, self.idle_timeout / 5)

    @property
    def warning_seconds(self) -> float:
        return min(self.warning, self.idle_timeout / 2)


class Settings(_Strict):
    """Everything that can be set. Addresses are `host:port`."""

    listen: str = "localhost:8000"
    """Where browsers connect. `localhost` means both 127.0.0.1 and ::1 where there is one."""
    operators: str = "127.0.0.1:8001"
    data: Annotated[Path, Field(validate_default=True)] = Path("~/atelier")
    identity: Literal["dev"] = "dev"
    profiles: Annotated[tuple[Profile, ...], Field(min_length=1)] = (Profile(name="easel", title="Easel (demo)"),)
    queue_lapse: Span = 90.0
    """A place in the queue lapses when its page has been gone for so long."""
    ended_lifetime: Duration = 600.0
    """For so long the released page can say why."""
    stall_timeout: Span = 120.0
    """A browser that sends no byte of a body, or takes none of a reply, for so long is cut off."""
    log_level: Literal["debug", "info", "warning", "error"] = "warning"

    @field_validator("data")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        try:
            return value.expanduser().absolute()  # the processes that are told of it work in folders of their own
        except RuntimeError:
            raise ValueError("a folder is needed, and there is no such user's home") from None

    @field_validator("listen", "operators")
    @classmethod
    def _is_address(cls, value: str) -> str:
        split_address(value)
        return value

    @field_validator("profiles")
    @classmethod
    def _distinct(cls, value: tuple[Profile, ...]) -> tuple[Profile, ...]:
        names = [profile.name for profile in value]
        if len(set(names)) != len(names):
            raise ValueError("every profile needs a name of its own")
        return value

    def profile(self, name: str) -> Profile | None:
        """The profile of that name; the first one for an empty name."""
        if not name:
            return self.profiles[0]
        return next((profile for profile in self.profiles if profile.name == name), None)


def load(
    file: Path | None = None, environ: Mapping[str, str] = os.environ, flags: Mapping[str, object] | None = None
) -> Settings:
    """Settings from the file, then the environment, then flags that are not None. Raises `UserError`."""
    values: dict[str, object] = {}
    if file is not None:
        values.update(read(file))
    for name in Settings.model_fields:
        if name != "profiles" and (text := environ.get(ENV_PREFIX + name.upper())) is not None:
            values[name] = text
    values.update({name: value for name, value in (flags or {}).items() if value is not None})
    try:
        return Settings.model_validate(values)
    except ValidationError as error:
        raise UserError(_explain(error, file), "Correct it and start again.") from None


def read(file: Path) -> dict[str, object]:
    """The settings file as it is written, not yet judged. Raises `UserError`."""
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UserError(f"Cannot read the settings file {file}: {error.strerror}.", "Check its path and rights.") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise UserError(
            f"The settings file {file} is not YAML: {' '.join(str(error).split())}.", "Correct that line."
        ) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise UserError(
            f"The settings file {file} is a {type(content).__name__}.",
            "It must be a mapping, such as `listen: localhost:8000`.",
        )
    return {str(name): value for name, value in content.items()}


def _explain(error: ValidationError, file: Path | None) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Value error, ")
    source = f" in {file}" if file else ""
    if first["type"] == "extra_forbidden":
        return f"Unknown setting {where}{source}."
    given = str(first["input"]) if isinstance(first["input"], Path) else first["input"]
    return f"Setting {where}{source}: {given!r} is not allowed, {message}."
