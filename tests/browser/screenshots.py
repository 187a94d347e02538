"""Pictures of every page for the docs, light and dark: `make screenshots`. Almost all are of a running Atelier."""

import asyncio
import io
from pathlib import Path
from typing import Any, Literal

from PIL import Image
from playwright.async_api import Browser, FrameLocator, Page, ViewportSize, expect

from allocator.sessions.model import SessionState
from tests.browser.artist import PATIENCE, Artist, artist, chromium
from tests.fake_sessions import ALICE
from tests.page_harness import opened, pages
from tests.running_atelier import RunningAtelier, short_folder

PICTURES = Path(__file__).parents[2] / "docs" / "pictures"
SCHEMES: tuple[Literal["light", "dark"], ...] = ("light", "dark")
SIZE: ViewportSize = {"width": 1280, "height": 800}
PROMPTS = (
    "a quiet valley at dawn",
    "a harbour under a red evening sky",
    "snow on the mountains, blue hour",
    "rolling hills in autumn",
    "a lake at midnight, two moons",
    "desert, wide and golden",
    "a lighthouse on a cliff, watercolour",
)


async def shoot(name: str, page: Page) -> None:
    """The page as it is now, in both schemes."""
    await page.set_viewport_size(SIZE)
    await page.mouse.move(SIZE["width"] / 2, SIZE["height"] - 1)  # nothing looks as if it were pointed at
    for scheme in SCHEMES:
        await page.emulate_media(color_scheme=scheme, reduced_motion="reduce")
        picture = Image.open(io.BytesIO(await page.screenshot(animations="disabled")))
        picture.convert("RGB").save(PICTURES / f"{name}-{scheme}.png", optimize=True)


async def tell(artist: Artist, view: dict[str, Any]) -> None:
    """What all pages of this browser take for news of their session, as one tab tells the others."""
    tab = await artist.open("/_atelier/healthz")
    await tab.evaluate("(view) => new BroadcastChannel('atelier').postMessage({ view })", view)
    await tab.close()


async def paint(frame: FrameLocator) -> None:
    """An afternoon's work."""
    await frame.locator("#steps").fill("6")
    for seed, prompt in enumerate(PROMPTS, 7):
        await frame.locator("#prompt").fill(prompt)
        await frame.locator("#seed").fill(str(seed))
        await frame.locator("#generate").click()
        await expect(frame.locator("#pictures li")).to_have_count(seed - 6, timeout=PATIENCE)
        await expect(frame.locator("#generate")).to_be_enabled()


async def of_signing_in(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "-alice-", atelier) as nobody:
        page = await nobody.open()
        await shoot("refused", page)
        await page.goto(f"http://localhost:{atelier.port}/")
        await shoot("sign-in", page)


async def of_waiting(browser: Browser, atelier: RunningAtelier) -> None:
    """Alice and bob hold the WebUIs that there are."""
    await atelier.start("bob")
    async with artist(browser, "carol", atelier) as carol:
        page = await carol.open()
        await expect(page.locator(".times")).to_contain_text("place 1 in line")
        view = await atelier.session("carol")
        now = view["now"]
        await tell(carol, {**view, "position": 2, "eta_seconds": 140.0, "timeline": [["queued", now - 41.0]]})
        await shoot("waiting", page)
        timeline = [["queued", now - 41.0], ["allocating", now - 0.8], ["preparing", now - 0.6]]
        step = "Putting your folders in place and waiting for the WebUI to answer."
        await tell(
            carol, {**view, "state": "preparing", "position": None, "eta_seconds": 3.0, "step": step, "timeline": timeline}
        )
        await shoot("preparing", page)
        reason = "The WebUI ended with exit code 1 before it was ready, three times in a row."
        await tell(carol, {**view, "state": "failed", "position": None, "reason": reason})
        await shoot("failed", page)
    await atelier.api("bob", "DELETE", "/_atelier/api/session")


async def of_the_desk(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "alice", atelier) as alice:
        page, frame = await alice.at_work()
        await paint(frame)
        await atelier.until("alice", lambda view: view["busy"]["state"] == "idle")
        await shoot("desk", page)
        await page.locator("#hide").click()
        await shoot("easel", page)
        await page.locator("#unhide").click()
        await of_waiting(browser, atelier)
        view = await atelier.session("alice")
        await tell(alice, {**view, "state": "ending", "releases_at": view["now"] + 113.0})
        await expect(page.locator("#warning")).to_be_visible()
        await shoot("warning", page)
        await tell(alice, view)
        await tell(alice, {**view, "state": "ended", "reason": "It was idle for 30 minutes."})
        await expect(page.get_by_role("button", name="Start again")).to_be_visible()
        await shoot("released", page)
        await page.goto(f"{alice.address}/_atelier/nothing")
        await shoot("error", page)


async def of_a_webui_that_is_down(browser: Browser) -> None:
    async with pages() as harness:
        harness.sessions.set(ALICE, SessionState.ACTIVE, gameserver="easel-1")
        harness.webui_down = True
        async with opened(browser, f"{harness.url}/_atelier/desk") as page:
            await expect(page.frame_locator("#frame").get_by_role("heading", level=1)).to_be_visible()
            await shoot("unavailable", page)


async def main() -> None:
    PICTURES.mkdir(parents=True, exist_ok=True)
    with short_folder() as data:
        atelier = RunningAtelier(data, ("--size", "2", "--warm", "2"), {"EASEL_STEP_SECONDS": "0.02"})
        async with atelier, chromium() as browser:
            await of_signing_in(browser, atelier)
            await of_the_desk(browser, atelier)
            await of_a_webui_that_is_down(browser)


if __name__ == "__main__":
    asyncio.run(main())
