"""The waiting room in a real browser: what starts a session, what a person sees meanwhile, and where it leads."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, expect

from allocator.sessions.api import SessionRefused
from allocator.sessions.model import SessionState
from tests.fake_sessions import A1111, ALICE, EASEL
from tests.page_harness import PageHarness, opened, pages, reason

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]
START = "/_atelier/start?at=/other%3Ftab%3D2"
HIDDEN = """
Object.defineProperty(document, "visibilityState", { get: () => window.seen ? "visible" : "hidden" });
Object.defineProperty(document, "hidden", { get: () => !window.seen });
"""
S = SessionState


@pytest_asyncio.fixture(loop_scope="session")
async def harness() -> AsyncIterator[PageHarness]:
    async with pages() as harness:
        yield harness


def started(harness: PageHarness) -> list[str]:
    return [profile for method, _, profile in harness.sessions.calls if method == "start"]


async def test_a_visible_tab_waits_and_lands_in_the_webui_without_a_click(harness: PageHarness, browser: Browser) -> None:
    async with opened(browser, harness.url + START) as page:
        await harness.sessions.called("start")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Opening Easel (demo)")
        harness.sessions.change(ALICE, position=2, eta_seconds=140.0, step="All 4 WebUIs are in use.")
        await expect(page.get_by_role("status").first).to_have_text("All 4 WebUIs are in use.")
        await expect(page.locator("#expected")).to_have_text("about 2 min more")
        await expect(page.locator(".times")).to_contain_text("place 2 in line")
        await expect(page).to_have_title("Opening · Atelier")
        harness.sessions.change(ALICE, state=S.PREPARING, position=None, step="Putting your folders in place.")
        await expect(page.locator("[data-step=preparing]")).to_have_attribute("aria-current", "step")
        await expect(page.locator("[data-step=queued]")).to_have_attribute("data-is", "done")
        harness.sessions.change(ALICE, state=S.ACTIVE, gameserver="easel-1")
        await expect(page.locator("#frame")).to_have_attribute("src", "/other?tab=2")
        assert started(harness) == [""]


async def test_live_changes_move_nothing(harness: PageHarness, browser: Browser) -> None:
    harness.sessions.set(ALICE, S.QUEUED, step="Looking for a WebUI.")
    async with opened(browser, harness.url + START) as page:
        cancel = page.get_by_role("button", name="Cancel")
        before = await cancel.bounding_box()
        harness.sessions.change(ALICE, position=12, eta_seconds=10.0, step="All 4 WebUIs are in use. The next one is for you.")
        await expect(page.locator(".times")).to_contain_text("place 12 in line")
        harness.sessions.change(ALICE, state=S.PREPARING, position=None, eta_seconds=None, step="Nearly.")
        await expect(page.locator(".sentence")).to_have_text("Nearly.")
        assert await cancel.bounding_box() == before


async def test_a_background_tab_starts_nothing_until_it_is_looked_at(harness: PageHarness, browser: Browser) -> None:
    async with opened(browser, "about:blank") as page:
        await page.add_init_script(HIDDEN)
        await page.goto(harness.url + START)
        await harness.sessions.called("changes")  # the script has run to its end: the stream is the last it opens
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await page.evaluate("fetch('/_atelier/api/session').then((reply) => reply.json())")
        assert started(harness) == []
        await page.evaluate("window.seen = true; document.dispatchEvent(new Event('visibilitychange'))")
        await harness.sessions.called("start")
        assert started(harness) == [""]


async def test_a_session_started_meanwhile_is_not_started_twice(harness: PageHarness, browser: Browser) -> None:
    async with opened(browser, "about:blank") as page:
        await page.add_init_script(HIDDEN)
        await page.goto(harness.url + START)
        harness.sessions.set(ALICE, S.QUEUED, step="Started in another tab.")
        await expect(page.locator(".sentence")).to_have_text("Started in another tab.")
        await page.evaluate("window.seen = true; document.dispatchEvent(new Event('visibilitychange'))")
        await page.evaluate("fetch('/_atelier/api/session').then((reply) => reply.json())")
        assert started(harness) == []


async def test_after_the_end_only_a_click_starts_again(harness: PageHarness, browser: Browser) -> None:
    harness.sessions.set(ALICE, S.ENDED, reason="Nobody was there for 30 minutes.")
    async with opened(browser, harness.url + START) as page:
        await expect(reason(page)).to_contain_text("Nobody was there for 30 minutes.")
        harness.sessions.set(ALICE, S.NONE)  # the record lapses
        await page.evaluate("fetch('/_atelier/api/session').then((reply) => reply.json())")
        await expect(page.get_by_role("heading", level=1)).to_have_text("Your WebUI was released")
        assert started(harness) == []
        await page.get_by_role("button", name="Start again").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Opening Easel (demo)")
        assert started(harness) == ["easel"]


async def test_a_tab_whose_wait_was_cancelled_elsewhere_starts_nothing(harness: PageHarness, browser: Browser) -> None:
    harness.sessions.set(ALICE, S.QUEUED)
    async with opened(browser, harness.url + START) as page:
        await harness.sessions.called("changes")
        harness.sessions.set(ALICE, S.NONE)
        await expect(page.get_by_role("button", name="Start")).to_be_visible()
        assert started(harness) == []


async def test_several_profiles_are_chosen_by_a_click(harness: PageHarness, browser: Browser) -> None:
    harness.sessions.offered = (EASEL, A1111)
    async with opened(browser, harness.url + START) as page:
        await harness.sessions.called("changes")
        assert started(harness) == []
        await page.get_by_role("button", name="Stable Diffusion 1.5").click()
        await expect(page.get_by_role("button", name="Cancel")).to_be_visible()
        assert started(harness) == ["sd15"]


async def test_cancel_leaves_the_queue(harness: PageHarness, browser: Browser) -> None:
    harness.sessions.set(ALICE, S.QUEUED)
    async with opened(browser, harness.url + START) as page:
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Your WebUI was released")
        assert await page.evaluate("document.activeElement.tagName") == "H1"
        assert harness.sessions.calls[-1] == ("release", ALICE.key, "Released by its user.")


async def test_a_refused_start_says_why_and_can_be_tried_again(harness: PageHarness, browser: Browser) -> None:
    harness.sessions.refusal = SessionRefused("not_now", "You may not have a WebUI now.", 403)
    async with opened(browser, harness.url + START) as page:
        await expect(page.get_by_role("alert")).to_have_text("You may not have a WebUI now.")
        harness.sessions.change(ALICE)  # other news do not take it away
        await page.evaluate("fetch('/_atelier/api/session').then((reply) => reply.json())")
        await expect(page.get_by_role("alert")).to_be_visible()
        harness.sessions.refusal = None
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("alert")).to_be_hidden()
        await expect(page.get_by_role("button", name="Cancel")).to_be_visible()


async def test_a_start_while_atelier_itself_starts_is_tried_again(harness: PageHarness, browser: Browser) -> None:
    harness.sessions.refusal = SessionRefused("starting", "Atelier is starting. Try again in a moment.", 503, retry_after=1)
    async with opened(browser, harness.url + START) as page:
        await expect(page.get_by_role("alert")).to_have_text("Atelier is starting. Try again in a moment.")
        harness.sessions.refusal = None
        await expect(page.get_by_role("button", name="Cancel")).to_be_visible()


async def test_a_wait_goes_on_after_the_pages_were_away(harness: PageHarness, browser: Browser) -> None:
    harness.sessions.set(ALICE, S.QUEUED, step="Before.")
    async with opened(browser, harness.url + START) as page:
        await harness.sessions.called("changes")
        await harness.stop_app()
        await expect(page.locator("#connection")).to_be_visible()
        harness.sessions.set(ALICE, S.PREPARING, step="After.")
        await harness.start_app()
        await expect(page.locator(".sentence")).to_have_text("After.")
        await expect(page.locator("#connection")).to_be_hidden()


async def test_tabs_share_one_stream_and_hear_the_same(harness: PageHarness, browser: Browser) -> None:
    harness.sessions.set(ALICE, S.QUEUED, step="One.")
    async with opened(browser, harness.url + START) as page:
        await harness.sessions.called("changes")
        tabs = [await page.context.new_page() for _ in range(8)]  # more than the connections that browsers allow
        for tab in tabs:
            await tab.goto(harness.url + START)
        harness.sessions.change(ALICE, step="Two.")
        for tab in (page, *tabs):
            await expect(tab.locator(".sentence")).to_have_text("Two.")
        assert harness.sessions.listeners == 1
        await page.close()  # another tab takes over
        await harness.sessions.called("changes", 2)
        harness.sessions.change(ALICE, step="Three.")
        for tab in tabs:
            await expect(tab.locator(".sentence")).to_have_text("Three.")


async def test_an_expired_sign_in_reloads_once_and_then_says_so(harness: PageHarness, browser: Browser) -> None:
    harness.sessions.set(ALICE, S.QUEUED)
    async with opened(browser, harness.url + START) as page:
        await harness.sessions.called("changes")
        loads: list[str] = []
        page.on("request", lambda request: loads.append(request.url) if request.is_navigation_request() else None)
        harness.user = None
        await harness.stop_app()
        await harness.start_app()
        await expect(page).to_have_url(harness.url + "/_atelier/sign-in")
        assert loads.count(harness.url + START) == 1


async def test_a_page_that_reloaded_by_itself_starts_nothing(harness: PageHarness, browser: Browser) -> None:
    async with opened(browser, harness.url + "/_atelier/sign-in") as page:
        await page.evaluate("sessionStorage.setItem('atelier-went-by-itself', String(Date.now()))")
        await page.goto(harness.url + START)
        await harness.sessions.called("changes")
        await expect(page.get_by_role("button", name="Start")).to_be_visible()
        assert started(harness) == []


async def test_without_script_the_same_way_works(harness: PageHarness, browser: Browser) -> None:
    async with opened(browser, harness.url + START, java_script_enabled=False) as page:
        await page.get_by_role("button", name="Start").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Opening Easel (demo)")
        await page.get_by_role("button", name="Cancel").click()
        await expect(page.get_by_role("heading", level=1)).to_have_text("Your WebUI was released")


async def test_a_name_leads_to_the_users_own_address(harness: PageHarness, browser: Browser) -> None:
    harness.sessions.set(ALICE, S.ACTIVE)
    async with opened(browser, harness.url.replace("alice.", "") + "/_atelier/sign-in") as page:
        await page.get_by_label("Your name").fill("Bob")
        await page.keyboard.press("Enter")
        await page.wait_for_url(harness.url.replace("alice", "bob") + "/**")
