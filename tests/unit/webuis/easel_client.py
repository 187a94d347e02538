"""Easel over real HTTP, in this process."""

import asyncio
import base64
import io
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from aiohttp import ClientSession, web
from PIL import Image

from runtime.clock import Clock, SystemClock
from webuis.easel.failures import Start
from webuis.easel.server import application

SMALL = {"prompt": "a quiet valley", "seed": 7, "width": 64, "height": 64, "steps": 4}
API = "/sdapi/v1"


class Easel:
    """What a client of the dialect does, checked for success."""

    def __init__(self, client: ClientSession, data: Path) -> None:
        self.client = client
        self.data = data

    async def get(self, path: str) -> object:
        async with self.client.get(path) as reply:
            assert reply.status == 200, await reply.text()
            return await reply.json()

    async def post(self, path: str, body: object) -> object:
        async with self.client.post(path, json=body) as reply:
            assert reply.status == 200, await reply.text()
            return await reply.json()

    async def refused(self, path: str, body: object) -> int:
        async with self.client.post(path, json=body) as reply:
            return reply.status

    async def generate(self, **changes: object) -> tuple[list[bytes], dict[str, object]]:
        """The PNG files and the reply of one txt2img."""
        reply = await self.post(f"{API}/txt2img", {**SMALL, **changes})
        assert isinstance(reply, dict)
        return [base64.b64decode(image) for image in reply["images"]], reply

    async def progress(self, query: str = "") -> dict[str, object]:
        reply = await self.get(f"{API}/progress{query}")
        assert isinstance(reply, dict)
        return reply

    async def in_line(self, orders: int) -> None:
        """Return when so many orders wait for their turn; fails after 10 s."""
        async with asyncio.timeout(10):
            while (await self.progress("?skip_current_image=true"))["textinfo"] != f"{orders} waiting":
                pass

    async def gallery(self, query: str = "") -> list[str]:
        reply = await self.get(f"/easel/gallery{query}")
        assert isinstance(reply, dict)
        return [picture["path"] for picture in reply["pictures"]]

    def saved(self) -> list[Path]:
        return sorted((self.data / "outputs").rglob("*.png"))


@asynccontextmanager
async def running(
    data: Path, clock: Clock | None = None, *, step_seconds: float = 0.0, start: Start | None = None
) -> AsyncIterator[Easel]:
    app = application(clock or SystemClock(), data, data / "models", step_seconds=step_seconds, start=start or Start())
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        async with ClientSession(f"http://{host}:{port}") as client:
            yield Easel(client, data)
    finally:
        await runner.cleanup()


async def until(condition: Callable[[], bool]) -> None:
    """Let the loop run until the condition holds; fails after 10 s."""
    async with asyncio.timeout(10):
        while not condition():
            await asyncio.sleep(0.001)


def encoded(colour: str, size: tuple[int, int] = (32, 32), kind: str = "PNG") -> str:
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, kind)
    return base64.b64encode(file.getvalue()).decode()
