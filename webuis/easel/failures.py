"""Failures on demand, so that every one of them can be tested: at the start by flags, later by POST /easel/fail."""

import asyncio
import os
import time
from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Handler

from runtime.clock import Clock

FAIL_PATH = "/easel/fail"
CRASH_CODE = 3
_REPLY_FIRST = 0.05
"""Seconds: so that the request which asks for a failure is still answered."""


@dataclass(frozen=True, slots=True)
class Start:
    """How the start fails. `seconds` until it is ready, `never` at all, `crash_after` so many seconds of life (0: it lives)."""

    seconds: float = 0.0
    never: bool = False
    crash_after: float = 0.0


class Failures:
    """Stands before every request."""

    def __init__(self, clock: Clock, start: Start) -> None:
        self._clock = clock
        self._start = start
        self._since = clock.monotonic()
        self._delay = 0.0
        self._answering = asyncio.Event()
        self._answering.set()

    def begin(self) -> None:
        """Count the time to a crash from now; the loop must run."""
        if self._start.crash_after:
            asyncio.get_running_loop().call_later(self._start.crash_after, os._exit, CRASH_CODE)

    @web.middleware
    async def middleware(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """503 until the start is over; then as the last failure that was asked for would have it."""
        if request.path == FAIL_PATH:
            return await handler(request)
        if self._start.never or self._clock.monotonic() - self._since < self._start.seconds:
            raise web.HTTPServiceUnavailable(text="Easel is starting.", headers={"Retry-After": "1"})
        await self._answering.wait()
        if self._delay:
            await self._clock.sleep(self._delay)
        return await handler(request)

    async def fail(self, request: web.Request) -> web.Response:
        """`{"how": ...}`: hang, crash, stop-answering, or slow (each reply `seconds` late, else 5); none ends the last two."""
        loop = asyncio.get_running_loop()
        body = await request.json()
        match body:
            case {"how": "hang"}:
                loop.call_later(_REPLY_FIRST, time.sleep, 86400)
            case {"how": "crash"}:
                loop.call_later(_REPLY_FIRST, os._exit, CRASH_CODE)
            case {"how": "stop-answering"}:
                self._answering.clear()
            case {"how": "slow"} if isinstance(seconds := body.get("seconds", 5.0), int | float):
                self._delay = seconds
            case {"how": "none"}:
                self._delay = 0.0
                self._answering.set()
            case _:
                raise web.HTTPUnprocessableEntity(text="how must be hang, crash, stop-answering, slow or none")
        return web.json_response({})
