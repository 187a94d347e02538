"""A proxy before the real API server, for what a network and a long life do to its answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from fleet.agones.transport import Transport

_SHUTDOWN_SECONDS = 0.1


class Faults:
    """Every request is carried out; `losing` loses the replies, and `forgotten` is the last resourceVersion of Leases
    that a watch cannot resume from any more. What it is told then is what the real server tells, word for word.
    """

    def __init__(self, way: Transport, *, losing: bool = False, forgotten: tuple[int, bytes] = (0, b"")) -> None:
        self._way = way
        self._losing = losing
        self._forgotten, self._expired = forgotten

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Its address."""
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._forward)
        runner = web.AppRunner(app, shutdown_timeout=_SHUTDOWN_SECONDS, handler_cancellation=True)
        await runner.setup()
        try:
            site = web.TCPSite(runner, "127.0.0.1", 0)
            await site.start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}"
        finally:
            await runner.cleanup()

    async def _forward(self, request: web.Request) -> web.StreamResponse:
        body = await request.json() if request.can_read_body else None
        async with await self._way.send(
            request.method, request.path, dict(request.query), body, content_type=request.content_type
        ) as answer:
            if self._losing and request.transport is not None:
                await answer.read()
                request.transport.abort()
            response = web.StreamResponse(status=answer.status, headers={"Content-Type": answer.content_type})
            await response.prepare(request)
            if self._is_forgotten(request):
                await response.write(self._expired)
                return response
            async for line in answer.content:
                await response.write(line)
            return response

    def _is_forgotten(self, request: web.Request) -> bool:
        query = request.query
        return (
            request.path.endswith("/leases")
            and query.get("watch") == "true"
            and int(query["resourceVersion"]) <= self._forgotten
        )


@asynccontextmanager
async def silence() -> AsyncIterator[str]:
    """The address of a server that accepts connections and says nothing."""

    async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    listener = await asyncio.start_server(swallow, "127.0.0.1", 0)
    try:
        yield "http://127.0.0.1:{1}".format(*listener.sockets[0].getsockname())
    finally:
        listener.close()
        await listener.wait_closed()
