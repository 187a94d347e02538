"""The WebUI hears of models that have arrived, and only of these."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.eventually import eventually
from tests.fake_clock import FakeClock
from user_init.arrivals import PATIENCE_SECONDS, QUIET_SECONDS, Arrivals, watching


@asynccontextmanager
async def next_of(arrivals: Arrivals, clock: FakeClock) -> AsyncIterator[asyncio.Task[frozenset[str]]]:
    """The next batch, asked for; when the block ends something has arrived, and it has been quiet since."""
    batch = asyncio.create_task(arrivals.next(clock))
    yield batch
    await eventually(lambda: clock.sleepers == 1)
    await clock.advance(QUIET_SECONDS)
    async with asyncio.timeout(10):
        await batch


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    loras, vae = tmp_path / "Lora", tmp_path / "VAE"
    loras.mkdir()
    vae.mkdir()
    return loras, vae


async def test_a_copy_that_is_still_being_written_tells_nothing_until_it_is_closed(folders: tuple[Path, Path]) -> None:
    loras, vae = folders
    clock = FakeClock()
    async with watching([str(loras), str(vae)]) as arrivals:
        async with next_of(arrivals, clock) as batch:
            copy = (loras / "big.safetensors").open("wb")
            copy.write(b"half")
            copy.flush()
            (vae / "small.safetensors").write_bytes(b"whole")
        assert batch.result() == {str(vae)}
        async with next_of(arrivals, clock) as batch:
            copy.close()
        assert batch.result() == {str(loras)}


async def test_a_download_renamed_into_place_is_told_from_within_and_from_outside(
    folders: tuple[Path, Path], tmp_path: Path
) -> None:
    loras, vae = folders
    clock = FakeClock()
    (loras / "x.part").write_bytes(b"whole")
    (tmp_path / "outside").write_bytes(b"whole")
    async with watching([str(loras), str(vae)]) as arrivals:
        async with next_of(arrivals, clock) as batch:
            (loras / "x.part").rename(loras / "x.safetensors")
        assert batch.result() == {str(loras)}
        async with next_of(arrivals, clock) as batch:
            (tmp_path / "outside").rename(vae / "y.safetensors")
        assert batch.result() == {str(vae)}


async def test_deleting_reading_and_moving_away_tell_nothing(folders: tuple[Path, Path], tmp_path: Path) -> None:
    loras, vae = folders
    clock = FakeClock()
    for name in ("a", "b"):
        (loras / name).write_bytes(b"whole")
    async with watching([str(loras), str(vae)]) as arrivals:
        async with next_of(arrivals, clock) as batch:
            (loras / "a").read_bytes()
            (loras / "a").unlink()
            (loras / "b").rename(tmp_path / "b")
            await asyncio.sleep(0.6)  # watchdog holds a rename back for 0.5 s, until it knows where it led
            (vae / "c").write_bytes(b"whole")
        assert batch.result() == {str(vae)}


async def test_a_model_in_a_folder_made_meanwhile_is_told(folders: tuple[Path, Path]) -> None:
    clock = FakeClock()
    async with watching([str(folders[0])]) as arrivals:
        async with next_of(arrivals, clock) as batch:
            (folders[0] / "new").mkdir()
        assert batch.result() == {str(folders[0])}
        async with next_of(arrivals, clock) as batch:
            (folders[0] / "new" / "x.safetensors").write_bytes(b"whole")
        assert batch.result() == {str(folders[0])}


async def test_a_planted_link_is_not_followed(folders: tuple[Path, Path]) -> None:
    loras, vae = folders
    clock = FakeClock()
    (loras / "link").symlink_to(vae)
    async with watching([str(loras)]) as arrivals:
        async with next_of(arrivals, clock) as batch:
            (vae / "x").write_bytes(b"whole")
            assert not batch.done()
            await asyncio.sleep(0.1)
            assert clock.sleepers == 0
            (loras / "y").write_bytes(b"whole")
        assert batch.result() == {str(loras)}


async def test_many_arrivals_are_told_once_but_not_put_off_for_ever() -> None:
    clock, arrivals = FakeClock(), Arrivals()
    batch = asyncio.create_task(arrivals.next(clock))
    arrivals.add("Lora")
    await clock.advance(0)
    for _ in range(int(PATIENCE_SECONDS / QUIET_SECONDS) - 1):
        arrivals.add("Lora")
        await clock.advance(QUIET_SECONDS)
        assert not batch.done()
    arrivals.add("VAE")
    await clock.advance(QUIET_SECONDS)
    assert await batch == {"Lora", "VAE"}


async def test_no_thread_is_left(folders: tuple[Path, Path]) -> None:
    before = set(threading.enumerate())
    async with watching([str(folder) for folder in folders]):
        assert len(threading.enumerate()) > len(before)
    await eventually(lambda: set(threading.enumerate()) <= before)


async def test_a_folder_that_cannot_be_watched_is_an_error_and_leaves_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    with pytest.raises(OSError, match="No such file"):
        async with watching([str(tmp_path / "missing")]):
            pass
    await eventually(lambda: set(threading.enumerate()) <= before)
