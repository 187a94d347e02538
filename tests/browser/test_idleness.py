"""What a person sees of the end: told before, put off by a click, never while the WebUI works; the next in line is served."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from tests.browser.artist import PATIENCE, artist, generate, webui
from tests.page_harness import reason
from tests.running_atelier import RunningAtelier, short_folder

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
IDLE_SECONDS = 10
STEPS = IDLE_SECONDS + 3
"""Of an image that takes a second a step."""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def atelier() -> AsyncIterator[RunningAtelier]:
    environment = {"ATELIER_TEST_MIN_IDLE": "1", "EASEL_STEP_SECONDS": "1"}
    with short_folder() as data:
        async with RunningAtelier(data, ("--size", "2", "--idle-timeout", f"{IDLE_SECONDS}s"), environment) as atelier:
            yield atelier


async def test_one_in_line_lands_in_the_webui_without_a_click(browser: Browser, atelier: RunningAtelier) -> None:
    for name in ("first", "second"):
        await atelier.start(name)
    async with artist(browser, "alice", atelier) as alice:
        page = await alice.open()
        await expect(page.locator(".sentence")).to_have_text("Both WebUIs are in use.")
        await expect(page.locator(".times")).to_contain_text("place 1 in line")
        await atelier.api("first", "DELETE", "/_atelier/api/session")
        await webui(page)
    await atelier.api("second", "DELETE", "/_atelier/api/session")


async def test_an_idle_release_is_announced_put_off_and_explained(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "bob", atelier) as bob:
        page, frame = await bob.at_work()
        await frame.locator("#prompt").press_sequentially("I am here")
        await atelier.until("bob", lambda view: view["last_activity"]["kind"] == "presence")
        await page.get_by_role("button", name="I am still here").click()
        await expect(page.locator("#warning")).to_be_hidden()
        assert (await atelier.session("bob"))["state"] == "active"
        await expect(page.locator("#warning")).to_be_visible(timeout=PATIENCE)
        await expect(page.get_by_role("button", name="Start again")).to_be_visible(timeout=PATIENCE)
        await expect(reason(page)).to_contain_text(f"It was idle for {IDLE_SECONDS} seconds.")


async def test_a_generation_longer_than_the_idle_timeout_is_not_cut(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "carol", atelier) as carol:
        page, frame = await carol.at_work()
        await generate(frame, "a long one", steps=STEPS)
        await expect(page.locator("#warning")).to_be_hidden()
        assert (await atelier.session("carol"))["state"] == "active"
