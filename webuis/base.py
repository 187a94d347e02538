"""What Atelier has to know of a WebUI: one `WebUI` a file, read by the sidecar, user_init, the gateway and the fleet."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Starts(StrEnum):
    """When the launcher may start the process."""

    BEFORE_ALLOCATION = "before"
    """Warm: it is up and its model is loaded when a user comes."""
    AFTER_ALLOCATION = "after"
    """It needs the user's folder first: its database is the user's."""


class FolderKind(StrEnum):
    MODELS = "models"
    OUTPUTS = "outputs"
    INPUTS = "inputs"
    SETTINGS = "settings"


class BusyState(StrEnum):
    BUSY = "busy"
    IDLE = "idle"
    UNKNOWN = "unknown"
    """The WebUI did not say. Never read as idle."""


@dataclass(frozen=True, slots=True)
class Busy:
    """What the WebUI says of itself. `job` is what it names the running work, for people."""

    state: BusyState
    job: str = ""


@dataclass(frozen=True, slots=True)
class Call:
    """An HTTP request to the WebUI. A probe succeeds on status 200 alone."""

    method: str
    path: str
    payload: object = None


@dataclass(frozen=True, slots=True)
class Folder:
    """A folder (or, with `is_file`, one file) of the user's, and where the WebUI looks for it.

    `home` is relative to the user's home, `seen` to the WebUI's working folder: user_init makes `seen` a link to it.
    `refresh` are the calls that make the WebUI read the folder anew.
    """

    kind: FolderKind
    home: str
    seen: str
    is_file: bool = False
    refresh: tuple[Call, ...] = ()


@dataclass(frozen=True, slots=True)
class PersonRequest:
    """A request that only a person (or their script) causes, never a page by itself. `kind`: generation, upload, edit."""

    method: str
    path: re.Pattern[str]
    kind: str


@dataclass(frozen=True, slots=True)
class WebUI:
    """A WebUI, described. Paths in `command` and `env` may use {python} {port} {work} {shared}."""

    name: str
    title: str
    command: tuple[str, ...]
    starts: Starts
    serving: Call
    """200 means that the interface is complete."""
    busy: Call
    read_busy: Callable[[object], Busy]
    """From the JSON of `busy`'s reply to what it means; anything unexpected is UNKNOWN."""
    pages: tuple[re.Pattern[str], ...]
    """Paths of its top-level pages: a navigation to one of them opens the desk."""
    folders: tuple[Folder, ...]
    person_requests: tuple[PersonRequest, ...] = ()
    model_loaded: Call | None = None
    read_model_loaded: Callable[[object], bool] | None = None
    """None: a WebUI that serves has its model."""
    settings: Call | None = None
    """The call that applies settings at run time; its payload is merged from the user's settings file."""
    settings_file: str = ""
    """The user's settings, relative to the home; JSON."""
    interrupt: Call | None = None
    needs_gpu: bool = True
    """Whether each needs a GPU of its own, where the machine has any."""
    restart_reads_settings: bool = True
    env: Mapping[str, str] = field(default_factory=dict)
    stop_seconds: float = 5.0
    """How long it may take to end after SIGTERM."""
    typical_start_seconds: float = 60.0
    """Shown to a waiting person until there is a measurement."""

    def is_page(self, path: str) -> bool:
        """Whether a top-level navigation to `path` (without query) shows one of its pages."""
        return any(page.fullmatch(path) for page in self.pages)

    def person_request(self, method: str, path: str) -> str:
        """The kind of a request that only a person causes, or an empty string."""
        for request in self.person_requests:
            if request.method == method and request.path.fullmatch(path):
                return request.kind
        return ""
