"""The handlers of `/_atelier/api/`. Only a POST starts a session; whatever changes one refuses other sites' pages."""

import asyncio

from aiohttp import web

from allocator.api.events import EventStream
from allocator.api.replies import ApiError, json_errors, reply
from allocator.api.requests import read_fields, require_same_origin, require_user
from allocator.sessions.api import Sessions
from runtime.clock import Clock

PRESENCE_SOURCES = ("pointer", "keyboard", "touch", "wheel")
RELEASED_BY_USER = "Released by its user."


class Api:
    """`/_atelier/api/` over one `Sessions`."""

    def __init__(self, sessions: Sessions, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock
        self._closing = asyncio.Event()

    def app(self) -> web.Application:
        app = web.Application(middlewares=[json_errors])
        app.router.add_get("/session", self.show, allow_head=False)
        app.router.add_post("/session", self.start)
        app.router.add_delete("/session", self.release)
        app.router.add_post("/session/extend", self.extend)
        app.router.add_post("/presence", self.presence)
        app.router.add_get("/events", self.events, allow_head=False)
        app.router.add_get("/profiles", self.profiles, allow_head=False)
        app.on_shutdown.append(self._close)
        return app

    async def _close(self, _: web.Application) -> None:
        self._closing.set()

    async def show(self, request: web.Request) -> web.Response:
        return reply(self._sessions.view(require_user(request).key))

    async def start(self, request: web.Request) -> web.Response:
        user = require_user(request)
        require_same_origin(request)
        fields = await read_fields(request, ("profile",))
        return reply(await self._sessions.start(user, fields.get("profile", "")))

    async def release(self, request: web.Request) -> web.Response:
        user = require_user(request)
        require_same_origin(request)
        return reply(await self._sessions.release(user.key, RELEASED_BY_USER))

    async def extend(self, request: web.Request) -> web.Response:
        user = require_user(request)
        require_same_origin(request)
        await read_fields(request, ())
        return reply(await self._sessions.extend(user))

    async def presence(self, request: web.Request) -> web.Response:
        user = require_user(request)
        require_same_origin(request)
        source = (await read_fields(request, ("source",))).get("source", "")
        if source not in PRESENCE_SOURCES:
            raise ApiError(400, "bad_field", f"Field 'source' must be one of {', '.join(PRESENCE_SOURCES)}.")
        await self._sessions.presence(user, source)
        return web.Response(status=204, headers={"Cache-Control": "no-store"})

    async def profiles(self, request: web.Request) -> web.Response:
        return reply({"profiles": self._sessions.profiles(require_user(request))})

    async def events(self, request: web.Request) -> web.StreamResponse:
        user = require_user(request)
        return await EventStream(self._sessions, user.key, self._clock, self._closing).run(request)
