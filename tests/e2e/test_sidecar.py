"""The sidecar as a process, between a scripted SDK server, a real launcher and Easel."""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agones_sdk.stubs import sdk_pb2
from runtime.http import call
from runtime.names import BUSY_ANNOTATION, BUSY_KEY, LEASE_UID_ANNOTATION, GameServerState
from tests.eventually import DEADLINE, eventually
from tests.launcher_process import connect, launch
from tests.sdk_server import SdkServer, gameserver, sdk_server

ADOPTED = {LEASE_UID_ANNOTATION: "6f0c"}
QUICK = ("--busy-period=0.05", "--idle-after=0.2", "--unknown-after=0.2", "--health-period=0.05", "--resend-after=0.5")


class Sidecar:
    """A running `python -m sidecar`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def says(self, text: str) -> str:
        """Its next line of log with this text."""
        assert self.process.stderr is not None
        async with asyncio.timeout(DEADLINE):
            while text not in (line := (await self.process.stderr.readline()).decode()):
                assert line, f"it ended without saying {text!r}"
        return line

    async def end(self, number: int = signal.SIGTERM) -> tuple[int | None, str]:
        """Its exit code after the signal, and what it still said."""
        self.process.send_signal(number)
        async with asyncio.timeout(DEADLINE):
            _, errors = await self.process.communicate()
        return self.process.returncode, errors.decode()


class Pod:
    """What shares a GameServer: the ports and the socket that its processes find each other by."""

    def __init__(self, sdk: SdkServer, folder: Path) -> None:
        self.sdk = sdk
        self.folder = folder
        self.socket = folder / "launcher.sock"
        self.port = free_port()

    @contextlib.asynccontextmanager
    async def easel(self, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
        """The launcher with Easel in it."""
        command = (sys.executable, "-m", "webuis.easel", f"--port={self.port}", f"--data={self.folder}", *arguments)
        log = str(self.folder / "webui.log")
        async with launch(self.socket, "--log", log, "--backoff", "0.1", "--", *command) as process:
            yield process

    @contextlib.asynccontextmanager
    async def sidecar(self, *arguments: str) -> AsyncIterator[Sidecar]:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "sidecar", "--webui=easel", f"--webui-port={self.port}"),
            *(f"--launcher-socket={self.socket}", f"--sdk-port={self.sdk.port}", *QUICK, *arguments),
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            yield Sidecar(process)
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def ask_easel(self, path: str, **payload: Any) -> None:
        await call("127.0.0.1", self.port, "POST", path, payload=payload, timeout=DEADLINE)

    @contextlib.asynccontextmanager
    async def generating(self) -> AsyncIterator[None]:
        """Easel works on an image all the time; then it is interrupted."""
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self.ask_easel("/sdapi/v1/txt2img", prompt="a lake", steps=150))
            yield
            await self.ask_easel("/sdapi/v1/interrupt")

    async def reported(self, state: str) -> dict[str, Any]:
        """The busy report, when it has this state."""

        def report() -> dict[str, Any]:
            held = self.sdk.gameserver.object_meta.annotations
            found: dict[str, Any] = json.loads(held.get(BUSY_ANNOTATION, "{}"))
            return found

        await eventually(lambda: report().get("state") == state)
        return report()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture
async def pod(tmp_path: Path) -> AsyncIterator[Pod]:
    async with sdk_server() as sdk:
        yield Pod(sdk, tmp_path)


def allocated(annotations: dict[str, str]) -> sdk_pb2.GameServer:
    held = gameserver(GameServerState.ALLOCATED)
    held.object_meta.annotations.update(annotations)
    return held


async def test_a_slow_start_is_healthy_meanwhile_and_ready_in_the_end(pod: Pod) -> None:
    async with pod.easel("--start-seconds=0.6"), pod.sidecar("--startup-deadline=30"):
        await pod.sdk.called("Health", times=3)
        assert pod.sdk.count("Ready") == 0
        await pod.sdk.called("Ready")
        names = [name for name, _ in pod.sdk.calls]
        assert "GetGameServer" in names[: names.index("Ready")]


async def test_a_webui_that_never_starts_ends_the_gameserver_with_one_line(pod: Pod) -> None:
    async with pod.easel("--never-ready"), pod.sidecar("--startup-deadline=0.6") as sidecar:
        line = await sidecar.says("is ended")
        assert "not ready within 0.6 s" in line
        await pod.sdk.called("Shutdown")
        _, rest = await sidecar.end()
        assert "is ended" not in rest
        assert pod.sdk.count("Ready") == 0


async def test_health_stops_when_the_launcher_is_killed(pod: Pod) -> None:
    async with pod.easel() as launcher, pod.sidecar() as sidecar, connect(pod.socket) as control:
        await pod.sdk.called("Ready")
        webui = (await control.ask("status"))["pid"]
        launcher.kill()
        try:
            await sidecar.says("no more health pings")
            before = pod.sdk.count("Health")
            pod.sdk.allocate(annotations=ADOPTED)
            await pod.reported("idle")  # of the orphaned WebUI, after four times the period of the pings
            assert pod.sdk.count("Health") <= before + 1
        finally:
            os.killpg(webui, signal.SIGKILL)


async def test_busy_at_once_and_idle_after_it_lasted_but_nothing_while_only_ready(pod: Pod) -> None:
    async with pod.easel("--step-seconds=0.05"), pod.sidecar():
        await pod.sdk.called("Ready")
        await pod.ask_easel("/sdapi/v1/txt2img", prompt="a lake", steps=5)
        assert pod.sdk.count("SetAnnotation") == 0
        pod.sdk.allocate(annotations=ADOPTED)
        assert (await pod.reported("idle"))["answering"] is True
        async with pod.generating():
            assert (await pod.reported("busy"))["job"]
        await pod.reported("idle")
        assert pod.sdk.count("SetAnnotation") == 3
        assert pod.sdk.count("Ready") == 1


async def test_a_webui_that_does_not_answer_is_shown_as_unknown_and_not_killed(pod: Pod) -> None:
    async with pod.easel(), pod.sidecar(), connect(pod.socket) as control:
        await pod.sdk.called("Ready")
        pod.sdk.allocate(annotations=ADOPTED)
        await pod.reported("idle")
        await control.ask("stop")
        assert (await pod.reported("unknown"))["answering"] is False
        await pod.sdk.called("Health", times=pod.sdk.count("Health") + 3)
        assert pod.sdk.count("Shutdown") == 0
        await control.ask("start")
        assert (await pod.reported("idle"))["answering"] is True


async def test_a_sidecar_restarted_while_allocated_does_not_call_ready(pod: Pod) -> None:
    async with pod.easel():
        async with pod.sidecar() as first:
            await pod.sdk.called("Ready")
            pod.sdk.allocate(annotations=ADOPTED)
            await pod.reported("idle")
            await first.end(signal.SIGKILL)
        pings = pod.sdk.count("Health")
        async with pod.sidecar(), pod.generating():
            await pod.reported("busy")
            await pod.sdk.called("Health", times=pings + 3)
    assert pod.sdk.count("Ready") == 1
    assert pod.sdk.gameserver.status.state == GameServerState.ALLOCATED


async def test_an_allocated_gameserver_that_nobody_adopts_is_ended(tmp_path: Path) -> None:
    async with sdk_server(allocated({})) as sdk, Pod(sdk, tmp_path).sidecar("--adoption-deadline=0.5") as sidecar:
        await sidecar.says("no session adopted it")
        await sdk.called("Shutdown")


async def test_an_adopted_gameserver_is_not(tmp_path: Path) -> None:
    async with sdk_server(allocated(ADOPTED)) as sdk:
        pod = Pod(sdk, tmp_path)
        async with pod.sidecar("--adoption-deadline=0.1"):
            await pod.reported("unknown")  # later than the deadline
            assert sdk.count("Shutdown") == 0


async def test_an_adoption_that_the_watch_lost_is_seen_before_the_switch_fires(tmp_path: Path) -> None:
    async with sdk_server(allocated({})) as sdk:
        pod = Pod(sdk, tmp_path)
        async with pod.sidecar("--adoption-deadline=1.5"):
            await pod.reported("unknown")
            sdk.deafen()
            sdk.allocate(annotations=ADOPTED)
            reads = sdk.count("GetGameServer")
            await sdk.called("GetGameServer", times=reads + 1)
            sdk.resume()
            await sdk.until(lambda: sdk.count("GetGameServer") >= reads + 2)
            assert sdk.count("Shutdown") == 0


async def test_what_an_sdk_server_lost_when_it_restarted_is_asked_for_again(pod: Pod) -> None:
    pod.sdk.applies = False
    async with pod.easel(), pod.sidecar():
        await pod.sdk.called("Ready")
        await pod.sdk.restart()
        pod.sdk.applies = True
        await pod.sdk.called("Ready", times=2)
        await pod.sdk.called("Health", times=pod.sdk.count("Health") + 2)
        pod.sdk.applies = False
        pod.sdk.allocate(annotations=ADOPTED)
        await pod.sdk.called("SetAnnotation")
        await pod.sdk.restart()
        pod.sdk.applies = True
        message = await pod.sdk.called("SetAnnotation", times=2)
        assert isinstance(message, sdk_pb2.KeyValue)
        assert message.key == BUSY_KEY
        await pod.reported("idle")
        assert pod.sdk.count("Ready") == 2


async def test_a_sidecar_that_comes_before_everything_else_waits_for_it(pod: Pod) -> None:
    await pod.sdk.stop()
    async with pod.sidecar("--log-level=debug") as sidecar:
        await sidecar.says("watch ended")
        await pod.sdk.start()
        await pod.sdk.watched()
        assert pod.sdk.count("Health") == 0
        async with pod.easel():
            await pod.sdk.called("Ready")
        code, _ = await sidecar.end()
        assert code == 0


@pytest.mark.parametrize("trouble", ["none", "hangs", "is gone"])
async def test_sigterm_ends_it_at_once_with_code_zero_when_the_sdk_server(pod: Pod, trouble: str) -> None:
    async with pod.sidecar() as sidecar:
        await pod.sdk.watched()
        if trouble == "hangs":
            pod.sdk.hang()
        elif trouble == "is gone":
            await pod.sdk.stop()
        async with asyncio.timeout(2.0):
            code, errors = await sidecar.end()
        assert code == 0
        assert "Traceback" not in errors
        if trouble == "is gone":
            await pod.sdk.start()
