"""Easel as a client of AUTOMATIC1111's API meets it."""

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from PIL import Image

from tests.fake_clock import FakeClock
from tests.unit.webuis.easel_client import API, SMALL, Easel, encoded, running, until
from webuis.base import BusyState
from webuis.registry import get

WEBUI = get("easel")


@pytest.fixture
async def easel(tmp_path: Path) -> AsyncIterator[Easel]:
    async with running(tmp_path) as client:
        yield client


async def test_each_call_of_the_description_is_answered(easel: Easel) -> None:
    calls = [WEBUI.serving, WEBUI.busy, WEBUI.settings, WEBUI.interrupt, *WEBUI.folders[0].refresh]
    for call in calls:
        assert call is not None
        async with easel.client.request(call.method, call.path, json=call.payload) as reply:
            assert reply.status == 200, call


async def test_an_image_comes_back_with_how_it_was_made(easel: Easel) -> None:
    [file], reply = await easel.generate(negative_prompt="fog")
    image = Image.open(io.BytesIO(file))
    assert (image.format, image.size) == ("PNG", (64, 64))
    parameters = str(image.info["parameters"])
    assert parameters == "a quiet valley\nNegative prompt: fog\nSteps: 4, Sampler: Easel, Seed: 7, Size: 64x64, Model: easel"
    info = json.loads(str(reply["info"]))
    assert (info["seed"], info["all_seeds"], info["interrupted"], info["infotexts"]) == (7, [7], False, [parameters])


async def test_the_same_order_gives_the_same_bytes(easel: Easel) -> None:
    assert (await easel.generate())[0] == (await easel.generate())[0]


async def test_a_seed_of_minus_one_is_replaced_by_one_that_is_told(easel: Easel) -> None:
    files, reply = await easel.generate(seed=-1)
    seed = json.loads(str(reply["info"]))["seed"]
    assert seed >= 0
    assert (await easel.generate(seed=seed))[0] == files


async def test_each_image_of_a_batch_has_the_next_seed(easel: Easel) -> None:
    files, reply = await easel.generate(n_iter=2, batch_size=2)
    assert json.loads(str(reply["info"]))["all_seeds"] == [7, 8, 9, 10]
    assert len(set(files)) == 4
    assert (await easel.generate(seed=9))[0] == [files[2]]


async def test_images_are_saved_and_sent_only_as_asked(easel: Easel) -> None:
    await easel.generate(save_images=False)
    assert easel.saved() == []
    files, _ = await easel.generate(send_images=False)
    assert files == []
    assert len(easel.saved()) == 1


async def test_an_image_is_painted_over_by_its_denoising_strength(easel: Easel) -> None:
    body = {**SMALL, "init_images": ["data:image/jpeg;base64," + encoded("red", kind="JPEG")]}
    faint = await easel.post(f"{API}/img2img", {**body, "denoising_strength": 0.1})
    strong = await easel.post(f"{API}/img2img", {**body, "denoising_strength": 1, "save_images": False})
    assert isinstance(faint, dict)
    assert isinstance(strong, dict)
    assert strong["images"] != faint["images"]
    assert "init_images" not in faint["parameters"]
    [saved] = easel.saved()
    assert saved.parent.parent.name == "img2img-images"
    red, green, _ = Image.open(saved).convert("RGB").resize((1, 1)).getpixel((0, 0))  # type: ignore[misc] # three bands
    assert red > 200 > green


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 0},
        {"steps": 1.5},
        {"steps": True},
        {"steps": "20"},
        {"width": 100_000},
        {"seed": -2},
        {"prompt": None},
        {"n_iter": 10**9},
    ],
)
async def test_an_order_that_cannot_be_painted_is_refused(easel: Easel, changes: dict[str, object]) -> None:
    assert await easel.refused(f"{API}/txt2img", {**SMALL, **changes}) == 422


@pytest.mark.parametrize("images", [None, [], [1], ["%%%"], ["aGVsbG8="], [encoded("red")[:60]]])
async def test_an_image_to_start_from_that_is_none_is_refused(easel: Easel, images: object) -> None:
    assert await easel.refused(f"{API}/img2img", {**SMALL, "init_images": images}) == 422


@pytest.mark.parametrize("body", ["[]", "", "{", "null"])
async def test_a_body_that_is_no_object_is_refused(easel: Easel, body: str) -> None:
    async with easel.client.post(f"{API}/txt2img", data=body) as reply:
        assert reply.status == 422


async def test_checkpoints_are_read_anew_only_when_asked_through_links_and_loops(easel: Easel, tmp_path: Path) -> None:
    home, seen = tmp_path / "home", easel.data / "models" / "Stable-diffusion"
    home.mkdir()
    seen.mkdir(parents=True)
    (home / "dawn.safetensors").touch()
    (home / "notes.txt").touch()
    (home / "again").symlink_to(home)
    (seen / "mine").symlink_to(home)

    async def titles() -> list[str]:
        found = await easel.get(f"{API}/sd-models")
        assert isinstance(found, list)
        return [model["title"] for model in found]

    assert await titles() == ["easel"]
    await easel.post(f"{API}/refresh-checkpoints", {})
    assert await titles() == ["easel", "mine/dawn.safetensors"]


async def test_the_checkpoint_that_is_set_is_used_and_written_down(easel: Easel) -> None:
    (easel.data / "models" / "Stable-diffusion").mkdir(parents=True)
    (easel.data / "models" / "Stable-diffusion" / "dawn.ckpt").touch()
    await easel.post(f"{API}/refresh-checkpoints", {})
    before, _ = await easel.generate()
    await easel.post(f"{API}/options", {"sd_model_checkpoint": "dawn.ckpt", "theme": "calm"})
    after, _ = await easel.generate()
    assert before != after
    saved = json.loads((easel.data / "settings" / "config.json").read_text())
    assert saved["sd_model_checkpoint"] == "dawn.ckpt"
    assert saved == await easel.get(f"{API}/options")
    others: list[object] = ["gone.ckpt", "../../secret.ckpt", None, []]
    for other in others:
        assert await easel.refused(f"{API}/options", {"sd_model_checkpoint": other}) == 500
    assert saved == await easel.get(f"{API}/options")


async def test_saved_settings_are_read_at_the_start(tmp_path: Path) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "config.json").write_text('{"theme": "calm"}')
    async with running(tmp_path) as easel:
        options = await easel.get(f"{API}/options")
    assert isinstance(options, dict)
    assert options["theme"] == "calm"


@pytest.mark.parametrize("content", ["", "{", "[]"])
async def test_broken_settings_do_not_keep_it_from_starting(tmp_path: Path, content: str) -> None:
    (tmp_path / "settings").mkdir()
    (tmp_path / "settings" / "config.json").write_text(content)
    async with running(tmp_path) as easel:
        await easel.generate()


async def test_the_memory_says_what_it_has_and_that_it_has_no_gpu(easel: Easel) -> None:
    memory = await easel.get(f"{API}/memory")
    assert isinstance(memory, dict)
    assert 0 < memory["ram"]["used"] < memory["ram"]["total"]
    assert "error" in memory["cuda"]


async def test_idle_is_read_as_idle(easel: Easel) -> None:
    progress = await easel.progress()
    assert WEBUI.read_busy(progress).state is BusyState.IDLE
    assert (progress["progress"], progress["current_image"]) == (0, None)


async def test_progress_tells_each_step_and_what_is_seen_of_it(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock, step_seconds=2.0) as easel, asyncio.TaskGroup() as group:
        made = group.create_task(easel.generate(n_iter=2))
        shares = []
        for step in range(1, 9):
            await until(lambda: clock.sleepers == 1)
            progress = await easel.progress()
            state = progress["state"]
            assert isinstance(state, dict)
            assert WEBUI.read_busy(progress).state is BusyState.BUSY
            assert (state["job"], state["job_count"], state["job_no"]) == ("txt2img", 2, (step - 1) // 4)
            assert (state["sampling_step"], state["sampling_steps"]) == ((step - 1) % 4 + 1, 4)
            assert progress["current_image"]
            assert (await easel.progress("?skip_current_image=true"))["current_image"] is None
            shares.append(progress["progress"])
            await clock.advance(2.0)
        await made
        assert shares == [step / 8 for step in range(1, 9)]
        assert WEBUI.read_busy(await easel.progress()).state is BusyState.IDLE


async def test_the_time_left_is_what_the_steps_so_far_took(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock, step_seconds=10.0) as easel, asyncio.TaskGroup() as group:
        made = group.create_task(easel.generate())
        for _ in range(2):
            await until(lambda: clock.sleepers == 1)
            await clock.advance(10.0)
        await until(lambda: clock.sleepers == 1)
        assert (await easel.progress())["eta_relative"] == pytest.approx(20 / 0.75 - 20)
        await clock.advance(10.0)
        await until(lambda: clock.sleepers == 1)
        await clock.advance(10.0)
        await made


async def test_an_interrupt_ends_the_running_order_and_only_that(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock, step_seconds=1.0) as easel, asyncio.TaskGroup() as group:
        first = group.create_task(easel.generate(steps=1000, n_iter=3))
        await until(lambda: clock.sleepers == 1)
        second = group.create_task(easel.generate(steps=1))
        await easel.in_line(1)
        await easel.post(f"{API}/interrupt", {})
        await clock.advance(1.0)
        files, reply = await first
        assert len(files) == 1
        assert json.loads(str(reply["info"]))["interrupted"] is True
        assert easel.saved() == []
        await until(lambda: clock.sleepers == 1)
        await clock.advance(1.0)
        assert len((await second)[0]) == 1
        assert len(easel.saved()) == 1


async def test_an_interrupt_of_nothing_does_not_reach_the_next_order(easel: Easel) -> None:
    await easel.post(f"{API}/interrupt", {})
    _, reply = await easel.generate()
    assert json.loads(str(reply["info"]))["interrupted"] is False


async def test_orders_wait_in_line_and_come_one_at_a_time(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock, step_seconds=1.0) as easel, asyncio.TaskGroup() as group:
        orders = [group.create_task(easel.generate(steps=1, seed=seed)) for seed in (1, 2, 3)]
        for _ in orders:
            await until(lambda: clock.sleepers == 1)
            await clock.advance(1.0)
        await asyncio.wait(orders)
    assert [path.name[:5] for path in easel.saved()] == ["00000", "00001", "00002"]


async def test_a_closed_page_does_not_end_its_generation(tmp_path: Path) -> None:
    clock = FakeClock()
    async with running(tmp_path, clock, step_seconds=1.0) as easel:
        order = asyncio.ensure_future(easel.generate(steps=1))
        await until(lambda: clock.sleepers == 1)
        order.cancel()
        await asyncio.wait([order])
        await clock.advance(1.0)
        await until(lambda: len(easel.saved()) == 1)
