"""A GameServer's folder, and what becomes of it. Blocking calls: run them in a thread.

Nothing that a WebUI wrote is ever deleted, and no link is ever followed: what is behind a link is a user's.
"""

import logging
import os
import shutil
from contextlib import suppress
from pathlib import Path

log = logging.getLogger(__name__)
KEPT_LOGS = 10
"""The logs of so many ended GameServers are kept."""
_TAIL_BYTES = 16 * 1024


def create(run: Path, name: str) -> Path:
    """`run/gameservers/<name>` with `work`, `logs` and `tmp`, for the owner alone. Raises `OSError`."""
    folder = run / "gameservers" / name
    folder.mkdir(mode=0o700, parents=True)
    for part in ("work", "logs", "tmp"):
        (folder / part).mkdir(mode=0o700)
    return folder


def clear(run: Path, name: str) -> None:
    """Put the folder of a GameServer without processes away.

    Logs go to `run/logs/<name>`; files left in `work`, which belong to nobody, to `run/leftovers/<name>`. Links and
    empty folders go, and `tmp` with all that is in it. What cannot be moved stays where it is.
    """
    folder = run / "gameservers" / name
    try:
        _prune(folder / "work")
        _move(folder / "work", run / "leftovers" / name)
        _move(folder / "logs", run / "logs" / name)
        _keep_newest(run / "logs", KEPT_LOGS)
        if (folder / "tmp").is_dir() and not (folder / "tmp").is_symlink():
            shutil.rmtree(folder / "tmp")
        _prune(folder)
    except OSError as error:
        log.warning("the folder of %s stays at %s: %s", name, folder, error)


def clear_all(run: Path) -> None:
    """Put away what a command that was killed has left behind."""
    with suppress(FileNotFoundError):
        for folder in sorted((run / "gameservers").iterdir()):
            clear(run, folder.name)


def tail(path: Path, lines: int) -> tuple[str, ...]:
    """The last lines of a log; none when it cannot be read."""
    try:
        with path.open("rb") as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - _TAIL_BYTES))
            return tuple(file.read().decode(errors="replace").splitlines()[-lines:])
    except OSError:
        return ()


def _prune(folder: Path) -> None:
    """Remove links, sockets and pipes, and then the folders that are empty, `folder` included; never a regular file."""
    for parent, folders, files in os.walk(folder, topdown=False, followlinks=False):
        unwanted = [Path(parent, name) for name in files if Path(parent, name).is_symlink() or not Path(parent, name).is_file()]
        links = [Path(parent, name) for name in folders if Path(parent, name).is_symlink()]
        for path in unwanted + links:
            path.unlink()
        with suppress(OSError):
            Path(parent).rmdir()


def _move(source: Path, target: Path) -> None:
    if source.is_dir() and not source.is_symlink():
        target.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        source.rename(target)


def _keep_newest(folder: Path, count: int) -> None:
    if folder.is_dir():
        newest = sorted((path for path in folder.iterdir()), key=lambda path: path.stat().st_mtime, reverse=True)
        for path in newest[count:]:
            shutil.rmtree(path)
