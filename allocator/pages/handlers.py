"""The pages under `/_atelier/`. A GET shows; only a form's POST, from our own page, changes anything."""

import re
from urllib.parse import unquote

from aiohttp import web
from yarl import URL

from allocator.api.app import RELEASED_BY_USER
from allocator.api.replies import ApiError
from allocator.api.requests import read_form, require_same_origin, require_user, user_of
from allocator.identity.base import User
from allocator.pages.local_path import local_path, page_url
from allocator.pages.render import Renderer
from allocator.sessions.api import Sessions
from allocator.sessions.model import USABLE, WAITING, SessionView
from allocator.settings import Settings
from webuis import registry

REFUSED_HEADER = "X-Atelier-Refused"
"""Why the identity was refused, percent-encoded; set by the gateway."""
RETRY_SECONDS = 5
_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
"""What can be the first label of `NAME.localhost`."""
_PORT = re.compile(r":(\d{1,5})$")


class Pages:
    """Every page, over one `Sessions`."""

    def __init__(self, sessions: Sessions, settings: Settings, render: Renderer) -> None:
        self._sessions = sessions
        self._settings = settings
        self._render = render

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/_atelier/sign-in", self.sign_in),
            web.get("/_atelier/refused", self.refused),
            web.get("/_atelier/start", self.start_page),
            web.post("/_atelier/start", self.start),
            web.post("/_atelier/extend", self.extend),
            web.post("/_atelier/release", self.release),
            web.get("/_atelier/desk", self.desk),
            web.get("/_atelier/unavailable", self.unavailable),
            web.get("/_atelier/healthz", self.healthz),
        ]

    async def healthz(self, _: web.Request) -> web.Response:
        return web.Response(text="ok\n", headers={"Cache-Control": "no-store"})

    async def sign_in(self, request: web.Request) -> web.Response:
        """A name leads to that user's own address: the first label of the host is the user."""
        found = _PORT.search(request.host)
        port = f":{found[1]}" if found and int(found[1]) < 65536 else ""
        name = request.query.get("name")
        wanted = "" if name is None else name.strip().lower()
        if name is not None and _NAME.fullmatch(wanted):
            raise _see_other(f"http://{wanted}.localhost{port}/")
        user = user_of(request)
        return self._render.page(
            "sign_in.html",
            200 if name is None else 400,
            policy_changes={"form-action": f"'self' http://*.localhost{port}"},  # it holds for where a form is sent on, too
            name=name or "",
            invalid=name is not None,
            user=user,
            port=port,
        )

    async def refused(self, request: web.Request) -> web.Response:
        reason = unquote(request.headers.get(REFUSED_HEADER, ""), errors="replace")
        return self._render.page("refused.html", 403, reason=reason)

    async def start_page(self, request: web.Request) -> web.Response:
        """The waiting room, and after the end the page that says why. Starts nothing by itself."""
        user, at = require_user(request), _at(request)
        view = self._sessions.view(user.key)
        if view.state in USABLE:
            raise _see_other(at)
        if view.state in WAITING:
            self._sessions.page_seen(user.key)
        return self._render.page(
            "start.html", user=user, view=view, profiles=self._sessions.profiles(user), at=at, waiting=WAITING
        )

    async def start(self, request: web.Request) -> web.Response:
        user, at = _changing(request)
        await self._sessions.start(user, (await read_form(request)).get("profile", ""))
        raise _see_other(page_url("start", at))

    async def extend(self, request: web.Request) -> web.Response:
        user, at = _changing(request)
        await self._sessions.extend(user)
        raise _see_other(page_url("desk", at))

    async def release(self, request: web.Request) -> web.Response:
        user, at = _changing(request)
        await self._sessions.release(user.key, RELEASED_BY_USER)
        raise _see_other(page_url("start", at))

    async def desk(self, request: web.Request) -> web.Response:
        user, at = require_user(request), _at(request)
        view = self._sessions.view(user.key)
        if view.state not in USABLE:
            raise _see_other(page_url("start", at))
        return self._render.page(
            "desk.html", policy_changes={"frame-src": "'self'"}, user=user, view=view, at=at, pages=self._webui_pages(view)
        )

    async def unavailable(self, request: web.Request) -> web.Response:
        """In place of a WebUI's page, in the desk's frame as well, while the WebUI does not answer."""
        user = require_user(request)
        view = self._sessions.view(user.key)
        return self._render.page(
            "unavailable.html",
            503,
            policy_changes={"frame-ancestors": "'self'"},
            headers={"Retry-After": str(RETRY_SECONDS)},
            user=user,
            view=view,
            at=_at(request),
        )

    def error(self, request: web.Request, error: ApiError) -> web.Response:
        """The page for a person where the API would answer its error shape."""
        if error.status == 401:
            raise _see_other("/_atelier/sign-in")
        return self._render.page(
            "error.html",
            error.status,
            headers=error.headers,
            title=_title(error.status),
            message=error.message,
            at=_at(request),
        )

    def _webui_pages(self, view: SessionView) -> list[str]:
        profile = self._settings.profile(view.profile)
        return [page.pattern for page in registry.get(profile.webui).pages] if profile else []


def _see_other(location: str) -> web.HTTPSeeOther:
    """As it is: what is percent-encoded in it stays so."""
    return web.HTTPSeeOther(URL(location, encoded=True), headers={"Cache-Control": "no-store"})


def _at(request: web.Request) -> str:
    return local_path(request.query.get("at", "/"))


def _changing(request: web.Request) -> tuple[User, str]:
    user = require_user(request)
    require_same_origin(request)
    return user, _at(request)


def _title(status: int) -> str:
    return {403: "This is not allowed", 404: "There is no such page", 409: "Not possible now"}.get(
        status, "Something went wrong" if status >= 500 else "This did not work"
    )
