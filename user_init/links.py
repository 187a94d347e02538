"""Put a link where a WebUI looks for a folder, whatever is there, without a moment in which it would find nothing."""

import errno
from contextlib import suppress
from dataclasses import dataclass

from user_init.beneath import Dir, Kind
from user_init.layout import before
from user_init.merge import Merge, move_aside

_TRIES = 8  # the WebUI makes folders at the same time


@dataclass(frozen=True, slots=True)
class Link:
    """`name` in `parent` shall lead to `target`. What is there now goes into the open folder `into`, or is moved aside.

    With `file`, it is a file's link, and a file that is there goes into the folder under that name.
    """

    parent: Dir
    name: str
    target: str
    into: Dir | None = None
    file: str = ""

    @property
    def parked(self) -> str:
        """Where what was there lies until it is moved. A run that was cut off leaves it there for the next."""
        return before(self.name)

    def is_at(self, name: str) -> bool:
        return self.parent.kind(name) is Kind.LINK and self.parent.readlink(name) == self.target


def show(link: Link, merge: Merge) -> None:
    """Make the link. Raises `OSError`."""
    for _ in range(_TRIES):
        _settle(link, merge)
        if link.is_at(link.name):
            return
        with suppress(FileExistsError, FileNotFoundError):  # the WebUI was faster: look again
            if link.parent.kind(link.name) is None:
                link.parent.symlink(link.target, link.name)
            else:
                _swap(link)
    raise OSError(errno.EBUSY, "does not stay a link", link.name)


def _swap(link: Link) -> None:
    parent = link.parent
    parent.symlink(link.target, link.parked)
    if not parent.exchange(link.parked, link.name):
        parent.unlink(link.parked)
        parent.move(link.name, parent, link.parked)
        parent.symlink(link.target, link.name)


def _settle(link: Link, merge: Merge) -> None:
    """Find a place for what is parked."""
    parent, parked = link.parent, link.parked
    if link.is_at(parked):
        parent.unlink(parked)
        return
    kind = parent.kind(parked)
    if link.into is not None and kind is Kind.DIRECTORY and not link.file:
        with parent.child(parked) as folder:
            merge.directory(folder, link.into)
        with suppress(OSError):  # not empty: something had to stay in it
            parent.rmdir(parked)
    elif link.into is not None and kind is Kind.FILE and link.file:
        merge.entry(parent, parked, link.into, link.file)
    if parent.kind(parked) is not None:
        move_aside(parent, parked, link.name)
