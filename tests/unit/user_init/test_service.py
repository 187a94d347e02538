"""From the allocation to the prepared folders, over a real SDK server, a real WebUI port and a real long poll."""

import asyncio
import errno
import json
import socket
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import pytest

from agones_sdk.client import Client
from runtime import http
from runtime.clock import SystemClock
from runtime.names import (
    IDENTITY_ANNOTATION,
    LEASE_UID_ANNOTATION,
    NONCE_ANNOTATION,
    PREPARED_ANNOTATION,
    USER_LABEL,
    GameServerState,
)
from tests.sdk_server import SdkServer, gameserver, sdk_server
from tests.unit.user_init.disk import ALICE, BOB, Disk, webui, write
from tests.unit.user_init.stub_webui import StubWebUI, stub_webui
from user_init import arrivals, service
from user_init.service import UserInit
from user_init.settings import Settings
from webuis.base import Starts, WebUI

NONCE = "nonce-1"


@dataclass
class Stage:
    """A user_init with all that it talks to."""

    sdk: SdkServer
    webui: StubWebUI
    disk: Disk
    port: int

    async def poll(self, nonce: str = NONCE) -> tuple[int, Mapping[str, object]]:
        reply = await http.call("127.0.0.1", self.port, "GET", f"/prepared?nonce={nonce}", timeout=10)
        body = reply.json()
        assert isinstance(body, dict)
        return reply.status, body

    def allocate(self, key: str = ALICE, nonce: str = NONCE) -> None:
        annotations = {NONCE_ANNOTATION: nonce, LEASE_UID_ANNOTATION: "lease-1", IDENTITY_ANNOTATION: "alice@example.com"}
        self.sdk.allocate({USER_LABEL: key}, annotations)

    def on_record(self) -> bool:
        return self.sdk.gameserver.object_meta.annotations.get(PREPARED_ANNOTATION) == NONCE


@asynccontextmanager
async def staged(
    path: Path, description: WebUI | None = None, sdk: SdkServer | None = None, poll_seconds: float = 10.0
) -> AsyncIterator[Stage]:
    async with stub_webui() as stub:
        if sdk is not None:
            async with running(path, description, sdk, stub, poll_seconds) as stage:
                yield stage
            return
        async with (
            sdk_server(gameserver(GameServerState.READY)) as own,
            running(path, description, own, stub, poll_seconds) as stage,
        ):
            yield stage


@asynccontextmanager
async def running(
    path: Path, description: WebUI | None, sdk: SdkServer, stub: StubWebUI, poll_seconds: float
) -> AsyncIterator[Stage]:
    disk = Disk(path / "users", path / "work", path / "shared")
    for folder in (disk.users, disk.work, disk.shared):
        folder.mkdir(exist_ok=True)
    settings = Settings(
        sdk_port=sdk.port,
        webui="test",
        webui_port=stub.port,
        launcher_socket=str(path / "launcher.sock"),
        port=0,
        bind="127.0.0.1",
        users=str(disk.users),
        work=str(disk.work),
        shared=str(disk.shared),
    )
    listening = socket.create_server(("127.0.0.1", 0))
    async with Client(sdk.port) as client:
        user_init = UserInit(settings, description or webui(), client, SystemClock(), poll_seconds=poll_seconds)
        port = listening.getsockname()[1]
        task = asyncio.create_task(user_init.run(listening))
        try:
            yield Stage(sdk, stub, disk, port)
        finally:
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task


async def test_an_allocation_prepares_answers_the_poll_and_is_put_on_record(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.sdk.watched()
        polls = asyncio.gather(*(stage.poll() for _ in range(20)))
        await stage.sdk.called("GetGameServer")
        stage.allocate()
        answers = await polls
        assert {status for status, _ in answers} == {200}
        body = answers[0][1]
        assert (body["nonce"], body["state"]) == (NONCE, "prepared")
        assert [step["name"] for step in _steps(body)] == ["folders", "models", "settings"]
        assert stage.disk.links_in_place()
        await stage.sdk.until(stage.on_record)
        assert stage.webui.requests.empty(), "a new user has nothing to refresh and no settings"


def _steps(body: Mapping[str, object]) -> list[dict[str, object]]:
    steps = body["steps"]
    assert isinstance(steps, list)
    assert all(step["seconds"] >= 0 for step in steps)
    return steps


async def test_a_poll_makes_it_read_the_gameserver_when_the_watch_is_silent(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.sdk.watched()
        stage.sdk.deafen()
        stage.allocate()
        assert (await stage.poll())[0] == 200


async def test_nothing_is_touched_while_the_gameserver_is_only_ready(tmp_path: Path) -> None:
    async with staged(tmp_path, poll_seconds=0.1) as stage:
        await stage.sdk.watched()
        assert await stage.poll() == (504, {"state": "waiting"})
        assert list(stage.disk.users.iterdir()) == []
        assert not (stage.disk.work / "outputs").is_symlink()
        assert stage.sdk.count("SetAnnotation") == 0


BAD_KEYS = ["", "..", "../../etc", "u" + "A" * 40, "u" + "a" * 39, "u" + "a" * 41, ALICE + "\n", "x" + "a" * 40]


@pytest.mark.parametrize("key", BAD_KEYS)
async def test_a_label_that_is_no_users_key_prepares_nothing(tmp_path: Path, key: str) -> None:
    async with staged(tmp_path, poll_seconds=0.1) as stage:
        await stage.sdk.watched()
        stage.allocate(key=key)
        assert (await stage.poll())[0] == 504
        assert list(stage.disk.users.iterdir()) == []


@pytest.mark.parametrize("missing", [NONCE_ANNOTATION, LEASE_UID_ANNOTATION])
async def test_a_gameserver_that_nobody_adopted_is_not_prepared(tmp_path: Path, missing: str) -> None:
    annotations = {NONCE_ANNOTATION: NONCE, LEASE_UID_ANNOTATION: "lease-1"}
    del annotations[missing]
    async with staged(tmp_path, poll_seconds=0.1) as stage:
        stage.sdk.allocate({USER_LABEL: ALICE}, annotations)
        assert (await stage.poll())[0] == 504
        assert list(stage.disk.users.iterdir()) == []


async def test_another_nonce_gets_409(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.allocate()
        assert (await stage.poll("nonce-2"))[0] == 409
        assert (await stage.poll())[0] == 200


async def test_a_second_user_is_never_served(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.allocate()
        assert (await stage.poll())[0] == 200
        stage.allocate(key=BOB, nonce="nonce-2")
        assert (await stage.poll("nonce-2"))[0] == 409
        assert [path.name for path in stage.disk.users.iterdir()] == [ALICE]


async def test_the_users_models_are_listed_before_their_settings_are_applied(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        write(stage.disk.home / "models" / "Lora" / "mine.safetensors", "weights")
        write(stage.disk.home / "settings" / "config.json", json.dumps({"checkpoint": "mine"}))
        stage.allocate()
        assert (await stage.poll())[0] == 200
        assert await stage.webui.next() == ("/refresh", {})
        assert await stage.webui.next() == ("/options", {"from": "description", "checkpoint": "mine"})


@pytest.mark.parametrize("settings", ["not json", "[1]", "[" * 100_000, "x" * 300_000])
async def test_broken_settings_keep_nobody_from_their_webui(tmp_path: Path, settings: str) -> None:
    async with staged(tmp_path) as stage:
        write(stage.disk.home / "settings" / "config.json", settings)
        stage.allocate()
        status, body = await stage.poll()
        assert (status, [step["name"] for step in _steps(body)][-1]) == (200, "settings failed")
        assert stage.webui.requests.empty()


async def test_a_webui_that_refuses_keeps_nobody_from_it(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        stage.webui.status = 500
        write(stage.disk.home / "models" / "Lora" / "mine.safetensors", "weights")
        write(stage.disk.home / "settings" / "config.json", "{}")
        stage.allocate()
        status, body = await stage.poll()
        assert status == 200
        assert [step["name"] for step in _steps(body)] == ["folders", "models failed", "settings failed"]


async def test_a_webui_that_needs_the_folders_is_started_when_they_are_there(tmp_path: Path) -> None:
    heard: asyncio.Queue[tuple[bytes, bool]] = asyncio.Queue()

    async def launcher(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.put_nowait((await reader.readline(), (tmp_path / "work" / "outputs").is_symlink()))
        writer.write(b'{"state": "running"}\n')
        await reader.read()
        writer.close()

    async with staged(tmp_path, webui(Starts.AFTER_ALLOCATION)) as stage:
        stage.allocate()
        poll = asyncio.create_task(stage.poll())
        async with asyncio.timeout(10):
            while not stage.disk.links_in_place():
                await asyncio.sleep(0.01)
        assert not poll.done(), "prepared before the WebUI was started"
        server = await asyncio.start_unix_server(launcher, tmp_path / "launcher.sock")
        async with server:
            status, body = await poll
            assert (status, [step["name"] for step in _steps(body)]) == (200, ["folders", "start"])
            line, linked = await heard.get()
            assert (json.loads(line), linked) == ({"do": "start"}, True)


async def test_it_lives_through_a_restart_of_the_sdk_server(tmp_path: Path) -> None:
    async with staged(tmp_path) as stage:
        await stage.sdk.watched()
        await stage.sdk.stop()
        poll = asyncio.create_task(stage.poll())
        stage.allocate()
        await stage.sdk.start()
        assert (await poll)[0] == 200
        await stage.sdk.until(stage.on_record)


async def test_a_record_that_was_lost_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(service, "RECORD_SECONDS", 0.05)
    async with staged(tmp_path) as stage:
        stage.sdk.applies = False
        stage.allocate()
        await stage.sdk.called("SetAnnotation", times=2)
        stage.sdk.refuse(grpc.StatusCode.INTERNAL)
        await stage.sdk.called("SetAnnotation", times=4)
        stage.sdk.resume()
        stage.sdk.applies = True
        await stage.sdk.until(stage.on_record)
        assert stage.on_record()


async def test_killed_and_started_again_it_prepares_again_and_leaves_the_running_webui_alone(tmp_path: Path) -> None:
    async with sdk_server(gameserver(GameServerState.READY)) as sdk:
        async with staged(tmp_path, sdk=sdk) as stage:
            write(stage.disk.home / "settings" / "config.json", "{}")
            stage.allocate()
            assert (await stage.poll())[0] == 200
            await sdk.until(stage.on_record)
        async with staged(tmp_path, sdk=sdk) as stage:
            status, body = await stage.poll()
            assert (status, [step["name"] for step in _steps(body)]) == (200, ["folders"])
            assert stage.webui.requests.empty()


async def test_folders_that_cannot_be_made_are_tried_again(tmp_path: Path) -> None:
    async with staged(tmp_path, poll_seconds=0.3) as stage:
        obstacle = write(stage.disk.users / ALICE, "a file where a user's folder belongs")
        stage.allocate()
        assert (await stage.poll())[0] == 504
        obstacle.rename(tmp_path / "moved")
        async with asyncio.timeout(10):
            while (await stage.poll())[0] != 200:
                pass
        assert stage.disk.links_in_place()


async def test_a_model_that_has_arrived_makes_the_webui_read_its_lists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrivals, "QUIET_SECONDS", 0.01)
    async with staged(tmp_path) as stage:
        stage.allocate()
        assert (await stage.poll())[0] == 200
        write(stage.disk.work / "models" / "Lora" / "mine" / "new.safetensors", "weights")
        assert await stage.webui.next() == ("/refresh", {})


async def test_without_room_for_watches_the_user_gets_their_webui_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(observer: object, handlers: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(arrivals, "_begin", no_room)
    async with staged(tmp_path) as stage:
        stage.allocate()
        assert (await stage.poll())[0] == 200
