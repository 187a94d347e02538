"""The desk in a real browser: presence, time left, release, and what happens when the WebUI or the session goes away."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, Page, expect

from allocator.sessions.api import SessionRefused
from allocator.sessions.model import BusyView, SessionState
from tests.fake_sessions import ALICE
from tests.page_harness import PageHarness, opened, pages, reason

pytestmark = [pytest.mark.browser, pytest.mark.timeout(60)]
S = SessionState


@pytest_asyncio.fixture(loop_scope="session")
async def harness() -> AsyncIterator[PageHarness]:
    async with pages() as harness:
        harness.sessions.set(ALICE, S.ACTIVE, gameserver="easel-1", busy=BusyView("idle"), releases_at=in_(harness, 1700))
        yield harness


@pytest_asyncio.fixture(loop_scope="session")
async def page(harness: PageHarness, browser: Browser) -> AsyncIterator[Page]:
    async with opened(browser, harness.url + "/") as page:
        await loaded(page)
        yield page


def in_(harness: PageHarness, seconds: float) -> float:
    return harness.sessions.clock.time() + seconds


def presences(harness: PageHarness) -> list[str]:
    return [source for method, _, source in harness.sessions.calls if method == "presence"]


async def loaded(page: Page, title: str = "Easel") -> None:
    await expect(page).to_have_title(title)
    await expect(page.locator("#bar")).to_be_visible()


async def test_the_webui_has_the_focus_and_a_key_in_it_is_presence_at_once(harness: PageHarness, page: Page) -> None:
    assert await page.evaluate("document.activeElement.id") == "frame"
    await page.frame_locator("#frame").locator("#prompt").focus()
    await page.keyboard.press("x")
    await harness.sessions.called("presence")
    assert presences(harness) == ["keyboard"]


async def test_presence_is_heard_again_in_the_frames_next_page(harness: PageHarness, page: Page) -> None:
    harness.sessions.change(ALICE, presence_seconds=0.0)
    frame = page.frame_locator("#frame")
    await frame.locator("#other").focus()
    await page.keyboard.press("Enter")
    await loaded(page, "Other")
    before = len(presences(harness))
    await frame.locator("#prompt").focus()
    await page.keyboard.press("y")
    await harness.sessions.called("presence", before + 1)


async def test_presence_is_reported_no_more_often_than_asked_for(harness: PageHarness, page: Page) -> None:
    prompt = page.frame_locator("#frame").locator("#prompt")
    await prompt.focus()
    for _ in range(20):
        await page.keyboard.press("z")
    await prompt.click()
    await page.mouse.wheel(0, 50)
    await harness.sessions.called("presence")
    await page.evaluate("fetch('/_atelier/api/session').then((reply) => reply.json())")
    assert presences(harness) == ["keyboard"]


async def test_what_a_script_fakes_and_a_resting_pointer_are_nobody(harness: PageHarness, page: Page) -> None:
    frame = page.frame_locator("#frame")
    await frame.locator("#prompt").evaluate(
        """(prompt) => {
            prompt.dispatchEvent(new KeyboardEvent("keydown", { key: "a", bubbles: true }));
            prompt.dispatchEvent(new PointerEvent("pointerdown", { bubbles: true }));
            prompt.click();
        }"""
    )
    await page.mouse.move(400, 400)
    await page.mouse.move(400, 400)
    await page.evaluate("fetch('/_atelier/api/session').then((reply) => reply.json())")
    assert presences(harness) == []
    await page.mouse.move(420, 400)
    await harness.sessions.called("presence")
    assert presences(harness) == ["pointer"]


async def test_title_and_path_of_the_webui_are_the_tabs(harness: PageHarness, page: Page) -> None:
    assert page.url == harness.url + "/"
    frame = page.frame_locator("#frame")
    await frame.locator("#file").click()
    await expect(page).to_have_url(harness.url + "/_atelier/desk?at=%2Ffile%3Da.png")
    await expect(page).to_have_title("A file")
    await page.reload()
    await loaded(page, "A file")
    await frame.locator("#prompt").evaluate("() => { location.href = '/'; }")
    await loaded(page)
    await expect(page).to_have_url(harness.url + "/")


async def test_back_and_forward_move_in_the_webui(harness: PageHarness, page: Page) -> None:
    await page.frame_locator("#frame").locator("#other").click()
    await loaded(page, "Other")
    await page.evaluate("history.back()")
    await loaded(page, "Easel")
    await expect(page).to_have_url(harness.url + "/")
    await page.evaluate("history.forward()")
    await loaded(page, "Other")


async def test_the_bar_says_how_long_how_busy_and_why(harness: PageHarness, page: Page) -> None:
    await expect(page.locator("#left")).to_have_text("28 min left")
    await expect(page.locator("#status")).to_contain_text("Idle")
    harness.sessions.change(ALICE, busy=BusyView("busy"), releases_at=in_(harness, 86400), alive_because="An image is made.")
    await expect(page.locator("#status .when-busy")).to_be_visible()
    await expect(page.locator("#left")).to_have_text("")
    await page.locator("#status").click()
    await expect(page.locator("#why")).to_contain_text("An image is made.")
    await page.keyboard.press("Escape")
    harness.sessions.change(ALICE, busy=None)
    await expect(page.locator("#status .when-unknown")).to_be_visible()


async def test_an_announced_release_is_counted_down_and_taken_back_by_a_click(harness: PageHarness, page: Page) -> None:
    await page.locator("#hide").click()
    await expect(page.locator("#bar")).to_be_hidden()
    harness.sessions.change(ALICE, state=S.ENDING, releases_at=in_(harness, 100))
    await expect(page.locator("#warning")).to_contain_text("Released in 1:3")
    await expect(page.locator("#announce")).to_contain_text("Your WebUI is released in")
    await expect(page.locator("#bar")).to_be_visible()
    await expect(page).to_have_title("Ending soon · Easel")
    harness.sessions.on_extend = {"state": S.ACTIVE, "releases_at": in_(harness, 1800)}
    await page.get_by_role("button", name="I am still here").click()
    await expect(page.locator("#warning")).to_be_hidden()
    await expect(page.locator("#said")).to_have_text("Extended. 30 min left")
    await expect(page).to_have_title("Easel")


async def test_a_key_in_the_webui_takes_an_announced_release_back(harness: PageHarness, page: Page) -> None:
    await page.frame_locator("#frame").locator("#prompt").focus()
    await page.keyboard.press("a")
    await harness.sessions.called("presence")
    harness.sessions.on_presence = {"state": S.ACTIVE}
    harness.sessions.change(ALICE, state=S.ENDING, releases_at=in_(harness, 100))
    await expect(page.locator("#warning")).to_be_visible()
    for _ in range(100):  # within the minute, but a warning is worth a second report
        await page.keyboard.press("b")
        if len(presences(harness)) == 2:
            break
        await page.wait_for_timeout(50)
    await expect(page.locator("#warning")).to_be_hidden()


async def test_a_release_is_asked_for_twice_and_told_to_every_tab_and_browser(
    harness: PageHarness, page: Page, browser: Browser
) -> None:
    second = await page.context.new_page()
    await second.goto(harness.url + "/other")
    async with opened(browser, harness.url + "/") as elsewhere:
        for tab in (second, elsewhere):
            await expect(tab.locator("#frame")).to_be_visible()
        await page.locator("#release button").click()
        await page.get_by_role("button", name="Keep working").click()
        assert "release" not in {method for method, _, _ in harness.sessions.calls}
        await page.locator("#release button").click()
        await page.locator("#confirm").get_by_role("button", name="Release").click()
        for tab in (page, second, elsewhere):
            await expect(tab.get_by_role("heading", name="Your WebUI was released")).to_be_visible()
            await expect(reason(tab)).to_contain_text("Released by its user.")
            await expect(tab.locator("iframe")).to_have_count(0)
            await expect(tab.locator("#bar")).to_be_hidden()
        assert [method for method, _, _ in harness.sessions.calls].count("release") == 1


async def test_start_again_leads_back_to_where_one_was_in_every_tab(harness: PageHarness, page: Page) -> None:
    second = await page.context.new_page()
    await second.goto(harness.url + "/other")
    await loaded(second, "Other")
    harness.sessions.set(ALICE, S.ENDED, reason="Nobody was there.")
    harness.sessions.on_start = {"state": S.QUEUED, "step": "Looking."}
    await page.get_by_role("button", name="Start again").click()
    for tab in (page, second):
        await expect(tab.get_by_role("heading", level=1)).to_have_text("Opening Easel (demo)")
    harness.sessions.set(ALICE, S.ACTIVE, gameserver="easel-2")
    await loaded(page)
    await loaded(second, "Other")
    assert [method for method, _, _ in harness.sessions.calls].count("start") == 1


async def test_a_session_whose_record_lapses_keeps_saying_why(harness: PageHarness, page: Page) -> None:
    harness.sessions.set(ALICE, S.ENDED, reason="Nobody was there.")
    await expect(reason(page)).to_contain_text("Nobody was there.")
    harness.sessions.set(ALICE, S.NONE)
    await page.evaluate("fetch('/_atelier/api/session').then((reply) => reply.json())")
    await expect(reason(page)).to_contain_text("Nobody was there.")


async def test_another_gameserver_reloads_the_frame(harness: PageHarness, page: Page) -> None:
    async with page.expect_event("framenavigated") as navigated:
        harness.sessions.change(ALICE, gameserver="easel-2")
    assert (await navigated.value).parent_frame is not None
    assert harness.visits[-1] == "GET /"


async def test_a_webui_that_does_not_answer_comes_back_by_itself(harness: PageHarness, page: Page) -> None:
    harness.webui_down = True
    await page.frame_locator("#frame").locator("#other").click()
    inner = page.frame_locator("#frame")
    await expect(inner.get_by_role("heading", name="The WebUI does not answer")).to_be_visible()
    await expect(page.locator("#recovery")).to_be_hidden()
    harness.webui_down = False
    await loaded(page, "Other")
    await expect(inner.locator("#prompt")).to_be_visible()


async def test_a_frame_that_the_browser_cannot_load_is_explained_and_loaded_again(harness: PageHarness, page: Page) -> None:
    await page.context.route("**/other*", lambda route: route.abort("connectionfailed"))
    await page.frame_locator("#frame").locator("#other").click()
    await expect(page.locator("#recovery")).to_be_visible()
    await page.context.unroute("**/other*")
    await expect(page.frame_locator("#frame").locator("#prompt")).to_be_visible()
    await expect(page.locator("#recovery")).to_be_hidden()


async def test_the_unavailable_page_gives_up_when_the_session_ends(harness: PageHarness, browser: Browser) -> None:
    harness.webui_down = True
    async with opened(browser, harness.url + "/other") as page:
        await expect(page.get_by_role("heading", name="The WebUI does not answer")).to_be_visible()
        harness.sessions.set(ALICE, S.FAILED, reason="It stopped three times.")
        await expect(reason(page)).to_contain_text("It stopped three times.")
        assert "start" not in {method for method, _, _ in harness.sessions.calls}


async def test_the_bar_hides_stays_hidden_and_returns(harness: PageHarness, page: Page) -> None:
    await page.locator("#hide").click()
    await expect(page.locator("#bar")).to_be_hidden()
    box = await page.locator("#frame").bounding_box()
    assert box is not None
    assert box["y"] == 0
    await page.reload()
    await expect(page.locator("#unhide")).to_be_visible()
    await expect(page.locator("#bar")).to_be_hidden()
    await page.get_by_role("button", name="Show the bar").click()
    await expect(page.locator("#bar")).to_be_visible()


async def test_an_expired_sign_in_reloads_the_tab_once(harness: PageHarness, page: Page) -> None:
    loads: list[str] = []
    page.on("request", lambda request: loads.append(request.url) if request.is_navigation_request() else None)
    harness.user = None
    await page.frame_locator("#frame").locator("#prompt").press("a")
    await expect(page).to_have_url(harness.url + "/_atelier/sign-in")
    assert loads.count(harness.url + "/") == 1


async def test_a_refusal_is_told(harness: PageHarness, page: Page) -> None:
    harness.sessions.refusal = SessionRefused("unavailable", "Sessions cannot be reached just now.", 503)
    await page.get_by_role("button", name="Extend").click()
    await expect(page.locator("#problem")).to_have_text("Sessions cannot be reached just now.")
