"""Easel's web application: the page, its gallery and live channel, beside the API."""

import asyncio
import contextlib
from dataclasses import asdict
from pathlib import Path

from aiohttp import WSMsgType, web
from aiohttp.typedefs import Handler

from runtime.clock import Clock
from webuis.easel.api import Api
from webuis.easel.failures import FAIL_PATH, Failures, Start
from webuis.easel.folder import DataFolder
from webuis.easel.studio import Studio

PAGE = Path(__file__).parent / "page"
MAX_BODY = 128 * 1024 * 1024
"""Bytes: an image in base64, with room to spare."""
GALLERY_PAGE = 48
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-cache",  # kept, but asked about by ETag before each use
}


class Page:
    """What is not of the dialect: the page itself and what it needs."""

    def __init__(self, studio: Studio, data: DataFolder) -> None:
        self._studio = studio
        self._data = data

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/", _static("index.html")),
            web.get("/easel/easel.css", _static("easel.css")),
            web.get("/easel/easel.js", _static("easel.js")),
            web.get("/easel/gallery.js", _static("gallery.js")),
            web.get("/easel/icon.svg", _static("icon.svg")),
            web.get("/easel/sw.js", self._service_worker),
            web.get("/easel/gallery", self._gallery),
            web.get("/easel/echo", self._echo),
            web.get("/file={path:.+}", self._file),
            web.get("/ws", self._live),
        ]

    async def _file(self, request: web.Request) -> web.StreamResponse:
        """A generated image, under AUTOMATIC1111's kind of path; aiohttp adds ETag, Last-Modified and ranges."""
        file = await asyncio.to_thread(self._data.image, request.match_info["path"])
        if file is None:
            raise web.HTTPNotFound
        return web.FileResponse(file, headers=_HEADERS)

    async def _gallery(self, request: web.Request) -> web.Response:
        try:
            offset = max(0, int(request.query.get("offset", "0")))
        except ValueError as error:
            raise web.HTTPUnprocessableEntity(text="offset must be a number") from error
        pictures, total = await asyncio.to_thread(self._data.pictures, offset, GALLERY_PAGE)
        return web.json_response({"pictures": [asdict(picture) for picture in pictures], "total": total})

    async def _echo(self, request: web.Request) -> web.Response:
        """The request as it arrived here, for whoever wants to know what a proxy let through."""
        headers = [[name.decode("latin-1"), value.decode("latin-1")] for name, value in request.raw_headers]
        return web.json_response({"method": request.method, "path": request.raw_path, "headers": headers})

    async def _service_worker(self, _request: web.Request) -> web.StreamResponse:
        """A script that would take over the whole origin, if the browser and everyone before it let it."""
        return web.FileResponse(PAGE / "sw.js", headers={**_HEADERS, "Service-Worker-Allowed": "/"})

    async def _live(self, request: web.Request) -> web.WebSocketResponse:
        """Progress, as the API tells it, at once and at each change."""
        socket = web.WebSocketResponse(heartbeat=20)
        await socket.prepare(request)
        async with asyncio.TaskGroup() as group:
            teller = group.create_task(self._tell(socket))
            async for message in socket:
                if message.type is not WSMsgType.TEXT:
                    break
            teller.cancel()
        return socket

    async def _tell(self, socket: web.WebSocketResponse) -> None:
        with contextlib.suppress(ConnectionResetError):  # the page has gone; the reader notices, too
            while True:
                changed = self._studio.next_change()
                await socket.send_json(self._studio.progress(preview=True))
                await changed.wait()


def application(clock: Clock, data: Path, models: Path, *, step_seconds: float, start: Start) -> web.Application:
    """Easel, ready to be served."""
    folder = DataFolder(data)

    def save(kind: str, content: bytes, seed: int) -> str:
        return folder.save_image(kind, content, seed, clock.time())

    studio = Studio(clock, save, step_seconds)
    failures = Failures(clock, start)
    api = Api(studio, folder, models)

    async def begin(_app: web.Application) -> None:
        failures.begin()
        await api.read_checkpoints()

    app = web.Application(middlewares=[failures.middleware], client_max_size=MAX_BODY)
    app.on_startup.append(begin)
    app.add_routes([*api.routes(), *Page(studio, folder).routes(), web.post(FAIL_PATH, failures.fail)])
    return app


def _static(name: str) -> Handler:
    async def serve(_request: web.Request) -> web.StreamResponse:
        return web.FileResponse(PAGE / name, headers=_HEADERS)

    return serve
