"""A person at a browser, in a context (cookies, cache, storage) of their own, before a running Atelier."""

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from playwright.async_api import Browser, BrowserContext, FrameLocator, Page, async_playwright, expect

from tests.conftest import CHROMIUM
from tests.running_atelier import RunningAtelier

ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE *.localhost, EXCLUDE 127.0.0.1",  # nobody else's pages
)
PATIENCE = 20_000
"""Milliseconds for what should take one or two seconds."""


@asynccontextmanager
async def chromium() -> AsyncGenerator[Browser, None]:
    """Debian's Chromium, headless."""
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        try:
            yield browser
        finally:
            await browser.close()


@dataclass
class Artist:
    """One user in one browser profile. `troubles` are uncaught errors of the pages' scripts."""

    name: str
    context: BrowserContext
    address: str
    troubles: list[str] = field(default_factory=list)

    async def open(self, path: str = "/") -> Page:
        """A new tab, navigated to `path` as from the address bar."""
        page = await self.context.new_page()
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: self.troubles.append(str(error)))
        await page.goto(self.address + path, wait_until="domcontentloaded")
        return page

    async def at_work(self, path: str = "/") -> tuple[Page, FrameLocator]:
        """A tab whose desk shows the WebUI, and the WebUI in it."""
        page = await self.open(path)
        return page, await webui(page)


async def webui(page: Page) -> FrameLocator:
    """The WebUI in the desk's frame, once it can be worked with."""
    frame = page.frame_locator("#frame")
    await expect(frame.locator("#prompt")).to_be_visible(timeout=PATIENCE)
    return frame


async def generate(frame: FrameLocator, prompt: str, *, steps: int = 4) -> None:
    """Type a prompt, press Generate, and wait for the image in the gallery."""
    pictures = frame.locator("#pictures li")
    before = await pictures.count()
    await frame.locator("#prompt").fill(prompt)
    await frame.locator("#width").fill("128")
    await frame.locator("#height").fill("128")
    await frame.locator("#steps").fill(str(steps))
    await frame.locator("#generate").click()
    await expect(pictures).to_have_count(before + 1, timeout=PATIENCE)


@asynccontextmanager
async def artist(browser: Browser, name: str, atelier: RunningAtelier) -> AsyncGenerator[Artist, None]:
    """Gives the WebUI back at the end: many tests share one Atelier. A script's error in any of the pages fails."""
    context = await browser.new_context(viewport={"width": 1280, "height": 800})
    someone = Artist(name, context, f"http://{name}.localhost:{atelier.port}")
    try:
        yield someone
        assert someone.troubles == []
    finally:
        await context.close()
        await atelier.api(name, "DELETE", "/_atelier/api/session")
