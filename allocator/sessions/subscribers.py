"""Who waits for a change of which session."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Subscribers:
    """Events by the user's key. A slow reader finds one event set, however much has changed."""

    def __init__(self) -> None:
        self._events: defaultdict[str, set[asyncio.Event]] = defaultdict(set)

    @contextmanager
    def subscribed(self, key: str) -> Iterator[asyncio.Event]:
        event = asyncio.Event()
        self._events[key].add(event)
        try:
            yield event
        finally:
            self._events[key].discard(event)
            if not self._events[key]:
                del self._events[key]

    def tell(self, key: str) -> None:
        for event in self._events.get(key, ()):
            event.set()

    def tell_all(self, wanted: Callable[[str], bool]) -> None:
        """Tell everyone who waits for a wanted key."""
        for key in filter(wanted, self._events):
            self.tell(key)
