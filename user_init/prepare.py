"""Make the user's folders, and make the WebUI see them. Blocking: for a thread. Safe to repeat, and to be killed anywhere.

A link takes the place of what the WebUI has made there in one instant, so that a WebUI that is just writing never finds
nothing; only then is what lay there moved into the user's folder. An earlier run that was cut off is finished first.
"""

import json
from contextlib import suppress
from dataclasses import dataclass
from logging import getLogger

from user_init.assignment import Assignment
from user_init.beneath import Dir, Kind
from user_init.layout import HOME, META, Place, components, link_target, shared_link
from user_init.links import Link, show
from user_init.merge import Merge, ensure, move_aside
from webuis.base import Folder

_LOG = getLogger(__name__)
_LAYOUT_VERSION = 1
_MAX_META = 64 * 1024
_MAX_SETTINGS = 256 * 1024


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was found. `filled` are the folders with something in them, `left` the names that could not be moved."""

    filled: tuple[Folder, ...]
    left: tuple[str, ...]


def share_models(places: tuple[Place, ...], work: str, shared: str) -> None:
    """Let the WebUI see the shared models, before it has a user. Raises `OSError`."""
    with Dir.at(work) as root:
        for place in places:
            match shared_link(place):
                case (*parents, name), models:
                    with ensure(root, tuple(parents)) as parent:
                        show(Link(parent, name, f"{shared}/{models}"), Merge())


def prepare(places: tuple[Place, ...], users: str, work: str, who: Assignment, now: float) -> Prepared:
    """Make what is missing of the user's folders and link each into place. `now` is in epoch seconds. Raises `OSError`."""
    merge = Merge()
    with Dir.at(users) as root, _open_user(root, who.key) as user, Dir.at(work) as working, ensure(user, (HOME,)) as home:
        _introduce(user, who, now)
        filled = [place.folder for place in places if _put(place, home, working, link_target(users, who.key, place), merge)]
    return Prepared(tuple(filled), tuple(merge.left))


def read_settings(users: str, key: str, file: str) -> bytes | None:
    """The user's settings file; None when there is none. Raises `OSError` for anything but a small regular file."""
    *parents, name = components(file)
    try:
        with Dir.at(users) as root, root.child(key) as user:
            folder = user.child(HOME)
            for parent in parents:
                with folder:
                    inner = folder.child(parent)
                folder = inner
            with folder:
                return folder.read(name, _MAX_SETTINGS)
    except FileNotFoundError:
        return None


def _open_user(root: Dir, key: str) -> Dir:
    with suppress(FileExistsError):
        root.mkdir(key)
    return root.child(key)  # a link here would be an operator's work: an error that they read, nothing to move aside


def _introduce(user: Dir, who: Assignment, now: float) -> None:
    """Write down whose folder it is, once. What is there is never replaced: a mismatch is for a person to look at."""
    meta = {"version": _LAYOUT_VERSION, "key": who.key, "identity": who.identity, "email": who.email, "created": now}
    with suppress(FileExistsError):
        if user.kind(META) is None:
            user.write_new(META, json.dumps(meta, indent=2).encode() + b"\n")
            return
    try:
        known = json.loads(user.read(META, _MAX_META))
        owner = known["identity"], known["key"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        _LOG.warning("%s of user %s cannot be read, and is kept: %s", META, who.key, error)
        return
    if owner != (who.identity, who.key):
        _LOG.warning("%s of user %s names somebody else than the allocation does, and is kept", META, who.key)


def _put(place: Place, home: Dir, work: Dir, target: str, merge: Merge) -> bool:
    """Make one folder and its link. Whether there is something in it."""
    *parents, name = place.seen
    with ensure(work, tuple(parents)) as parent:
        if not place.folder.is_file:
            with ensure(home, place.home) as into:
                show(Link(parent, name, target, into), merge)
                return bool(into.names())
        file = place.home[-1]
        with ensure(home, place.home[:-1]) as into:
            if into.kind(file) not in (None, Kind.FILE):
                move_aside(into, file, file)
            show(Link(parent, name, target, into, file), merge)
            return into.kind(file) is not None
