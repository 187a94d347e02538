"""A WebUI that takes every request, remembers it, and answers what it is told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web


class StubWebUI:
    def __init__(self) -> None:
        self.port = 0
        self.status = 200
        self.requests: asyncio.Queue[tuple[str, object]] = asyncio.Queue()

    async def next(self) -> tuple[str, object]:
        async with asyncio.timeout(10):
            return await self.requests.get()

    async def handle(self, request: web.Request) -> web.Response:
        self.requests.put_nowait((request.path, await request.json()))
        return web.json_response({}, status=self.status)


@asynccontextmanager
async def stub_webui() -> AsyncIterator[StubWebUI]:
    stub = StubWebUI()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", stub.handle)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    stub.port = runner.addresses[0][1]
    try:
        yield stub
    finally:
        await runner.cleanup()
