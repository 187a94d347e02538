"""Easel's files. Every path is resolved when it is used: at the allocation a folder becomes a link to the user's own."""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from PIL import Image

IMAGES = frozenset({".png", ".jpg", ".jpeg", ".webp"})
CHECKPOINTS = frozenset({".safetensors", ".ckpt"})


@dataclass(frozen=True, slots=True)
class Picture:
    """An image in the outputs. `path` is relative to the data folder, `modified` in seconds since the epoch."""

    path: str
    modified: float
    parameters: str


class DataFolder:
    """The folder that holds `outputs` and `settings`."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def save_image(self, kind: str, content: bytes, seed: int, now: float) -> str:
        """Write a PNG as the next number of today's folder, safely on disk when this returns, and return its path."""
        day = datetime.fromtimestamp(now, UTC).date().isoformat()
        folder = Path("outputs", f"{kind}-images", day)
        (self._root / folder).mkdir(parents=True, exist_ok=True)
        taken = [int(found[1]) for file in (self._root / folder).iterdir() if (found := re.match(r"(\d{5,9})-", file.name))]
        name = f"{max(taken, default=-1) + 1:05d}-{seed}.png"
        _write(self._root / folder, name, content)
        return str(folder / name)

    def pictures(self, offset: int, limit: int) -> tuple[list[Picture], int]:
        """So many of the images in the outputs, newest first, and how many there are in all."""
        found = sorted(self._images(), reverse=True)
        shown = [Picture(path, modified, self._parameters(path)) for modified, path in found[offset : offset + limit]]
        return shown, len(found)

    def image(self, path: str) -> Path | None:
        """The file behind a picture's path; none when there is none, or when it lies outside the outputs."""
        try:
            outputs = (self._root / "outputs").resolve()
            file = (self._root / path).resolve()
            shown = file.is_relative_to(outputs) and file.suffix.lower() in IMAGES and file.is_file()
        except (OSError, ValueError, RuntimeError):  # too long a name, a NUL in it, links in a circle
            return None
        return file if shown else None

    def read_options(self) -> dict[str, object]:
        """The saved settings; none where there are none, or where they cannot be read."""
        try:
            options = json.loads((self._root / "settings" / "config.json").read_bytes())
        except (OSError, ValueError):
            return {}
        return options if isinstance(options, dict) else {}

    def write_options(self, options: dict[str, object]) -> None:
        folder = self._root / "settings"
        folder.mkdir(parents=True, exist_ok=True)
        _write(folder, "config.json", json.dumps(options, indent=4).encode())

    def _images(self) -> Iterator[tuple[float, str]]:
        for folder, _, names in os.walk(self._root / "outputs"):
            for name in names:
                file = Path(folder, name)
                if file.suffix.lower() in IMAGES and not name.startswith(".") and file.is_file():
                    yield file.stat().st_mtime, str(file.relative_to(self._root))

    def _parameters(self, path: str) -> str:
        try:
            with Image.open(self._root / path) as image:
                return str(image.info.get("parameters", ""))
        except (OSError, SyntaxError, ValueError):
            return ""


def checkpoints(models: Path) -> list[tuple[str, Path]]:
    """Name and file of each model below `models/Stable-diffusion`, through links, each folder once."""
    root = models / "Stable-diffusion"
    found: list[tuple[str, Path]] = []
    seen: set[Path] = set()
    for folder, folders, names in os.walk(root, followlinks=True):
        real = Path(folder).resolve()
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        files = [Path(folder, name) for name in names if not name.startswith(".")]
        found += [(str(file.relative_to(root)), file) for file in files if file.suffix.lower() in CHECKPOINTS]
    return sorted(found)


def _write(folder: Path, name: str, content: bytes) -> None:
    """Write a file whole or not at all. The folder is held open, so it stays the same one when its path becomes a link."""
    hidden = f".{name}.part"
    directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        file = os.open(hidden, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o644, dir_fd=directory)
        with os.fdopen(file, "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        os.rename(hidden, name, src_dir_fd=directory, dst_dir_fd=directory)
        os.fsync(directory)
    finally:
        os.close(directory)
