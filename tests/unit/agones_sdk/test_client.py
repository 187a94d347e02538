"""Each call arrives as it should, within its deadline, and fails in one of three ways."""

import asyncio
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import pytest

from agones_sdk.client import Client, sdk_port
from agones_sdk.errors import SdkError, SdkRefused, SdkTimeout, SdkUnavailable
from agones_sdk.stubs import sdk_pb2
from runtime.errors import UserError
from runtime.names import SDK_PREFIX, GameServerState
from tests.sdk_server import SdkServer, sdk_server

Call = Callable[[Client], Awaitable[object]]
CALLS: dict[str, Call] = {
    "Ready": lambda client: client.ready(),
    "Allocate": lambda client: client.allocate(),
    "Reserve": lambda client: client.reserve(30),
    "Shutdown": lambda client: client.shutdown(),
    "Health": lambda client: client.health(),
    "GetGameServer": lambda client: client.get(),
    "SetLabel": lambda client: client.set_label("key", "value"),
    "SetAnnotation": lambda client: client.set_annotation("key", "value"),
}
every_call = pytest.mark.parametrize("name", CALLS)


@pytest.fixture
async def server() -> AsyncIterator[SdkServer]:
    async with sdk_server() as server:
        yield server


@pytest.fixture
async def client(server: SdkServer) -> AsyncIterator[Client]:
    async with Client(server.port) as client:
        yield client


@every_call
async def test_the_call_arrives_once(name: str, server: SdkServer, client: Client) -> None:
    await CALLS[name](client)
    assert [call for call, _ in server.calls] == [name]


async def test_what_is_set_is_seen_by_get(server: SdkServer, client: Client) -> None:
    await client.ready()
    await client.set_label("busy", "no")
    await client.set_annotation("prepared", "nonce")
    await client.reserve(30)
    assert await server.called("Reserve") == sdk_pb2.Duration(seconds=30)
    seen = await client.get()
    assert seen.state == GameServerState.RESERVED
    assert seen.labels == {SDK_PREFIX + "busy": "no"}
    assert seen.annotations == {SDK_PREFIX + "prepared": "nonce"}


@every_call
async def test_a_server_that_hangs_costs_the_deadline_and_no_more(name: str, server: SdkServer) -> None:
    server.hang()
    async with Client(server.port, deadline=0.1) as client:
        began = time.monotonic()
        with pytest.raises(SdkTimeout, match=name):
            await CALLS[name](client)
        assert 0.1 <= time.monotonic() - began < 5


@every_call
async def test_a_server_that_is_not_there_is_unavailable(name: str) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        async with Client(free.getsockname()[1]) as client:
            with pytest.raises(SdkUnavailable, match=name):
                await CALLS[name](client)


@every_call
async def test_a_server_that_refuses_is_not_unavailable(name: str, server: SdkServer, client: Client) -> None:
    server.refuse(grpc.StatusCode.INVALID_ARGUMENT)
    with pytest.raises(SdkRefused, match=f"{name}: told to refuse"):
        await CALLS[name](client)


async def test_a_server_that_dies_during_a_call_is_unavailable_and_works_again_after_its_restart(
    server: SdkServer, client: Client
) -> None:
    async def die() -> None:
        await server.called("GetGameServer")
        await server.stop()

    server.hang()
    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(die())
        with pytest.raises(SdkUnavailable):
            await client.get()
    server.resume()
    await server.start()
    assert await _once_it_is_back(client) == GameServerState.SCHEDULED


async def test_a_client_that_found_the_port_closed_is_there_soon_after_it_opens(server: SdkServer, client: Client) -> None:
    await server.stop()
    for _ in range(3):
        with pytest.raises(SdkUnavailable):
            await client.get()
    await server.start()
    assert await _once_it_is_back(client) == GameServerState.SCHEDULED


async def _once_it_is_back(client: Client) -> str:
    deadline = time.monotonic() + 10
    while True:
        try:
            return (await client.get()).state
        except SdkUnavailable:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.01)


async def test_the_raw_watch_has_the_state_first_then_each_change(server: SdkServer, client: Client) -> None:
    stream = client.stream()
    assert (await anext(stream)).state == GameServerState.SCHEDULED
    server.set_state(GameServerState.READY)
    server.set_state(GameServerState.ALLOCATED)
    assert [(await anext(stream)).state, (await anext(stream)).state] == [GameServerState.READY, GameServerState.ALLOCATED]
    server.drop_watches()
    with pytest.raises(SdkUnavailable, match="dropped"):
        await anext(stream)


async def test_a_proxy_in_the_environment_is_not_asked_for_loopback(server: SdkServer, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    async with Client(server.port) as client:
        assert (await client.get()).state == GameServerState.SCHEDULED


def test_the_port_comes_from_the_environment_or_is_a_mistake_that_names_the_variable() -> None:
    assert sdk_port({"AGONES_SDK_GRPC_PORT": "9357"}) == 9357
    for environ in ({}, {"AGONES_SDK_GRPC_PORT": ""}, {"AGONES_SDK_GRPC_PORT": "0"}, {"AGONES_SDK_GRPC_PORT": "grpc"}):
        with pytest.raises(UserError, match="AGONES_SDK_GRPC_PORT"):
            sdk_port(environ)


def test_every_failure_is_an_sdk_error() -> None:
    assert {SdkUnavailable, SdkTimeout, SdkRefused} == set(SdkError.__subclasses__())


def test_the_client_imports_nothing_heavy() -> None:
    code = "import sys, agones_sdk.watch, agones_sdk.health; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert not {"aiohttp", "pydantic", "jinja2", "rich", "yaml"} & set(done.stdout.split())
