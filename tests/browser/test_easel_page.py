"""Easel's page in a real browser."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Literal

import pytest
import pytest_asyncio
from axe_playwright_python.async_playwright import Axe  # type: ignore[import-untyped] # it has none
from playwright.async_api import Browser, BrowserContext, Page, expect

pytestmark = pytest.mark.browser
ROOT = Path(__file__).parents[2]
GIVE = """([event, field, bytes]) => {
  const data = new DataTransfer();
  data.items.add(new File([new Uint8Array(bytes)], "a.png", { type: "image/png" }));
  const options = { [field]: data, bubbles: true, cancelable: true };
  document.body.dispatchEvent(event === "drop" ? new DragEvent(event, options) : new ClipboardEvent(event, options));
}"""
WATCH_TITLE = """() => {
  const seen = [];
  const watch = new MutationObserver(() => seen.push(document.title));
  watch.observe(document.querySelector("title"), { childList: true });
  return seen;
}"""


@pytest.fixture
def address(tmp_path: Path) -> Iterator[str]:
    command = [sys.executable, "-P", "-m", "webuis.easel", "--port=0", f"--data={tmp_path}", "--step-seconds=0.02"]
    with subprocess.Popen(command, env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        yield process.stderr.readline().split()[3]
        process.kill()


@pytest_asyncio.fixture(loop_scope="session")
async def context(browser: Browser) -> AsyncIterator[BrowserContext]:
    async with await browser.new_context() as context:
        yield context


async def generate(page: Page, prompt: str) -> None:
    await page.get_by_label("Prompt", exact=True).fill(prompt)
    await page.keyboard.press("Control+Enter")
    await expect(page.locator("#status")).to_have_text(re.compile("Done, with seed"), timeout=20_000)


async def test_a_person_generates_interrupts_and_finds_their_images_again(
    address: str, context: BrowserContext, tmp_path: Path
) -> None:
    page = await context.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    await page.goto(address)
    await expect(page.get_by_text("no model, no GPU")).to_be_visible()
    titles = await page.evaluate_handle(WATCH_TITLE)
    await generate(page, "a quiet valley")
    assert any(re.fullmatch(r"\d+ % - Easel", title) for title in await titles.json_value())
    await expect(page).to_have_title("Easel")
    await expect(page.get_by_role("link", name="a quiet valley")).to_have_count(1)

    await page.get_by_label("Steps").fill("1000")
    await page.get_by_role("button", name="Generate").click()
    await page.get_by_role("button", name="Interrupt").click()
    await expect(page.locator("#status")).to_have_text(re.compile("Interrupted"))

    await page.reload()
    await expect(page.get_by_role("link", name="a quiet valley")).to_have_count(1)
    assert len(list((tmp_path / "outputs").rglob("*.png"))) == 1
    assert faults == []


@pytest.mark.parametrize(("event", "field"), [("drop", "dataTransfer"), ("paste", "clipboardData")], ids=["drop", "paste"])
async def test_an_image_is_taken_to_start_from(
    address: str, context: BrowserContext, tmp_path: Path, event: str, field: str
) -> None:
    page = await context.new_page()
    await page.goto(address)
    await generate(page, "first")
    [first] = (tmp_path / "outputs").rglob("*.png")
    await page.evaluate(GIVE, [event, field, list(first.read_bytes())])
    await expect(page.get_by_alt_text("The image to start from")).to_be_visible()
    await generate(page, "second")
    assert len(list((tmp_path / "outputs" / "img2img-images").rglob("*.png"))) == 1
    await page.get_by_role("button", name="Remove").click()
    await expect(page.get_by_alt_text("The image to start from")).to_be_hidden()


async def test_axe_finds_nothing_and_nothing_is_cut_off(address: str, context: BrowserContext) -> None:
    page = await context.new_page()
    await page.goto(address)
    await generate(page, "a quiet valley")
    await page.get_by_text("Break something").click()
    schemes: tuple[tuple[Literal["light", "dark"], int], ...] = (("light", 1280), ("dark", 390))
    for scheme, width in schemes:
        await page.emulate_media(color_scheme=scheme)
        await page.set_viewport_size({"width": width, "height": 800})
        assert (await Axe().run(page)).response["violations"] == []
        assert await page.evaluate("document.documentElement.scrollWidth") == width
