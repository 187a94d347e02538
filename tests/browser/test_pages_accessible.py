"""axe-core finds nothing on any page, in light and in dark."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Literal

import pytest
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped]  # it has no stubs
from playwright.async_api import Browser, Page, ViewportSize, expect

from allocator.sessions.model import Activity, BusyView, SessionState
from tests.fake_sessions import A1111, ALICE, EASEL
from tests.page_harness import PageHarness, opened, pages

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]
IN_USE: dict[str, Any] = {
    "gameserver": "easel-1",
    "busy": BusyView("idle"),
    "last_activity": Activity(0.0, "presence"),
    "alive_because": "You were here a moment ago.",
}
S = SessionState
SCHEMES: dict[Literal["light", "dark"], dict[str, Any]] = {"light": {}, "dark": {"runOnly": ["color-contrast"]}}
"""With what axe is asked: nothing but the colours differs between them."""
PHONE: ViewportSize = {"width": 320, "height": 700}
DESK: ViewportSize = {"width": 1280, "height": 720}


async def nothing(page: Page) -> None:
    """The page as it is."""


async def ask_to_release(page: Page) -> None:
    await page.locator("#release button").click()
    await expect(page.locator("#confirm")).to_be_visible()


async def ask_why(page: Page) -> None:
    await page.locator("#status").click()
    await expect(page.locator("#why")).to_be_visible()


async def hide_the_bar(page: Page) -> None:
    await page.locator("#hide").click()
    await expect(page.locator("#unhide")).to_be_visible()


@dataclass(frozen=True)
class Scene:
    """A page in a state. `left` is the time until the release."""

    name: str
    path: str
    state: SessionState = S.NONE
    fields: dict[str, Any] = field(default_factory=dict)
    act: Callable[[Page], Awaitable[None]] = nothing
    left: float | None = None
    several: bool = False
    webui_down: bool = False
    nobody: bool = False


SCENES = [
    Scene("sign-in", "/_atelier/sign-in", nobody=True),
    Scene("sign-in-again", "/_atelier/sign-in?name=Al%20ice", nobody=True),
    Scene("refused", "/_atelier/refused", nobody=True),
    Scene("not-found", "/_atelier/nothing"),
    Scene("start", "/_atelier/start"),
    Scene("choose", "/_atelier/start", several=True),
    Scene("queued", "/_atelier/start", S.QUEUED, {"position": 3, "eta_seconds": 140.0, "step": "All 4 WebUIs are in use."}),
    Scene("preparing", "/_atelier/start", S.PREPARING, {"step": "Nearly there.", "timeline": (("queued", 0.0),)}),
    Scene("releasing", "/_atelier/start", S.RELEASING, {"reason": "Released by its user."}),
    Scene("ended", "/_atelier/start", S.ENDED, {"reason": "Nobody was there for 30 minutes."}),
    Scene("failed", "/_atelier/start", S.FAILED, {"reason": "The WebUI never started."}),
    Scene("desk", "/_atelier/desk", S.ACTIVE, IN_USE, left=1600.0),
    Scene("desk-unknown", "/_atelier/desk", S.ACTIVE, {**IN_USE, "busy": BusyView("unknown")}),
    Scene("desk-why", "/_atelier/desk", S.ACTIVE, {**IN_USE, "busy": BusyView("busy")}, ask_why),
    Scene("desk-release", "/_atelier/desk", S.ACTIVE, IN_USE, ask_to_release),
    Scene("desk-full", "/_atelier/desk", S.ACTIVE, IN_USE, hide_the_bar),
    Scene("desk-ending", "/_atelier/desk", S.ENDING, IN_USE, left=90.0),
    Scene("desk-down", "/_atelier/desk", S.ACTIVE, IN_USE, webui_down=True),
    Scene("unavailable", "/", S.ACTIVE, IN_USE, webui_down=True),
]


async def set_up(harness: PageHarness, scene: Scene) -> None:
    sessions = harness.sessions
    harness.user = None if scene.nobody else ALICE
    harness.webui_down = scene.webui_down
    sessions.offered = (EASEL, A1111) if scene.several else (EASEL,)
    sessions.on_start = {"state": S.NONE}
    ends = None if scene.left is None else sessions.clock.time() + scene.left
    sessions.set(ALICE, scene.state, **{**scene.fields, "releases_at": ends})


async def test_every_page_is_accessible_light_and_dark_and_fits_a_phone(browser: Browser) -> None:
    found: dict[tuple[str, str], str] = {}
    async with pages() as harness, opened(browser, f"{harness.url}/_atelier/healthz") as page:
        await page.emulate_media(reduced_motion="reduce")
        for scene in SCENES:
            await page.goto(f"{harness.url}/_atelier/healthz")  # a page of the last scene would follow the change
            await page.evaluate("sessionStorage.clear()")
            await set_up(harness, scene)
            await page.goto(harness.url + scene.path)
            await scene.act(page)
            for scheme, rules in SCHEMES.items():
                await page.emulate_media(color_scheme=scheme)
                results = await Axe().run(page, options=rules)
                if results.violations_count:
                    found[scene.name, scheme] = results.generate_report()
            await page.set_viewport_size(PHONE)
            if await page.evaluate("document.documentElement.scrollWidth") > PHONE["width"]:
                found[scene.name, "phone"] = "has to be scrolled sideways"
            await page.set_viewport_size(DESK)
    assert found == {}


async def test_the_whole_way_by_keyboard(browser: Browser) -> None:
    """From the waiting room's Cancel to the dialog's answer without a pointer."""
    async with pages() as harness:
        harness.sessions.set(ALICE, S.ACTIVE, **IN_USE)
        async with opened(browser, harness.url + "/_atelier/desk") as page:
            await page.locator("#status").focus()
            for expected in ("Extend", "Release", "Full page"):
                await page.keyboard.press("Tab")
                assert expected in await page.evaluate("document.activeElement.textContent")
            await page.keyboard.press("Shift+Tab")
            await page.keyboard.press("Enter")
            await expect(page.locator("#confirm")).to_be_visible()
            assert await page.evaluate("document.activeElement.textContent") == "Keep working"
            await page.keyboard.press("Escape")
            await expect(page.locator("#confirm")).to_be_hidden()
            assert harness.sessions.calls[-1][0] != "release"
