"""What goes where: pure functions from a WebUI's description to names. No I/O.

    users/<key>/meta.json      who it is
    users/<key>/home/...       what the WebUI sees; Folder.home is a path in it
    <work>/<Folder.seen>       a link to users/<key>/home/<Folder.home>
    <work>/models/X/shared     a link to shared/models/X, beside the user's own; there before the allocation

Names that user_init gives to what it finds in its way, so that nothing is ever overwritten or lost:

    image (2).png              the second file of that name in the user's folder; then (3), ...
    outputs (before)           what the WebUI wrote at `outputs` before its user came, while it is moved to the user's folder
    outputs (aside)            what cannot be there or be moved: a link or a file where a folder belongs; then (aside 2), ...
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations, count, islice
from pathlib import PurePosixPath

from webuis.base import Folder, FolderKind, WebUI

META = "meta.json"
HOME = "home"
SHARED = "shared"
_NAME_BYTES = 255  # NAME_MAX of every filesystem in use
_SUFFIX_BYTES = 32
_NUMBERS = 9999


@dataclass(frozen=True, slots=True)
class Place:
    """A `Folder` with its paths as components: `home` from the user's home, `seen` from the working folder."""

    folder: Folder
    home: tuple[str, ...]
    seen: tuple[str, ...]


def places(webui: WebUI) -> tuple[Place, ...]:
    """The description's folders. Raises `ValueError` when a path leaves its root or two folders are seen in one place."""
    found = tuple(Place(folder, components(folder.home), components(folder.seen)) for folder in webui.folders)
    for one, other in combinations(found, 2):
        depth = min(len(one.seen), len(other.seen))
        if one.seen[:depth] == other.seen[:depth]:
            raise ValueError(f"{webui.name}: {one.folder.seen!r} and {other.folder.seen!r} are seen in one place")
    return found


def components(path: str) -> tuple[str, ...]:
    """A relative path's components. Raises `ValueError` for an absolute or empty one and for `..`."""
    parts = PurePosixPath(path).parts
    if not parts or path.startswith("/") or ".." in parts or "\0" in path:
        raise ValueError(f"{path!r} is no path inside a folder")
    return parts


def link_target(users: str, key: str, place: Place) -> str:
    """Where the link at `place.seen` leads."""
    return str(PurePosixPath(users, key, HOME, *place.home))


def shared_link(place: Place) -> tuple[tuple[str, ...], str] | None:
    """Where a warm WebUI sees the shared models of a kind, and their path in `shared/`; None for what is not models."""
    if place.folder.kind is not FolderKind.MODELS or place.folder.is_file or place.seen[-1] == SHARED:
        return None
    return (*place.seen[:-1], SHARED), str(PurePosixPath(*place.home))


def before(name: str) -> str:
    return _with(name, " (before)", "")


def asides(name: str) -> Iterator[str]:
    yield _with(name, " (aside)", "")
    yield from (_with(name, f" (aside {number})", "") for number in range(2, _NUMBERS))


def merged(name: str) -> Iterator[str]:
    """The names that a file may get, the wanted one first."""
    suffix = PurePosixPath(name).suffix
    if len(os.fsencode(suffix)) > _SUFFIX_BYTES:
        suffix = ""
    stem = name.removesuffix(suffix)
    yield name
    yield from (_with(stem, f" ({number})", suffix) for number in islice(count(2), _NUMBERS))


def _with(stem: str, mark: str, suffix: str) -> str:
    while len(os.fsencode(stem + mark + suffix)) > _NAME_BYTES:
        stem = stem[:-1]
    return stem + mark + suffix
