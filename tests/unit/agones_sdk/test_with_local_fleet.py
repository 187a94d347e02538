"""The client against the SDK server that the local edition really runs, counters and lists included."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import pytest

from agones_sdk.client import Client
from agones_sdk.errors import SdkError, SdkRefused
from agones_sdk.gameserver import CounterStatus, ListStatus
from agones_sdk.watch import Watch
from fleet.base import WEBUI_PORT, GameServer
from fleet.local.sdk_server import SdkServer
from fleet.local.store import Store, Versions
from fleet.local.template import Counter, FleetSpec, ValueList
from runtime.clock import SystemClock
from runtime.names import SDK_PREFIX, GameServerState

SPEC = FleetSpec("easel", (), counters={"jobs": Counter(1, 4)}, lists={"users": ValueList(("a",), 2)})
DEADLINE = 10.0


@pytest.fixture
async def store() -> Store[GameServer]:
    store: Store[GameServer] = Store(Versions(), SystemClock())
    store.create(
        GameServer(
            name="easel-x",
            uid="",
            resource_version="",
            fleet="easel",
            state=GameServerState.SCHEDULED,
            created_at=0,
            address="127.0.0.1",
            ports={WEBUI_PORT: 7860},
        )
    )
    return store


@pytest.fixture
async def client(store: Store[GameServer]) -> AsyncIterator[Client]:
    async with asyncio.TaskGroup() as tasks:
        server = SdkServer(store, store.get("easel-x"), SPEC, SystemClock(), tasks)
        async with server.serve() as port, Client(port) as client:
            yield client


async def test_a_gameserver_is_seen_as_the_store_has_it(store: Store[GameServer], client: Client) -> None:
    stored, seen = store.get("easel-x"), await client.get()
    assert (seen.name, seen.uid, seen.resource_version) == (stored.name, stored.uid, stored.resource_version)
    assert (seen.state, seen.ports, seen.deleted_at) == (GameServerState.SCHEDULED, {WEBUI_PORT: 7860}, None)


async def test_a_life_from_ready_to_shutdown_comes_out_of_the_watch(store: Store[GameServer], client: Client) -> None:
    watch = Watch(client, SystemClock())
    async with asyncio.timeout(DEADLINE), asyncio.TaskGroup() as tasks, aclosing(watch.changes()) as changes:
        running = tasks.create_task(watch.run())
        await anext(changes)
        await client.health()
        await client.ready()
        await client.set_label("colour", "blue")
        await client.set_annotation("atelier-prepared", "nonce")
        async for seen in changes:
            if seen.annotations.get(SDK_PREFIX + "atelier-prepared") == "nonce":
                assert (seen.state, seen.labels[SDK_PREFIX + "colour"]) == (GameServerState.READY, "blue")
                break
        await client.allocate()
        await client.shutdown()
        async for seen in changes:
            if seen.state == GameServerState.SHUTDOWN:
                break
        running.cancel()


async def test_a_gameserver_that_is_gone_is_an_error_and_not_an_empty_one(store: Store[GameServer], client: Client) -> None:
    stored = store.get("easel-x")
    store.remove(stored.name, stored.uid, None)
    with pytest.raises(SdkError):
        await client.get()


async def test_a_counter_is_read_changed_and_set(client: Client) -> None:
    assert await client.beta.counter("jobs") == CounterStatus(1, 4)
    assert await client.beta.add_to_counter("jobs", 2) == CounterStatus(3, 4)
    assert await client.beta.add_to_counter("jobs", -3) == CounterStatus(0, 4)
    assert await client.beta.set_counter("jobs", capacity=9) == CounterStatus(0, 9)
    assert await client.beta.set_counter("jobs", count=5) == CounterStatus(5, 9)
    assert await client.beta.set_counter("jobs", count=0) == CounterStatus(0, 9)


async def test_values_of_a_list_come_and_go_one_by_one(client: Client) -> None:
    assert await client.beta.list("users") == ListStatus(("a",), 2)
    assert await client.beta.add_to_list("users", "b") == ListStatus(("a", "b"), 2)
    assert await client.beta.remove_from_list("users", "a") == ListStatus(("b",), 2)


async def test_unknown_names_and_full_lists_are_refused(client: Client) -> None:
    with pytest.raises(SdkRefused, match="GetCounter: not found"):
        await client.beta.counter("nothing")
    with pytest.raises(SdkRefused, match="UpdateCounter: out of range"):
        await client.beta.add_to_counter("jobs", 9)
    await client.beta.add_to_list("users", "b")
    with pytest.raises(SdkRefused, match="AddListValue: out of range"):
        await client.beta.add_to_list("users", "c")
    with pytest.raises(SdkRefused, match="RemoveListValue: not found"):
        await client.beta.remove_from_list("users", "c")
