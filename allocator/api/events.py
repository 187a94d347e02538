"""The event stream: a user's session, now and after each change, for as long as a page listens."""

import asyncio

from aiohttp import web

from allocator.api.replies import encode
from allocator.sessions.api import Sessions
from allocator.sessions.model import WAITING
from runtime.clock import Clock

HEARTBEAT_SECONDS = 15.0
RETRY_MILLISECONDS = 1000
"""How soon a browser comes back after the stream ends."""
WRITE_SECONDS = 30.0
"""A page that takes nothing for so long is gone."""


class EventStream:
    """One open page. `run` returns when the page is gone or `closing` is set."""

    def __init__(self, sessions: Sessions, key: str, clock: Clock, closing: asyncio.Event) -> None:
        self._sessions = sessions
        self._key = key
        self._clock = clock
        self._closing = closing
        self._response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"}
        )

    async def run(self, request: web.Request) -> web.StreamResponse:
        await self._response.prepare(request)
        try:
            async with asyncio.TaskGroup() as group:
                parts = [group.create_task(part) for part in (self._changes(), self._heartbeat(), self._shutdown())]
                await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
                for part in parts:
                    part.cancel()
        except* (ConnectionError, TimeoutError):
            pass  # the page was closed; nobody is left to tell
        return self._response

    async def _changes(self) -> None:
        await self._write(f"retry: {RETRY_MILLISECONDS}\n\n")
        async for view in self._sessions.changes(self._key):
            await self._write(f"event: session\ndata: {encode(view)}\n\n")

    async def _heartbeat(self) -> None:
        """Keeps proxies from closing the stream, lets the page notice a dead one, and keeps its place in the queue."""
        while True:
            if self._sessions.view(self._key).state in WAITING:
                self._sessions.page_seen(self._key)
            await self._clock.sleep(HEARTBEAT_SECONDS)
            await self._write("event: heartbeat\ndata: {}\n\n")

    async def _shutdown(self) -> None:
        await self._closing.wait()

    async def _write(self, text: str) -> None:
        async with asyncio.timeout(WRITE_SECONDS):
            await self._response.write(text.encode())
