"""A disk with users and a WebUI's working folder on it, whose every file has a content of its own, to find it again by."""

import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pytest

from user_init import beneath
from user_init.assignment import Assignment
from user_init.layout import Place, asides, before, merged, places
from user_init.prepare import Prepared, prepare
from webuis.base import Busy, BusyState, Call, Folder, FolderKind, Starts, WebUI

ALICE = "u" + "a" * 40
BOB = "u" + "b" * 40
WHO = Assignment(ALICE, "nonce-1", "https://id.example|alice", "alice@example.com")
REFRESH = Call("POST", "/refresh", {})


def webui(starts: Starts = Starts.BEFORE_ALLOCATION, *folders: Folder) -> WebUI:
    """A description with a folder of each sort."""
    return WebUI(
        name="test",
        title="Test",
        command=("true",),
        starts=starts,
        serving=Call("GET", "/ping"),
        busy=Call("GET", "/busy"),
        read_busy=lambda reply: Busy(BusyState.UNKNOWN),
        pages=(),
        folders=folders
        or (
            Folder(FolderKind.MODELS, "models/Lora", "models/Lora/mine", refresh=(REFRESH,)),
            Folder(FolderKind.OUTPUTS, "outputs", "outputs"),
            Folder(FolderKind.SETTINGS, "settings/config.json", "config.json", is_file=True),
        ),
        settings=Call("POST", "/options", {"from": "description"}),
        settings_file="settings/config.json",
    )


PLACES = places(webui())


@dataclass(frozen=True)
class Disk:
    """`users` and `work` may lie on different filesystems."""

    users: Path
    work: Path
    shared: Path

    @classmethod
    def make(cls, users: Path, work: Path) -> Self:
        disk = cls(users / "users", work / "work", users / "shared")
        for folder in (disk.users, disk.work, disk.shared):
            folder.mkdir(parents=True)
        return disk

    @property
    def home(self) -> Path:
        return self.users / ALICE / "home"

    def prepare(self, plan: tuple[Place, ...] = PLACES) -> Prepared:
        return prepare(plan, str(self.users), str(self.work), WHO, 1_700_000_000.0)

    def all_with(self, content: str) -> list[Path]:
        """The names of a regular file in Alice's home and the working folder; found without following a link."""
        return [path for root in (self.home, self.work) for path in _files(root) if path.read_text() == content]

    def files(self) -> dict[str, Path]:
        """Every regular file by content. No two have the same."""
        found: dict[str, Path] = {}
        for path in (*_files(self.home), *_files(self.work)):
            assert found.setdefault(path.read_text(), path) is path, f"{path} is there twice"
        return found

    def links_in_place(self) -> bool:
        """Whether the WebUI sees the user's folders, and these are real."""
        pairs = (("models/Lora/mine", "models/Lora"), ("outputs", "outputs"), ("config.json", "settings/config.json"))
        real = all(not path.is_symlink() and path.is_dir() for path in (self.home / "outputs", self.home / "models" / "Lora"))
        return real and all((self.work / seen).readlink() == self.home / home for seen, home in pairs)


def _files(root: Path) -> Iterator[Path]:
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names):
            if stat.S_ISREG(path.lstat().st_mode) and not path.name.endswith(".atelier-part"):
                yield path


def write(path: Path, content: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content)
    return path


def documented(name: str) -> set[str]:
    """The names under which something called `name` may be found later."""
    name = name.removesuffix(" (before)")  # whoever plants that name is taken for a run that was cut off
    parked = {name, before(name)} | {aside for aside, _ in zip(asides(name), range(5), strict=False)}
    return parked | {new for one in parked for new, _ in zip(merged(one), range(8), strict=False)}


def snapshot(root: Path) -> dict[str, tuple[int, str]]:
    """All that is below a folder: mode, and content or where a link leads."""
    found = {}
    for path in (root, *root.rglob("*")):
        mode = path.lstat().st_mode
        content = str(path.readlink()) if stat.S_ISLNK(mode) else path.read_text() if stat.S_ISREG(mode) else ""
        found[str(path.relative_to(root))] = (mode, content)
    return found


class Killed(BaseException):
    """The process is gone: no `except OSError`, no `finally` of it does anything more to the disk."""


class DyingOs:
    """`os`, until its n-th call. It waits for no disk: a killed process loses nothing that the kernel has."""

    def __init__(self, calls: int) -> None:
        self.left = calls

    def __getattr__(self, name: str) -> object:
        real = getattr(os, name)
        if not callable(real) or isinstance(real, type) or name in ("fsencode", "close", "strerror"):
            return real
        return self.counted((lambda fd: None) if name == "fsync" else real)

    def counted(self, call: Callable[..., object]) -> Callable[..., object]:
        def counted(*args: object, **kwargs: object) -> object:
            if self.left <= 0:
                raise Killed
            self.left -= 1
            return call(*args, **kwargs)

        return counted


def die_after(patch: pytest.MonkeyPatch, calls: int) -> DyingOs:
    """Let all that touches the disk stop dead after so many calls, in the middle of a copy too."""
    dying = DyingOs(calls)
    patch.setattr(beneath, "os", dying)
    patch.setattr(beneath, "_COPY_CHUNK", 4)
    patch.setattr(beneath, "_renameat2", dying.counted(beneath._renameat2))
    return dying


def without_renameat2(patch: pytest.MonkeyPatch) -> None:
    """A filesystem like NFS, whose rename knows no flags."""
    patch.setattr(beneath, "_renameat2", lambda from_fd, name, to_fd, new, flags: False)
