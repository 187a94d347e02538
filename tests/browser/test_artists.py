"""People in front of real browsers, a real WebUI behind the real gateway."""

import asyncio
import base64
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from playwright.async_api import Browser, expect

from tests.browser.artist import PATIENCE, artist, chromium, generate, webui
from tests.running_atelier import RunningAtelier, images, short_folder

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

TINY_PNG = base64.b64decode("iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==")


@pytest.fixture
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture
def data() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


@pytest.fixture
async def atelier(data: Path) -> AsyncIterator[RunningAtelier]:
    environment = {"EASEL_STEP_SECONDS": "0.05"}
    async with RunningAtelier(data, ("--size", "3", "--warm", "2"), environment) as running:
        yield running


async def test_two_users_at_once_see_only_their_own_images(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "alice", atelier.port) as alice, artist(browser, "bob", atelier.port) as bob:
        (_, hers), (_, his) = await asyncio.gather(alice.at_work(), bob.at_work())
        await asyncio.gather(generate(hers, "alice's harbour"), generate(his, "bob's mountain"))
        await generate(hers, "alice's second")
        assert await hers.locator("#pictures li").count() == 2
        assert await his.locator("#pictures li").count() == 1
        owners = {image.relative_to(atelier.data / "users").parts[0] for image in images(atelier.data)}
        assert len(owners) == 2
        assert alice.troubles == bob.troubles == []


async def test_sign_in_leads_to_the_webui_without_another_click(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "carol", atelier.port) as carol:
        page = await carol.context.new_page()
        await page.goto(f"http://localhost:{atelier.port}/")
        await page.get_by_role("textbox").fill("carol")
        await page.keyboard.press("Enter")
        await webui(page)
        assert page.url.startswith(carol.address)


async def test_reload_back_and_second_tab_stay_with_the_same_webui(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "alice", atelier.port) as alice:
        page, frame = await alice.at_work()
        await generate(frame, "one")
        server = (await atelier.session("alice"))["gameserver"]
        await page.reload()
        await expect((await webui(page)).locator("#pictures li")).to_have_count(1)
        await page.goto(f"http://localhost:{atelier.port}/_atelier/sign-in")
        await page.go_back()
        await webui(page)
        _, second = await alice.at_work()
        await expect(second.locator("#pictures li")).to_have_count(1)
        assert (await atelier.session("alice"))["gameserver"] == server


async def test_a_release_in_one_browser_tells_the_other(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "alice", atelier.port) as here, artist(browser, "alice", atelier.port) as there:
        mine, _ = await here.at_work()
        theirs, _ = await there.at_work()
        await mine.locator("#release button").click()
        await mine.locator("#confirm button[value=release]").click()
        for page in (mine, theirs):
            await expect(page.locator("#frame")).to_have_count(0, timeout=PATIENCE)
            await expect(page.get_by_role("button", name="Start again")).to_be_visible(timeout=PATIENCE)


async def test_start_again_finds_yesterdays_images(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "alice", atelier.port) as alice:
        page, frame = await alice.at_work()
        await generate(frame, "yesterday")
        await page.locator("#release button").click()
        await page.locator("#confirm button[value=release]").click()
        await page.get_by_role("button", name="Start again").click()
        await expect((await webui(page)).locator("#pictures li")).to_have_count(1)


async def test_after_a_release_neither_a_reload_nor_a_new_tab_starts_anything(
    browser: Browser, atelier: RunningAtelier
) -> None:
    async with artist(browser, "alice", atelier.port) as alice:
        page, _ = await alice.at_work()
        await atelier.api("alice", "DELETE", "/_atelier/api/session")
        await atelier.until("alice", lambda view: view["state"] == "ended")
        await page.reload()
        await expect(page.get_by_role("button", name="Start again")).to_be_visible()
        tab = await alice.open()
        await expect(tab.get_by_role("button", name="Start again")).to_be_visible()
        assert (await atelier.session("alice"))["state"] == "ended"


async def test_a_background_tab_starts_nothing(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "dora", atelier.port) as dora:
        hidden = "Object.defineProperty(document, 'visibilityState', {get: () => globalThis.seen ? 'visible' : 'hidden'})"
        await dora.context.add_init_script(hidden)
        page = await dora.open()
        await expect(page.locator("main")).to_be_visible()
        await page.wait_for_timeout(1000)  # nothing shall happen, and nothing tells of that
        assert (await atelier.session("dora"))["state"] == "none"
        await page.evaluate("globalThis.seen = true; document.dispatchEvent(new Event('visibilitychange'))")
        await webui(page)


async def test_paste_drop_and_ctrl_enter_reach_the_webui(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "alice", atelier.port) as alice:
        page, frame = await alice.at_work()
        payload = base64.b64encode(TINY_PNG).decode()
        for kind, event in (("paste", "ClipboardEvent"), ("drop", "DragEvent")):
            inside = next(each for each in page.frames if each.parent_frame)
            await inside.evaluate(
                """([kind, event, payload]) => {
                  const bytes = Uint8Array.from(atob(payload), (c) => c.charCodeAt(0));
                  const data = new DataTransfer();
                  data.items.add(new File([bytes], kind + ".png", {type: "image/png"}));
                  const options = {bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data};
                  document.getElementById("prompt").dispatchEvent(new globalThis[event](kind, options));
                }""",
                [kind, event, payload],
            )
            await expect(frame.locator("#status")).to_contain_text(f"{kind}.png")
        await frame.locator("#clear").click()
        await frame.locator("#steps").fill("2")
        await frame.locator("#prompt").fill("by keyboard")
        await page.keyboard.press("Control+Enter")
        await expect(frame.locator("#pictures li")).to_have_count(1, timeout=PATIENCE)


async def test_the_frame_has_the_focus_at_once(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "alice", atelier.port) as alice:
        page, frame = await alice.at_work()
        await page.wait_for_function("document.activeElement?.id === 'frame'")
        await page.keyboard.type("typed without a click")
        await expect(frame.locator("#prompt")).to_have_value("typed without a click")


async def test_a_service_worker_is_refused(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "alice", atelier.port) as alice:
        page, frame = await alice.at_work()
        await frame.locator("summary").click()
        await frame.locator("#register").click()
        await expect(frame.locator("#failure-status")).to_contain_text("Refused")
        assert await page.evaluate("navigator.serviceWorker.getRegistrations().then((found) => found.length)") == 0


async def test_presence_is_heard_and_counted(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "alice", atelier.port) as alice:
        _, frame = await alice.at_work()
        await frame.locator("#prompt").press_sequentially("a")
        view = await atelier.until("alice", lambda view: (view["last_activity"] or {}).get("kind") == "presence")
        assert view["state"] == "active"


async def test_an_idle_release_is_announced_and_can_be_put_off(browser: Browser, data: Path) -> None:
    environment = {"ATELIER_TEST_MIN_IDLE": "1"}
    async with (
        RunningAtelier(data, ("--idle-timeout", "8s"), environment) as atelier,
        artist(browser, "alice", atelier.port) as alice,
    ):
        page, _ = await alice.at_work()
        keep = page.get_by_role("button", name="I am still here")
        await expect(keep).to_be_visible(timeout=PATIENCE)
        await keep.click()
        await expect(keep).to_be_hidden(timeout=PATIENCE)
        assert (await atelier.session("alice"))["state"] == "active"
        await expect(page.get_by_role("button", name="Start again")).to_be_visible(timeout=PATIENCE)


async def test_a_generation_longer_than_the_idle_timeout_is_not_cut(browser: Browser, data: Path) -> None:
    environment = {"ATELIER_TEST_MIN_IDLE": "1", "EASEL_STEP_SECONDS": "1"}
    async with (
        RunningAtelier(data, ("--idle-timeout", "4s"), environment) as atelier,
        artist(browser, "alice", atelier.port) as alice,
    ):
        _, frame = await alice.at_work()
        await generate(frame, "a long one", steps=12)
        assert len(list(images(atelier.data))) == 1


async def test_a_crashed_webui_comes_back_in_the_same_tab(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "alice", atelier.port) as alice:
        page, frame = await alice.at_work()
        await generate(frame, "before the crash")
        await frame.locator("summary").click()
        await frame.locator("#failures button[data-how=crash]").click()
        await page.reload()
        await expect((await webui(page)).locator("#pictures li")).to_have_count(1, timeout=PATIENCE)


async def test_an_invalid_name_gets_a_page_that_says_so(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "-bad-", atelier.port) as nobody:
        page = await nobody.open()
        await expect(page.locator("body")).to_contain_text("letters a-z, digits and hyphens")
