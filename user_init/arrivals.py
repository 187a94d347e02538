"""A model that has finished arriving in the user's folders: a file closed after writing, or renamed into place.

inotify tells it, through watchdog; so it is not told what another machine writes to network storage. A copy that is still being
written tells nothing. A new folder counts too: what was closed in it before it was watched could not be told.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager, suppress
from functools import partial

from watchdog.events import (
    DirCreatedEvent,
    DirMovedEvent,
    FileClosedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers.inotify import InotifyObserver

from runtime.clock import Clock
from user_init.threads import in_thread

QUIET_SECONDS = 1.0
"""What arrives together is told together: when nothing more has arrived for so long,"""
PATIENCE_SECONDS = 10.0
"""or after this long, when things arrive all the time."""
_ARRIVALS = [FileClosedEvent, FileMovedEvent, DirMovedEvent, DirCreatedEvent]


class Arrivals:
    """Of the watched folders, those in which something arrived."""

    def __init__(self) -> None:
        self._folders: set[str] = set()
        self._something = asyncio.Event()

    def add(self, folder: str) -> None:
        self._folders.add(folder)
        self._something.set()

    async def next(self, clock: Clock) -> frozenset[str]:
        """The folders in which something arrived since the last call, once it is quiet again."""
        await self._something.wait()
        patient_until = clock.monotonic() + PATIENCE_SECONDS
        while self._something.is_set() and clock.monotonic() < patient_until:
            self._something.clear()
            await clock.sleep(QUIET_SECONDS)
        self._something.clear()
        folders = frozenset(self._folders)
        self._folders.clear()
        return folders


@asynccontextmanager
async def watching(folders: Iterable[str]) -> AsyncIterator[Arrivals]:
    """Watch these folders and all in them, without following a link. Raises `OSError` when inotify has no room for them."""
    arrivals = Arrivals()
    loop = asyncio.get_running_loop()
    handlers = {folder: _Handler(partial(loop.call_soon_threadsafe, arrivals.add, folder)) for folder in folders}
    observer = InotifyObserver(generate_full_events=True)
    try:
        await in_thread(partial(_begin, observer, handlers), "arrivals")
        yield arrivals
    finally:
        await in_thread(partial(_end, observer), "arrivals-end")


def _begin(observer: InotifyObserver, handlers: "dict[str, _Handler]") -> None:
    observer.start()
    for folder, handler in handlers.items():
        observer.schedule(handler, folder, recursive=True, event_filter=_ARRIVALS)


def _end(observer: InotifyObserver) -> None:
    observer.stop()
    with suppress(RuntimeError):  # it was never started
        observer.join()


class _Handler(FileSystemEventHandler):
    """Runs in watchdog's thread."""

    def __init__(self, arrived: Callable[[], object]) -> None:
        self._arrived = arrived

    def on_any_event(self, event: FileSystemEvent) -> None:
        if isinstance(event, FileMovedEvent | DirMovedEvent) and not event.dest_path:
            return  # moved away
        with suppress(RuntimeError):  # the loop is closed
            self._arrived()
