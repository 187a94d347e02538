"""People in front of real browsers, a real WebUI behind the real gateway. All of them work at one Atelier."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from playwright.async_api import Browser, FrameLocator, Page, expect

from tests.browser.artist import PATIENCE, artist, generate, webui
from tests.running_atelier import RunningAtelier, images, short_folder

pytestmark = [pytest.mark.browser, pytest.mark.timeout(120)]

TINY_PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
GIVE = """([kind, event, payload]) => {
  const bytes = Uint8Array.from(atob(payload), (c) => c.charCodeAt(0));
  const data = new DataTransfer();
  data.items.add(new File([bytes], kind + ".png", {type: "image/png"}));
  const options = {bubbles: true, cancelable: true, clipboardData: data, dataTransfer: data};
  document.getElementById("prompt").dispatchEvent(new globalThis[event](kind, options));
}"""
HIDDEN = "Object.defineProperty(document, 'visibilityState', {get: () => globalThis.seen ? 'visible' : 'hidden'})"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def atelier() -> AsyncIterator[RunningAtelier]:
    with short_folder() as data:
        async with RunningAtelier(data, ("--size", "4", "--warm", "2"), {"EASEL_STEP_SECONDS": "0.05"}) as running:
            yield running


async def release(page: Page) -> None:
    await page.locator("#release button").click()
    await page.locator("#confirm button[value=release]").click()


async def has_images(frame: FrameLocator, count: int) -> None:
    await expect(frame.locator("#pictures li")).to_have_count(count, timeout=PATIENCE)


async def test_two_users_at_once_see_only_their_own_images(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "alice", atelier) as alice, artist(browser, "bob", atelier) as bob:
        (here, hers), (there, his) = await asyncio.gather(alice.at_work(), bob.at_work())
        await asyncio.gather(generate(hers, "alice's harbour"), generate(his, "bob's mountain"))
        await generate(hers, "alice's second")
        for page, frame, prompts in (
            (here, hers, ["alice's second", "alice's harbour"]),
            (there, his, ["bob's mountain"]),
        ):
            await page.reload()
            await has_images(frame, len(prompts))
            shown = await frame.locator("#pictures img").evaluate_all("(all) => all.map((image) => image.alt)")
            assert shown == prompts
        owners = [image.relative_to(atelier.data / "users").parts[0] for image in images(atelier.data)]
        assert sorted(owners.count(owner) for owner in set(owners)) == [1, 2]


async def test_sign_in_leads_to_the_webui_without_another_click(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "carol", atelier) as carol:
        page = await carol.context.new_page()
        await page.goto(f"http://localhost:{atelier.port}/")
        await page.get_by_role("textbox").fill("carol")
        await page.keyboard.press("Enter")
        await webui(page)
        assert page.url.startswith(carol.address)


async def test_reload_back_and_second_tab_stay_with_the_same_webui(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "dora", atelier) as dora:
        page, frame = await dora.at_work()
        await generate(frame, "one")
        server = (await atelier.session("dora"))["gameserver"]
        await page.reload()
        await has_images(await webui(page), 1)
        await page.goto(f"http://localhost:{atelier.port}/_atelier/sign-in")
        await page.go_back()
        await webui(page)
        _, second = await dora.at_work()
        await has_images(second, 1)
        assert (await atelier.session("dora"))["gameserver"] == server


async def test_a_release_in_one_browser_tells_the_other_and_starts_nothing(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "erin", atelier) as here, artist(browser, "erin", atelier) as there:
        mine, _ = await here.at_work()
        theirs, _ = await there.at_work()
        await release(mine)
        for page in (mine, theirs):
            await expect(page.get_by_role("button", name="Start again")).to_be_visible(timeout=PATIENCE)
            await expect(page.locator("#frame")).to_have_count(0)
        await theirs.reload()
        for page in (theirs, await here.open()):
            await expect(page.get_by_role("button", name="Start again")).to_be_visible()
        assert (await atelier.session("erin"))["state"] == "ended"


async def test_start_again_finds_yesterdays_images(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "frank", atelier) as frank:
        page, frame = await frank.at_work()
        await generate(frame, "yesterday")
        before = (await atelier.session("frank"))["gameserver"]
        await release(page)
        await page.get_by_role("button", name="Start again").click()
        await has_images(await webui(page), 1)
        assert (await atelier.session("frank"))["gameserver"] != before


async def test_a_background_tab_starts_nothing_until_it_is_looked_at(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "grace", atelier) as grace:
        await grace.context.add_init_script(HIDDEN)
        async with grace.context.expect_event("request", lambda request: request.url.endswith("/api/events")):
            page = await grace.open()  # that stream is the last thing that the page's script opens
        await page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        await page.evaluate("fetch('/_atelier/api/session').then((reply) => reply.json())")
        assert (await atelier.session("grace"))["state"] == "none"
        await page.evaluate("globalThis.seen = true; document.dispatchEvent(new Event('visibilitychange'))")
        await webui(page)


async def test_typing_paste_drop_and_ctrl_enter_reach_the_webui(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "henry", atelier) as henry:
        page, frame = await henry.at_work()
        await page.wait_for_function("document.activeElement?.id === 'frame'")
        await page.keyboard.type("typed without a click")
        await expect(frame.locator("#prompt")).to_have_value("typed without a click")
        for kind, event in (("paste", "ClipboardEvent"), ("drop", "DragEvent")):
            await frame.locator("body").evaluate(f"(_, given) => ({GIVE})(given)", [kind, event, TINY_PNG])
            await expect(frame.locator("#status")).to_contain_text(f"{kind}.png")
        await frame.locator("#steps").fill("2")
        await frame.locator("#prompt").focus()
        await page.keyboard.press("Control+Enter")
        await has_images(frame, 1)
        assert len([image for image in images(atelier.data) if "img2img-images" in image.parts]) == 1


async def test_a_service_worker_is_refused(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "ivy", atelier) as ivy:
        page, frame = await ivy.at_work()
        await frame.locator("summary").click()
        await frame.locator("#register").click()
        await expect(frame.locator("#failure-status")).to_contain_text("Refused")
        assert await page.evaluate("navigator.serviceWorker.getRegistrations().then((found) => found.length)") == 0


async def test_a_crashed_webui_comes_back_in_the_same_tab(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "john", atelier) as john:
        page, frame = await john.at_work()
        await generate(frame, "before the crash")
        await frame.locator("summary").click()
        await frame.locator("#failures button[data-how=crash]").click()
        await page.reload()
        await has_images(await webui(page), 1)


async def test_an_invalid_name_gets_a_page_that_says_so(browser: Browser, atelier: RunningAtelier) -> None:
    async with artist(browser, "-bad-", atelier) as nobody:
        page = await nobody.open()
        await expect(page.locator("body")).to_contain_text("letters a-z, digits and hyphens")
