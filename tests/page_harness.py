"""The pages in a real browser without a gateway or a WebUI: what the gateway would do is done here, as simply as it can be.

One server on loopback: `/_atelier/` goes to the app with the user that the harness names; everything else is a stub of a WebUI.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlencode

from aiohttp import ClientSession, web
from aiohttp.test_utils import TestServer
from playwright.async_api import Browser, Locator, Page, expect
from yarl import URL

from allocator.api.requests import USER_HEADER
from allocator.identity.base import User
from allocator.pages.app import make_app
from allocator.pages.handlers import REFUSED_HEADER
from allocator.settings import Profile, Settings
from tests.fake_sessions import ALICE, FakeSessions

PATIENCE = 10_000
"""Milliseconds for what should take a fraction of a second."""
MEBIBYTE = 1024 * 1024
FRAMING = frozenset({"content-length", "transfer-encoding", "connection"})
PAGES = {"/": "Easel", "/other": "Other"}
"""Of the stub WebUI, with their titles."""
STUB = """<!doctype html><html lang="en"><head><title>TITLE</title><meta name="color-scheme" content="light dark"><style>
body { font: 15px/1.5 system-ui; margin: 0; padding: 1.5rem 2rem; max-width: 64rem }
textarea { width: 100%; height: 5rem; font: inherit; display: block }
.row { display: grid; grid-template-columns: repeat(4, 1fr); gap: .75rem }
.row i { aspect-ratio: 1; border-radius: 8px; background: #8893 }
</style></head><body><h1>TITLE</h1>
<label>Prompt <textarea id="prompt">a lighthouse on a cliff, watercolour</textarea></label>
<p><button id="generate">Generate</button> <a id="other" href="/other?tab=2">Another page</a>
<a id="file" href="/file=a.png">A file</a></p>
<div class="row"><i></i><i></i><i></i><i></i><i></i><i></i><i></i><i></i></div></body></html>"""


class PageHarness:
    """The server. `user` is who is signed in (None: nobody), `refused` why not; `webui_down` makes the WebUI unavailable."""

    def __init__(self, sessions: FakeSessions) -> None:
        self.sessions = sessions
        self.settings = Settings(profiles=(Profile(name="easel", title="Easel (demo)"), Profile(name="sd15", webui="a1111")))
        self.user: User | None = ALICE
        self.refused = ""
        self.webui_down = False
        self.visits: list[str] = []
        """Paths of the WebUI that were asked for."""
        self._front: TestServer | None = None
        self._app: TestServer | None = None
        self._client: ClientSession | None = None

    @property
    def url(self) -> str:
        assert self._front is not None
        return f"http://alice.localhost:{self._front.port}"

    async def start(self) -> None:
        front = web.Application(client_max_size=MEBIBYTE)
        front.router.add_route("*", "/{path:.*}", self._dispatch)
        self._client = ClientSession(auto_decompress=False)
        self._front = TestServer(front, host="127.0.0.1")
        await self.start_app()
        await self._front.start_server(shutdown_timeout=1.0)

    async def start_app(self) -> None:
        self._app = TestServer(make_app(self.sessions, self.settings), host="127.0.0.1")
        await self._app.start_server(shutdown_timeout=5.0)

    async def stop_app(self) -> None:
        """As when the pages are down: the gateway answers 503."""
        assert self._app is not None
        await self._app.close()
        self._app = None

    async def stop(self) -> None:
        assert self._front is not None
        assert self._client is not None
        if self._app is not None:
            await self.stop_app()
        await self._front.close()
        await self._client.close()

    async def _dispatch(self, request: web.Request) -> web.StreamResponse:
        if request.path.startswith("/_atelier/"):
            return await self._forward(request, request.raw_path)
        self.visits.append(f"{request.method} {request.path_qs}")
        if self.webui_down:
            return await self._forward(request, "/_atelier/unavailable")
        if request.headers.get("Sec-Fetch-Dest") == "document" and request.path in PAGES:
            raise web.HTTPSeeOther(f"/_atelier/desk?{urlencode({'at': request.raw_path})}")
        return web.Response(text=STUB.replace("TITLE", PAGES.get(request.path, "A file")), content_type="text/html")

    async def _forward(self, request: web.Request, target: str) -> web.StreamResponse:
        if self._app is None:
            return web.json_response({"error": {"code": "unavailable", "message": "The pages do not answer."}}, status=503)
        assert self._client is not None
        headers = {name: value for name, value in request.headers.items() if not name.lower().startswith("x-atelier-")}
        if self.user is not None:
            headers[USER_HEADER] = self.user.encode().decode()
        if self.refused:
            headers[REFUSED_HEADER] = self.refused
        url = URL(f"http://127.0.0.1:{self._app.port}{target}", encoded=True)
        body = await request.read()
        async with self._client.request(request.method, url, headers=headers, data=body, allow_redirects=False) as reply:
            kept = {name: value for name, value in reply.headers.items() if name.lower() not in FRAMING}
            response = web.StreamResponse(status=reply.status, headers=kept)
            await response.prepare(request)
            async for chunk in reply.content.iter_any():
                await response.write(chunk)
            return response


@asynccontextmanager
async def pages(sessions: FakeSessions | None = None) -> AsyncIterator[PageHarness]:
    harness = PageHarness(sessions or FakeSessions())
    await harness.start()
    try:
        yield harness
    finally:
        async with asyncio.timeout(10):
            await harness.stop()


@asynccontextmanager
async def opened(browser: Browser, url: str, **options: Any) -> AsyncIterator[Page]:
    """A tab of a new browser profile at `url`. An error of its scripts, or something that its policy forbids, fails."""
    expect.set_options(timeout=PATIENCE)
    context = await browser.new_context(**options)
    troubles: list[str] = []
    try:
        page = await context.new_page()
        page.set_default_timeout(PATIENCE)
        watch(page, troubles)
        await page.goto(url)
        yield page
        assert troubles == []
    finally:
        await context.close()


def watch(page: Page, troubles: list[str]) -> None:
    """Collects what a script threw and what the content security policy refused; failed requests are the tests' own."""
    page.on("pageerror", lambda error: troubles.append(str(error)))
    page.on("console", lambda message: troubles.append(message.text) if "Content Security" in message.text else None)


def reason(page: Page) -> Locator:
    """Why the session ended, as it is shown."""
    return page.locator(".reason").filter(visible=True)
