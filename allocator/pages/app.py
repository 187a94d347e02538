"""The aiohttp application behind the gateway: pages, static files and the API. It listens on a Unix socket."""

import logging

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from allocator.api.app import Api
from allocator.api.replies import ApiError
from allocator.pages.assets import PREFIX, Assets
from allocator.pages.handlers import Pages
from allocator.pages.render import Renderer, secure
from allocator.sessions.api import SessionRefused, Sessions
from allocator.settings import Settings
from runtime.clock import Clock, SystemClock

log = logging.getLogger(__name__)
MAX_BODY = 16 * 1024
"""No request here needs more."""


def make_app(sessions: Sessions, settings: Settings, clock: Clock | None = None) -> web.Application:
    """Everything under `/_atelier/`. The gateway in front of it verifies users and names them in `X-Atelier-User`."""
    assets = Assets.load()
    pages = Pages(sessions, settings, Renderer(assets))
    app = web.Application(client_max_size=MAX_BODY, middlewares=[_error_pages(pages)])
    app.on_response_prepare.append(secure)
    app.add_routes([*pages.routes(), web.get(PREFIX + "/{digest}/{name}", assets.serve)])
    app.add_subapp("/_atelier/api", Api(sessions, clock or SystemClock()).app())
    return app


def _error_pages(pages: Pages) -> Middleware:
    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except ApiError as error:
            return pages.error(request, error)
        except SessionRefused as refused:
            return pages.error(request, ApiError.of(refused))
        except web.HTTPRedirection:
            raise
        except web.HTTPException as error:
            return pages.error(request, ApiError(error.status, "http", _SENTENCES.get(error.status, f"{error.reason}.")))
        except Exception:
            log.exception("%s %s failed", request.method, request.path)
            message = "This failed on our side. Your files are safe. Try again in a moment; the log says why."
            return pages.error(request, ApiError(500, "internal", message))

    return middleware


_SENTENCES = {
    404: "Nothing is at this address. Your WebUI is where you left it.",
    405: "This address takes no request of that kind.",
    413: "The form is larger than any of ours.",
}
