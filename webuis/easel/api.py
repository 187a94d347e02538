"""AUTOMATIC1111's HTTP API, as much of it as its clients use most. Sources: see `webuis/sdapi.py`."""

import asyncio
import base64
import os
from pathlib import Path

from aiohttp import web

from webuis.easel import order
from webuis.easel.folder import DataFolder, checkpoints
from webuis.easel.studio import Studio

BUILT_IN = "easel"
"""The checkpoint that is always there: no model at all."""


class Api:
    """The routes below `/sdapi/v1`. The checkpoints below the folder `models` are offered."""

    def __init__(self, studio: Studio, data: DataFolder, models: Path) -> None:
        self._studio = studio
        self._data = data
        self._models = models
        self._checkpoints: list[tuple[str, Path]] = []
        self._options: dict[str, object] = {
            "samples_format": "png",
            "sd_model_checkpoint": BUILT_IN,
            **data.read_options(),
        }

    def routes(self) -> list[web.RouteDef]:
        root = "/sdapi/v1"
        return [
            web.get("/internal/ping", self._ping),
            web.get(f"{root}/progress", self._progress),
            web.post(f"{root}/txt2img", self._generate),
            web.post(f"{root}/img2img", self._generate),
            web.post(f"{root}/interrupt", self._interrupt),
            web.get(f"{root}/options", self._get_options),
            web.post(f"{root}/options", self._set_options),
            web.get(f"{root}/sd-models", self._sd_models),
            web.post(f"{root}/refresh-checkpoints", self._refresh),
            web.get(f"{root}/samplers", self._samplers),
            web.get(f"{root}/memory", self._memory),
        ]

    async def read_checkpoints(self) -> None:
        """Look into the folder; in between, what was found there last is offered."""
        self._checkpoints = await asyncio.to_thread(checkpoints, self._models)

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.json_response({})

    async def _progress(self, request: web.Request) -> web.Response:
        preview = request.query.get("skip_current_image", "false").lower() not in {"true", "1", "on", "yes"}
        return web.json_response(self._studio.progress(preview))

    async def _generate(self, request: web.Request) -> web.Response:
        body = await _json(request)
        try:
            wanted = await asyncio.to_thread(order.read, request.path.rpartition("/")[2], body)
        except order.BadOrder as error:
            return _refused(422, "ValidationError", str(error))
        try:
            work = await self._studio.make(wanted, str(self._options["sd_model_checkpoint"]))
        except OSError as error:
            return _refused(500, "OSError", f"the image cannot be saved: {error.strerror}")
        return web.json_response(
            {
                "images": [base64.b64encode(image).decode() for image in work.images] if wanted.send else [],
                "parameters": {name: value for name, value in body.items() if name != "init_images"},
                "info": order.info(wanted, work.subjects, interrupted=work.interrupted),
            }
        )

    async def _interrupt(self, _request: web.Request) -> web.Response:
        self._studio.interrupt()
        return web.json_response({})

    async def _get_options(self, _request: web.Request) -> web.Response:
        return web.json_response(self._options)

    async def _set_options(self, request: web.Request) -> web.Response:
        changes = await _json(request)
        checkpoint = changes.get("sd_model_checkpoint", BUILT_IN)
        if checkpoint not in [BUILT_IN, *(name for name, _ in self._checkpoints)]:
            return _refused(500, "RuntimeError", f"model {checkpoint!r} not found")
        options = self._options | changes
        try:
            await asyncio.to_thread(self._data.write_options, options)
        except OSError as error:
            return _refused(500, "OSError", f"the settings cannot be saved: {error.strerror}")
        self._options = options
        return web.json_response(None)

    async def _sd_models(self, _request: web.Request) -> web.Response:
        found = [(BUILT_IN, ""), *((name, str(file)) for name, file in self._checkpoints)]
        return web.json_response(
            [
                {"title": name, "model_name": Path(name).stem, "hash": None, "sha256": None, "filename": file, "config": None}
                for name, file in found
            ]
        )

    async def _refresh(self, _request: web.Request) -> web.Response:
        await self.read_checkpoints()
        return web.json_response(None)

    async def _samplers(self, _request: web.Request) -> web.Response:
        return web.json_response([{"name": order.SAMPLER, "aliases": [], "options": {}}])

    async def _memory(self, _request: web.Request) -> web.Response:
        page = os.sysconf("SC_PAGE_SIZE")
        total = page * os.sysconf("SC_PHYS_PAGES")
        used = page * int(Path("/proc/self/statm").read_text().split()[1])  # noqa: ASYNC240 - the kernel answers at once
        return web.json_response(
            {"ram": {"free": total - used, "used": used, "total": total}, "cuda": {"error": "unavailable"}}
        )


async def _json(request: web.Request) -> dict[str, object]:
    try:
        body = await request.json()
    except ValueError:
        body = None
    if not isinstance(body, dict):
        raise web.HTTPUnprocessableEntity(text='{"detail": "the body must be a JSON object"}', content_type="application/json")
    return body


def _refused(status: int, error: str, message: str) -> web.Response:
    """An error in the dialect's shape."""
    return web.json_response({"error": error, "detail": "", "body": "", "errors": message}, status=status)
