"""The operators' listener: everything but `/readyz` needs the token from the file that only the owner can read."""

import asyncio
import hmac
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from allocator.api.replies import ApiError, error_reply, json_errors, reply
from allocator.autoscaling.review import BadReview, fleet_of
from allocator.operators.lag import LoopLag
from allocator.operators.metrics import Metrics
from allocator.operators.sources import Sources
from allocator.sessions.api import Sessions
from allocator.sessions.model import OVER
from allocator.sessions.stats import UserSession

RELEASED_BY_OPERATOR = "Released by an operator."
EXPOSITION = "text/plain; version=0.0.4; charset=utf-8"


def make_operators_app(sessions: Sessions, sources: Sources, metrics: Metrics, lag: LoopLag, token: str) -> web.Application:
    """`/readyz`, `/metrics`, `/sessions` and `/autoscale/{fleet}`. `token` must not be empty."""
    if not token:
        raise ValueError("an empty token would let everyone in")
    operators = _Operators(sessions, sources, metrics)
    app = web.Application(middlewares=[json_errors, _needs(token)])
    app.router.add_get("/readyz", operators.readyz)
    app.router.add_get("/metrics", operators.metrics)
    app.router.add_get("/sessions", operators.list)
    app.router.add_delete("/sessions/{name}", operators.release)
    app.router.add_post("/autoscale/{fleet}", operators.autoscale)
    app.cleanup_ctx.append(_measured(lag))
    return app


def _needs(token: str) -> Middleware:
    expected = f"Bearer {token}".encode()

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "").encode(errors="replace")
        if request.path != "/readyz" and not hmac.compare_digest(given, expected):
            message = "The operators' token is needed: Authorization: Bearer, then the token."
            raise ApiError(401, "token_needed", message, {"WWW-Authenticate": "Bearer"})
        return await handler(request)

    return middleware


class _Operators:
    def __init__(self, sessions: Sessions, sources: Sources, metrics: Metrics) -> None:
        self._sessions = sessions
        self._sources = sources
        self._metrics = metrics

    async def readyz(self, _: web.Request) -> web.Response:
        if self._sources.ready():
            return web.Response(text="ready\n")
        return error_reply(ApiError(503, "not_synced", "Sessions and GameServers are still being read.", {"Retry-After": "1"}))

    async def metrics(self, _: web.Request) -> web.Response:
        return web.Response(body=self._metrics.exposition(), headers={"Content-Type": EXPOSITION})

    async def list(self, _: web.Request) -> web.Response:
        self._require_synced()
        return reply({"sessions": [_row(session) for session in self._sources.sessions()]})

    async def release(self, request: web.Request) -> web.Response:
        self._require_synced()
        session = self._find(request.match_info["name"])
        return reply(await self._sessions.release(session.key, RELEASED_BY_OPERATOR))

    async def autoscale(self, request: web.Request) -> web.Response:
        try:
            review = json.loads(await request.read())
            answer = self._sources.review(_of_fleet(request.match_info["fleet"], review))
        except BadReview as error:
            raise ApiError(400, "bad_review", str(error)) from None
        except (ValueError, RecursionError) as error:
            raise ApiError(400, "not_json", f"The body is not JSON ({error}).") from None
        if answer is None:
            raise ApiError(503, "not_synced", "What is known of the sessions cannot be believed yet: leave the Fleet as it is.")
        return reply(answer)

    def _require_synced(self) -> None:
        if not self._sources.ready():
            raise ApiError(503, "not_synced", "Sessions are still being read. Try again in a moment.", {"Retry-After": "1"})

    def _find(self, name: str) -> UserSession:
        named = [session for session in self._sources.sessions() if name in _names(session)]
        live = [session for session in named if session.view.state not in OVER]
        if len(live) > 1:
            keys = ", ".join(session.key for session in live)
            raise ApiError(409, "ambiguous", f"{name!r} names several users. Use one of their keys: {keys}.")
        if not live:
            raise ApiError(404, "no_session", f"{name!r} has no session. `atelier status` lists those that there are.")
        return live[0]


def _of_fleet(fleet: str, review: object) -> object:
    """The review, if it is of the Fleet that the path names. Raises `BadReview`."""
    if fleet_of(review) != fleet:
        raise BadReview(f"The review is of Fleet {fleet_of(review)!r}, but was sent for {fleet!r}.")
    return review


def _names(session: UserSession) -> tuple[str, ...]:
    """What an operator may call its user: the key, the identity, its subject, the e-mail, or what is before its @."""
    return (session.key, session.identity, _subject(session), session.email, session.email.partition("@")[0])


def _subject(session: UserSession) -> str:
    return session.identity.partition("|")[2]


def _row(session: UserSession) -> dict[str, object]:
    """The session's view with whose it is."""
    user = session.email or _subject(session)
    return {"user": user, "key": session.key, "identity": session.identity, **asdict(session.view)}


def _measured(lag: LoopLag) -> Callable[[web.Application], AsyncIterator[None]]:
    async def context(_: web.Application) -> AsyncIterator[None]:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(lag.run())
            yield
            task.cancel()

    return context
