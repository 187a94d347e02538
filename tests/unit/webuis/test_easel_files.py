"""Easel's images: where they are kept, that they are found again, and that nothing else is shown."""

import asyncio
import io
import os
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from PIL import Image

from tests.fake_clock import FakeClock
from tests.unit.webuis.easel_client import API, Easel, running, until
from webuis.easel.folder import DataFolder

NOON = 1_700_000_000.0  # 2023-11-14


@pytest.fixture
async def easel(tmp_path: Path) -> AsyncIterator[Easel]:
    async with running(tmp_path / "work") as client:
        yield client


def png(colour: str = "red") -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (8, 8), colour).save(file, "PNG")
    return file.getvalue()


async def test_an_image_is_kept_by_day_and_number_and_shown_newest_first(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    for number, seed in enumerate((5, 6)):
        path = tmp_path / data.save_image("txt2img", png(), seed, NOON)
        os.utime(path, (NOON + number, NOON + number))
    async with running(tmp_path) as easel:
        folder = "outputs/txt2img-images/2023-11-14"
        assert await easel.gallery() == [f"{folder}/00001-6.png", f"{folder}/00000-5.png"]


async def test_yesterdays_images_in_the_users_folder_appear_when_it_is_linked_in(easel: Easel, tmp_path: Path) -> None:
    home = tmp_path / "home"
    DataFolder(home).save_image("txt2img", png(), 1, NOON)
    await easel.generate()
    outputs = easel.data / "outputs"
    outputs.rename(easel.data / "outputs (before)")
    outputs.symlink_to(home / "outputs")
    assert await easel.gallery() == ["outputs/txt2img-images/2023-11-14/00000-1.png"]
    await easel.generate()
    assert len(await easel.gallery()) == 2
    assert len(list((home / "outputs").rglob("*.png"))) == 2
    async with easel.client.get("/file=" + (await easel.gallery())[0]) as reply:
        assert (reply.status, reply.content_type) == (200, "image/png")


async def test_an_image_begun_before_the_link_is_saved_behind_it(tmp_path: Path) -> None:
    clock = FakeClock()
    (tmp_path / "home").mkdir()
    async with running(tmp_path / "work", clock, step_seconds=1.0) as easel, asyncio.TaskGroup() as group:
        made = group.create_task(easel.generate(steps=1))
        await until(lambda: clock.sleepers == 1)
        easel.data.mkdir()
        (easel.data / "outputs").symlink_to(tmp_path / "home")
        await clock.advance(1.0)
        await made
    assert len(list((tmp_path / "home").rglob("*.png"))) == 1


async def test_settings_are_written_behind_the_link(easel: Easel, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    easel.data.mkdir()
    (easel.data / "settings").symlink_to(tmp_path / "home")
    await easel.post(f"{API}/options", {"theme": "calm"})
    assert (tmp_path / "home" / "config.json").exists()


async def test_a_full_or_missing_folder_is_said_and_does_not_end_it(easel: Easel) -> None:
    easel.data.mkdir()
    (easel.data / "outputs").symlink_to(easel.data / "nowhere")
    assert await easel.refused(f"{API}/txt2img", {"steps": 1, "width": 64, "height": 64}) == 500
    await easel.generate(save_images=False)


def test_a_number_is_never_given_twice(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    first = data.save_image("txt2img", png("red"), 1, NOON)
    (tmp_path / first).with_name("00007-3.png").write_bytes(b"")
    assert Path(data.save_image("txt2img", png("red"), 1, NOON)).name == "00008-1.png"


def test_nothing_half_written_is_shown(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    path = tmp_path / data.save_image("txt2img", png(), 1, NOON)
    path.with_name(".00001-1.png.part").write_bytes(b"half")
    path.with_name(".hidden.png").write_bytes(b"half")
    path.with_name("notes.txt").write_bytes(b"x")
    assert [entry.path for entry in data.pictures(0, 10)[0]] == [str(path.relative_to(tmp_path))]
    assert sorted(entry.name for entry in path.parent.iterdir() if entry.suffix == ".part") == [".00001-1.png.part"]


def test_a_file_that_is_no_image_is_shown_without_its_parameters(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    data.save_image("txt2img", b"no image", 1, NOON)
    assert data.pictures(0, 10)[0][0].parameters == ""


async def test_older_images_are_given_in_further_pages(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    for seed in range(50):
        path = tmp_path / data.save_image("txt2img", b"", seed, NOON)
        os.utime(path, (NOON - seed, NOON - seed))
    async with running(tmp_path) as easel:
        assert len(await easel.gallery()) == 48
        assert [path[-6:] for path in await easel.gallery("?offset=48")] == ["48.png", "49.png"]
        assert await easel.gallery("?offset=50") == []
        async with easel.client.get("/easel/gallery?offset=x") as reply:
            assert reply.status == 422


@pytest.mark.parametrize(
    "path",
    [
        "settings/config.json",
        "outputs/../secret.png",
        "outputs/%2e%2e/secret.png",
        "outputs/..%2fsecret.png",
        "../secret.png",
        "/etc/passwd",
        "outputs",
        "outputs/",
        "outputs/gone.png",
        "outputs/notes.txt",
        "outputs/link.png",
        "outputs/a%00.png",
        "outputs/" + "a" * 3000 + ".png",
    ],
)
async def test_only_images_in_the_outputs_are_served(easel: Easel, path: str) -> None:
    outputs = easel.data / "outputs"
    outputs.mkdir(parents=True)
    (easel.data / "secret.png").write_bytes(png())
    (outputs / "notes.txt").write_text("x")
    (outputs / "link.png").symlink_to(easel.data / "secret.png")
    async with easel.client.get("/file=" + path) as reply:
        assert reply.status == 404


async def test_an_image_is_served_in_parts_and_only_when_it_has_changed(easel: Easel) -> None:
    [content], _ = await easel.generate()
    url = "/file=" + (await easel.gallery())[0]
    async with easel.client.get(url) as reply:
        assert await reply.read() == content
        tag = reply.headers["ETag"]
    async with easel.client.get(url, headers={"Range": "bytes=4-7"}) as reply:
        assert (reply.status, await reply.read()) == (206, content[4:8])
    async with easel.client.get(url, headers={"If-None-Match": tag}) as reply:
        assert reply.status == 304


def test_an_image_is_whole_at_every_instant(tmp_path: Path) -> None:
    data = DataFolder(tmp_path)
    content = png() + b"\0" * 2_000_000
    looks = 0
    with ThreadPoolExecutor(1) as writer:
        writing = writer.submit(lambda: [data.save_image("txt2img", content, 1, NOON) for _ in range(10)])
        while not writing.done():
            for picture in data.pictures(0, 100)[0]:
                assert (tmp_path / picture.path).stat().st_size == len(content)
                looks += 1
    assert len(writing.result()) == 10
    assert looks
