"""Easel's page in a real browser."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped] # it has none
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.browser.artist import ARGUMENTS
from tests.conftest import CHROMIUM

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


@pytest.fixture
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        yield browser
        browser.close()


def generate(page: Page, prompt: str) -> None:
    page.get_by_label("Prompt", exact=True).fill(prompt)
    page.keyboard.press("Control+Enter")
    expect(page.locator("#status")).to_have_text(re.compile("Done, with seed"), timeout=20_000)


def test_a_person_generates_interrupts_and_finds_their_images_again(address: str, browser: Browser, tmp_path: Path) -> None:
    page = browser.new_page()
    faults: list[str] = []
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.goto(address)
    expect(page.get_by_text("no model, no GPU")).to_be_visible()
    titles = page.evaluate_handle(WATCH_TITLE)
    generate(page, "a quiet valley")
    assert any(re.fullmatch(r"\d+ % - Easel", title) for title in titles.json_value())
    expect(page).to_have_title("Easel")
    expect(page.get_by_role("link", name="a quiet valley")).to_have_count(1)

    page.get_by_label("Steps").fill("1000")
    page.get_by_role("button", name="Generate").click()
    page.get_by_role("button", name="Interrupt").click()
    expect(page.locator("#status")).to_have_text(re.compile("Interrupted"))

    page.reload()
    expect(page.get_by_role("link", name="a quiet valley")).to_have_count(1)
    assert len(list((tmp_path / "outputs").rglob("*.png"))) == 1
    assert faults == []


@pytest.mark.parametrize(("event", "field"), [("drop", "dataTransfer"), ("paste", "clipboardData")], ids=["drop", "paste"])
def test_an_image_is_taken_to_start_from(address: str, browser: Browser, tmp_path: Path, event: str, field: str) -> None:
    page = browser.new_page()
    page.goto(address)
    generate(page, "first")
    [first] = (tmp_path / "outputs").rglob("*.png")
    page.evaluate(GIVE, [event, field, list(first.read_bytes())])
    expect(page.get_by_alt_text("The image to start from")).to_be_visible()
    generate(page, "second")
    assert len(list((tmp_path / "outputs" / "img2img-images").rglob("*.png"))) == 1
    page.get_by_role("button", name="Remove").click()
    expect(page.get_by_alt_text("The image to start from")).to_be_hidden()


@pytest.mark.parametrize(("scheme", "width"), [("light", 1280), ("dark", 390)])
def test_axe_finds_nothing_and_nothing_is_cut_off(
    address: str, browser: Browser, scheme: Literal["light", "dark"], width: int
) -> None:
    page = browser.new_page(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page.goto(address)
    generate(page, "a quiet valley")
    page.get_by_text("Break something").click()
    assert Axe().run(page).response["violations"] == []
    assert page.evaluate("document.documentElement.scrollWidth") == width
