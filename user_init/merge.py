"""Bring what a WebUI wrote before its user came into the user's folder: moved, never overwriting, never deleting.

Each step leaves every file under one of its names, so it may be cut off anywhere and done again. A file of which the
user's folder has an equal copy under that name is not kept twice: that is where a move between filesystems was cut off.
"""

import errno
from dataclasses import dataclass, field
from logging import getLogger

from user_init.beneath import Dir, Kind, same
from user_init.layout import asides, merged

_LOG = getLogger(__name__)
_MAX_DEPTH = 64  # each level holds two descriptors; deeper folders are moved whole under a merged name
_COMPARED_BYTES = 64 * 1024 * 1024  # larger files are rather kept twice than compared while a person waits
_TRIES = 16  # somebody else makes and renames things in these folders at the same time


@dataclass(slots=True)
class Merge:
    """Moves things into a user's folder and remembers in `left` what had to stay where it was."""

    left: list[str] = field(default_factory=list)

    def directory(self, source: Dir, into: Dir, depth: int = 0) -> None:
        """Move all that is in `source`. What fails stays, and is named in `left`."""
        for name in source.names():
            self.entry(source, name, into, name, depth)

    def entry(self, source: Dir, name: str, into: Dir, wanted: str, depth: int = 0) -> None:
        """Move one file, link or directory to `wanted` or its first merged name that is free, or leave it."""
        try:
            self._entry(source, name, into, wanted, depth)
        except OSError as error:
            _LOG.warning("left where it is: %r: %s", name, error.strerror)
            self.left.append(name)

    def _entry(self, source: Dir, name: str, into: Dir, wanted: str, depth: int) -> None:
        for new in merged(wanted):
            there = into.kind(new)
            if there is None:
                try:
                    self._move(source, name, into, new, depth)
                except FileExistsError:
                    there = into.kind(new)
                else:
                    return
            if there is Kind.DIRECTORY and source.kind(name) is Kind.DIRECTORY and depth < _MAX_DEPTH:
                self._into(source, name, into, new, depth)
                return
            if _already_there(source, name, into, new):
                source.unlink(name)
                return
        raise OSError(errno.EEXIST, "all its merged names are taken", wanted)

    def _move(self, source: Dir, name: str, into: Dir, new: str, depth: int) -> None:
        try:
            source.move(name, into, new)
            return
        except OSError as error:
            if error.errno != errno.EXDEV:
                raise
        kind = source.kind(name)
        if kind is Kind.FILE:
            source.move_copy(name, into, new)
        elif kind is Kind.LINK:
            into.symlink(source.readlink(name), new)
            source.unlink(name)
        elif kind is Kind.DIRECTORY and depth < _MAX_DEPTH:
            into.mkdir(new)
            self._into(source, name, into, new, depth)
        else:
            raise OSError(errno.EXDEV, "cannot go to another filesystem", name)

    def _into(self, source: Dir, name: str, into: Dir, new: str, depth: int) -> None:
        with source.child(name) as inner, into.child(new) as target:
            self.directory(inner, target, depth + 1)
        source.rmdir(name)


def move_aside(folder: Dir, name: str, of: str) -> None:
    """Give what is in the way the first free name for what is set aside of `of`. Raises `OSError`."""
    for new in asides(of):
        try:
            if folder.kind(new) is None:
                folder.move(name, folder, new)
            elif _already_there(folder, name, folder, new):
                folder.unlink(name)
            else:
                continue
        except FileExistsError:
            continue
        _LOG.warning("moved aside: %r is now %r", name, new)
        return
    raise OSError(errno.EEXIST, "all names for things set aside are taken", of)


def ensure(root: Dir, path: tuple[str, ...]) -> Dir:
    """Open the directory at `path`, made where it is missing; what is no directory is moved aside. Raises `OSError`."""
    folder = root.again()
    for name in path:
        with folder:
            inner = _ensure_child(folder, name)
        folder = inner
    return folder


def _ensure_child(folder: Dir, name: str) -> Dir:
    for _ in range(_TRIES):
        try:
            return folder.child(name)
        except FileNotFoundError:
            try:
                folder.mkdir(name)
            except FileExistsError:
                continue
        except NotADirectoryError:
            try:
                move_aside(folder, name, name)
            except FileNotFoundError:
                continue
    raise OSError(errno.EBUSY, "does not stay a folder", name)


def _already_there(source: Dir, name: str, into: Dir, new: str) -> bool:
    try:
        return same(source, name, into, new, _COMPARED_BYTES)
    except OSError:
        return False
