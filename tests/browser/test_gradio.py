"""The same way through the gateway for a real gradio 3.41.2 application, A1111's own kind of page."""

import hashlib
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, FilePayload, FrameLocator, Page, expect

from tests import gradio_environment
from tests.browser.artist import PATIENCE, artist
from tests.running_atelier import RunningAtelier, short_folder

pytestmark = [pytest.mark.browser, pytest.mark.timeout(240)]


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def gradio(browser: Browser) -> AsyncIterator[tuple[Page, FrameLocator]]:
    """The application in the desk, as its user sees it; waiting for it includes its own start."""
    command = f"{gradio_environment.python()} {gradio_environment.APP} --port {{port}}"
    options = ("--webui", "a1111", "--command", command, "--size", "1")
    environment = {"GRADIO_ANALYTICS_ENABLED": "False"}
    with short_folder() as data:
        async with RunningAtelier(data, options, environment) as atelier, artist(browser, "alice", atelier) as alice:
            page = await alice.open()
            frame = page.frame_locator("#frame")
            await expect(frame.locator("#prompt textarea")).to_be_visible(timeout=60_000)
            yield page, frame


async def test_a_queued_event_brings_back_an_image_of_megabytes(gradio: tuple[Page, FrameLocator]) -> None:
    page, frame = gradio
    sockets: list[str] = []
    page.on("websocket", lambda socket: sockets.append(socket.url))
    await frame.locator("#prompt textarea").fill("a harbour")
    await frame.locator("#paint").click()
    image = frame.locator("#image img")
    await expect(image).to_be_visible(timeout=PATIENCE)
    size = await image.evaluate("(image) => image.src.length")
    assert size > 4_000_000
    assert any(url.endswith("/queue/join") for url in sockets)


async def test_a_file_upload_arrives_whole(gradio: tuple[Page, FrameLocator]) -> None:
    _, frame = gradio
    content = bytes(range(256)) * 20_000
    await frame.locator("#upload input[type=file]").set_input_files(
        files=FilePayload(name="model.bin", mimeType="application/octet-stream", buffer=content)
    )
    expected = f"{len(content)} bytes, sha256 {hashlib.sha256(content).hexdigest()}"
    await expect(frame.locator("#digest textarea")).to_have_value(expected, timeout=PATIENCE)
