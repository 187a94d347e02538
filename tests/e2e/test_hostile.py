"""What runs in a WebUI is hostile: it can say anything to its GameServer's SDK server, and harms its own session alone."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import grpc.aio
import psutil

from agones_sdk.stubs import sdk_pb2, sdk_pb2_grpc
from fleet.base import GameServer
from fleet.local import client
from runtime.names import BUSY_KEY, LEASE_UID_ANNOTATION, NONCE_ANNOTATION, PREPARED_KEY, USER_LABEL
from tests.e2e.test_sessions import generate
from tests.running_atelier import RunningAtelier, Up, eventually

EMPTY = sdk_pb2.Empty()


@contextlib.asynccontextmanager
async def inside(atelier: RunningAtelier, gameserver: str) -> AsyncIterator[sdk_pb2_grpc.SDKStub]:
    """The SDK as the WebUI's own code has it: its process's environment says where."""
    (webui,) = (p for p in atelier.processes() if p.cmdline()[2:4] == ["-m", "webuis.easel"] and gameserver in str(p.cmdline()))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{webui.environ()['AGONES_SDK_GRPC_PORT']}") as channel:
        yield sdk_pb2_grpc.SDKStub(channel)


async def gameservers(atelier: RunningAtelier) -> dict[str, GameServer]:
    async with client.connect(atelier.data / "run" / "fleet.sock") as backend:
        return {server.name: server for server in (await backend.fleet.list()).items}


def running(atelier: RunningAtelier, gameserver: str) -> list[psutil.Process]:
    return [process for process in atelier.processes() if gameserver in str(process.cmdline())]


async def gone(atelier: RunningAtelier, gameserver: str) -> None:
    """Until neither the store nor the machine has it any more: its GPU is another's."""

    async def is_gone() -> bool:
        return gameserver not in await gameservers(atelier) and not running(atelier, gameserver)

    await eventually(is_gone)


async def test_whatever_a_webui_says_to_its_sdk_server_harms_its_own_session_alone(up: Up) -> None:
    async with up("--size", "3", "--warm", "1", EASEL_STEP_SECONDS="0.01") as atelier:
        bob = await atelier.start("bob")
        await lies(atelier, bob)
        for verb in ("Ready", "Reserve", "Shutdown", "Ready, then Allocate"):
            await giving_it_away(atelier, verb)
            after = await atelier.session("bob")
            assert (after["state"], after["gameserver"]) == ("active", bob["gameserver"]), verb
        assert await generate(atelier, "bob")
        servers = await gameservers(atelier)
        assert [server.name for server in servers.values() if USER_LABEL in server.labels] == [bob["gameserver"]]
        assert len(servers) <= 3


async def lies(atelier: RunningAtelier, bob: dict[str, object]) -> None:
    """Others' names, a second Allocate, an endless report: nothing of it is believed of anyone else."""
    mine = await atelier.start("mallory")
    theirs = (await gameservers(atelier))[str(bob["gameserver"])]
    forged = {
        USER_LABEL: theirs.labels[USER_LABEL],
        NONCE_ANNOTATION: theirs.annotations[NONCE_ANNOTATION],
        LEASE_UID_ANNOTATION: "",
        PREPARED_KEY: "forged",
        BUSY_KEY: json.dumps({"state": "busy", "since": -1e300, "job": "x" * 100_000, "answering": True}),
    }
    async with inside(atelier, mine["gameserver"]) as sdk:
        for key, value in forged.items():
            await sdk.SetLabel(sdk_pb2.KeyValue(key=key, value=value[:63]))
            await sdk.SetAnnotation(sdk_pb2.KeyValue(key=key, value=value))
        for _ in range(5):
            with contextlib.suppress(grpc.aio.AioRpcError):
                await sdk.SetAnnotation(sdk_pb2.KeyValue(key="big", value="x" * 3_000_000))
        await sdk.Allocate(EMPTY)

        async def stop_pinging() -> AsyncIterator[sdk_pb2.Empty]:
            yield EMPTY

        await sdk.Health(stop_pinging())
    servers = await gameservers(atelier)
    ours = servers[mine["gameserver"]]
    assert ours.labels[USER_LABEL] != theirs.labels[USER_LABEL] == servers[theirs.name].labels[USER_LABEL]
    assert ours.annotations[NONCE_ANNOTATION] != theirs.annotations[NONCE_ANNOTATION]
    assert ours.annotations[LEASE_UID_ANNOTATION]
    await generate(atelier, "mallory")
    assert (await atelier.session("mallory"))["gameserver"] == mine["gameserver"]
    await atelier.api("mallory", "DELETE", "/_atelier/api/session")
    await gone(atelier, mine["gameserver"])


async def giving_it_away(atelier: RunningAtelier, verb: str) -> None:
    """Out of Allocated: nobody else is given this server, its session ends with a reason, and it is gone."""
    mine = await atelier.start("mallory")
    async with inside(atelier, mine["gameserver"]) as sdk:
        match verb:
            case "Ready":
                await sdk.Ready(EMPTY)
            case "Reserve":
                await sdk.Reserve(sdk_pb2.Duration(seconds=2**62))
            case "Shutdown":
                await sdk.Shutdown(EMPTY)
            case "Ready, then Allocate":
                await asyncio.gather(sdk.Ready(EMPTY), sdk.Allocate(EMPTY))
    carol = await atelier.start("carol")
    assert carol["gameserver"] != mine["gameserver"]
    if verb == "Ready, then Allocate":  # the two may be one to whoever looks: then it is hers as before
        await atelier.api("mallory", "DELETE", "/_atelier/api/session")
    over = await atelier.until("mallory", lambda view: view["state"] in {"failed", "ended"})
    assert over["reason"]
    await gone(atelier, mine["gameserver"])
    await atelier.api("carol", "DELETE", "/_atelier/api/session")
    await gone(atelier, carol["gameserver"])
