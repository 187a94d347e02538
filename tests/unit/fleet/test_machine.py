"""GPUs and ports: one each, and given back."""

import asyncio
import socket
from pathlib import Path

import pytest

from fleet.local.machine import Gpus, Ports, nvidia_gpus


async def test_each_gpu_has_one_holder_and_the_next_waits() -> None:
    gpus = Gpus(["GPU-a", "GPU-b"])
    async with gpus.one() as a, asyncio.timeout(5):
        async with gpus.one() as b:
            assert {a, b} == {"GPU-a", "GPU-b"}
            third = asyncio.ensure_future(take(gpus))
            await asyncio.sleep(0)
            assert not third.done()
        assert await third == b


async def take(gpus: Gpus) -> str | None:
    async with gpus.one() as gpu:
        return gpu


async def test_whoever_gives_up_waiting_takes_none() -> None:
    gpus = Gpus(["GPU-a"])
    async with gpus.one():
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), gpus.one():
                pytest.fail("two holders")
    async with asyncio.timeout(5), gpus.one() as gpu:
        assert gpu == "GPU-a"


async def test_without_gpus_nobody_waits() -> None:
    gpus = Gpus([])
    async with gpus.one() as first, gpus.one() as second:
        assert first is second is None


def test_gpus_are_read_from_the_driver(tmp_path: Path) -> None:
    for number, name in enumerate(("0000:01:00.0", "0000:02:00.0")):
        (tmp_path / name).mkdir()
        information = f"Model: \t\t NVIDIA X\nIRQ:   \t\t 1\nGPU UUID: \t GPU-0000000{number}-aaaa\nVideo BIOS: \t ??\n"
        (tmp_path / name / "information").write_text(information)
    assert nvidia_gpus(tmp_path, {}) == ("GPU-00000000-aaaa", "GPU-00000001-aaaa")
    assert nvidia_gpus(tmp_path / "no driver", {}) == ()


def test_a_port_that_someone_listens_on_is_not_given() -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        taken = listener.getsockname()[1]
        with pytest.raises(OSError, match="no free port"), Ports(range(taken, taken + 1)).some(["webui"]):
            pass


def test_a_port_that_was_given_back_is_not_the_next_one_given() -> None:
    ports, given = Ports(range(21000, 21008)), []
    for _ in range(4):
        with ports.some(["a"]) as chosen:
            given.append(chosen["a"])
    assert len(set(given)) == 4


def test_no_port_is_given_twice_until_it_is_given_back() -> None:
    ports = Ports(range(21000, 21004))
    with ports.some(["a", "b"]) as first, ports.some(["a", "b"]) as second:
        assert len({*first.values(), *second.values()}) == 4
        with pytest.raises(OSError, match="no free port"), ports.some(["a"]):
            pass
    with ports.some(["a"]):
        pass


@pytest.mark.parametrize(("visible", "gpus"), [("0, 2", ("0", "2")), ("GPU-b", ("GPU-b",)), ("", ()), ("-1", ())])
def test_who_starts_the_command_may_keep_gpus_from_it(tmp_path: Path, visible: str, gpus: tuple[str, ...]) -> None:
    (tmp_path / "0000:01:00.0").mkdir()
    (tmp_path / "0000:01:00.0" / "information").write_text("GPU UUID: \t GPU-all\n")
    assert nvidia_gpus(tmp_path, {"CUDA_VISIBLE_DEVICES": visible}) == gpus
