"""The SDK server, over real gRPC, traps included."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

import grpc.aio
import pytest
from google.protobuf import wrappers_pb2

from agones_sdk.stubs import beta_pb2, beta_pb2_grpc, sdk_pb2, sdk_pb2_grpc
from fleet.base import GameServer
from fleet.local.sdk_server import SdkServer
from fleet.local.store import Store, Versions
from fleet.local.template import Counter, FleetSpec, Health, ValueList
from runtime.names import SDK_PREFIX, USER_LABEL, GameServerState
from tests.fake_clock import FakeClock

EMPTY = sdk_pb2.Empty()
SPEC = FleetSpec(
    "easel",
    (),
    health=Health(period_seconds=7, failure_threshold=3, initial_delay_seconds=9),
    counters={"rooms": Counter(1, 10)},
    lists={"users": ValueList(("alice",), 2)},
)


@dataclass
class Rig:
    store: Store[GameServer]
    server: SdkServer
    sdk: sdk_pb2_grpc.SDKStub
    beta: beta_pb2_grpc.SDKStub
    clock: FakeClock

    @property
    def state(self) -> GameServer:
        return self.store.get("easel-1")

    def put(self, **changes: object) -> None:
        self.store.update(replace(self.state, **changes))  # type: ignore[arg-type] # a test's fields


@asynccontextmanager
async def rig() -> AsyncIterator[Rig]:
    clock = FakeClock()
    store: Store[GameServer] = Store(Versions(), clock)
    new = GameServer("easel-1", "", "", "easel", GameServerState.SCHEDULED, 0.0, address="127.0.0.1", ports={"webui": 7860})
    gameserver = store.create(new)
    async with asyncio.timeout(20), asyncio.TaskGroup() as tasks:
        server = SdkServer(store, gameserver, SPEC, clock, tasks)
        async with server.serve() as port, grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield Rig(store, server, sdk_pb2_grpc.SDKStub(channel), beta_pb2_grpc.SDKStub(channel), clock)


async def test_the_gameserver_is_shown_as_agones_shows_it() -> None:
    async with rig() as r:
        shown = await r.sdk.GetGameServer(EMPTY)
        assert (shown.object_meta.name, shown.object_meta.uid) == ("easel-1", r.state.uid)
        assert (shown.status.state, shown.status.address) == ("Scheduled", "127.0.0.1")
        assert [(port.name, port.port) for port in shown.status.ports] == [("webui", 7860)]
        assert (shown.spec.health.period_seconds, shown.spec.health.initial_delay_seconds) == (7, 9)
        assert shown.status.counters["rooms"].capacity == 10
        assert list(shown.status.lists["users"].values) == ["alice"]


async def test_ready_passes_through_request_ready() -> None:
    async with rig() as r:
        before = r.store.version
        await r.sdk.Ready(EMPTY)
        states = [event.object.state for event in r.store.since(before) if event.object is not None]
        assert states == [GameServerState.REQUEST_READY, GameServerState.READY]


async def test_ready_on_an_allocated_server_makes_it_ready_with_its_users_label() -> None:
    async with rig() as r:
        r.put(state=GameServerState.ALLOCATED, labels={USER_LABEL: "alice"})
        await r.sdk.Ready(EMPTY)
        assert (r.state.state, r.state.labels[USER_LABEL]) == (GameServerState.READY, "alice")


@pytest.mark.parametrize("terminal", [GameServerState.UNHEALTHY, GameServerState.ERROR, GameServerState.SHUTDOWN])
async def test_terminal_states_ignore_every_call(terminal: GameServerState) -> None:
    async with rig() as r:
        r.put(state=terminal)
        for call in (r.sdk.Ready, r.sdk.Allocate, r.sdk.Shutdown):
            await call(EMPTY)
        await r.sdk.Reserve(sdk_pb2.Duration(seconds=1))
        assert r.state.state is terminal


async def test_labels_and_annotations_get_the_sdks_prefix_and_never_touch_others() -> None:
    async with rig() as r:
        r.put(labels={USER_LABEL: "alice"})
        await r.sdk.SetLabel(sdk_pb2.KeyValue(key=USER_LABEL, value="mallory"))
        await r.sdk.SetAnnotation(sdk_pb2.KeyValue(key="atelier-busy", value="{}"))
        assert r.state.labels == {USER_LABEL: "alice", SDK_PREFIX + USER_LABEL: "mallory"}
        assert r.state.annotations == {SDK_PREFIX + "atelier-busy": "{}"}


async def test_a_watch_sends_the_current_state_first_and_then_each_change() -> None:
    async with rig() as r:
        watch = r.sdk.WatchGameServer(EMPTY)
        updates = aiter(watch)
        assert (await anext(updates)).status.state == "Scheduled"
        r.put(state=GameServerState.READY)
        assert (await anext(updates)).status.state == "Ready"
        r.put(deleting=True)
        assert (await anext(updates)).object_meta.deletion_timestamp > 0
        watch.cancel()


@pytest.mark.parametrize("call", ["SetAnnotation", "SetLabel"])
async def test_what_a_program_writes_is_bounded_as_kubernetes_bounds_it(call: str) -> None:
    async with rig() as r:
        put = getattr(r.sdk, call)
        for number in range(2):
            await put(sdk_pb2.KeyValue(key=f"k{number}", value="x" * 100_000))
        with pytest.raises(grpc.aio.AioRpcError, match="more than 262144 bytes"):
            await put(sdk_pb2.KeyValue(key="k3", value="x" * 100_000))
        assert sum(len(value) for kept in (r.state.labels, r.state.annotations) for value in kept.values()) == 200_000


async def test_a_reservation_lapses() -> None:
    async with rig() as r:
        await r.sdk.Reserve(sdk_pb2.Duration(seconds=30))
        reserved = r.state.state
        await r.clock.advance(31)
        assert (reserved, r.state.state) == (GameServerState.RESERVED, GameServerState.READY)


async def test_a_state_call_ends_a_reservation() -> None:
    async with rig() as r:
        await r.sdk.Reserve(sdk_pb2.Duration(seconds=30))
        await r.sdk.Allocate(EMPTY)
        await r.clock.advance(31)
        assert r.state.state is GameServerState.ALLOCATED


async def test_every_health_message_is_a_ping() -> None:
    async with rig() as r:
        health = r.sdk.Health()
        for now in (5.0, 10.0):
            await r.clock.advance(5)
            await health.write(EMPTY)
            while r.server.last_ping != now:
                await asyncio.sleep(0.001)
        await health.done_writing()
        assert await health == EMPTY


async def test_counters_stay_within_their_capacity() -> None:
    async with rig() as r:

        def change(**fields: object) -> beta_pb2.UpdateCounterRequest:
            request = beta_pb2.CounterUpdateRequest(name="rooms", **fields)  # type: ignore[arg-type] # a test's fields
            return beta_pb2.UpdateCounterRequest(counterUpdateRequest=request)

        assert (await r.beta.UpdateCounter(change(countDiff=2))).count == 3
        assert (await r.beta.UpdateCounter(change(capacity=wrappers_pb2.Int64Value(value=4)))).capacity == 4
        with pytest.raises(grpc.aio.AioRpcError, match="out of range"):
            await r.beta.UpdateCounter(change(countDiff=2))
        assert (await r.beta.GetCounter(beta_pb2.GetCounterRequest(name="rooms"))).count == 3
        with pytest.raises(grpc.aio.AioRpcError, match="not found"):
            await r.beta.GetCounter(beta_pb2.GetCounterRequest(name="other"))


async def test_lists_hold_each_value_once_up_to_their_capacity() -> None:
    async with rig() as r:

        def add(value: str) -> beta_pb2.AddListValueRequest:
            return beta_pb2.AddListValueRequest(name="users", value=value)

        assert list((await r.beta.AddListValue(add("bob"))).values) == ["alice", "bob"]
        with pytest.raises(grpc.aio.AioRpcError, match="already exists"):
            await r.beta.AddListValue(add("bob"))
        with pytest.raises(grpc.aio.AioRpcError, match="full"):
            await r.beta.AddListValue(add("carol"))
        removal = beta_pb2.RemoveListValueRequest(name="users", value="alice")
        assert list((await r.beta.RemoveListValue(removal)).values) == ["bob"]
        with pytest.raises(grpc.aio.AioRpcError, match="not found"):
            await r.beta.RemoveListValue(removal)
        with pytest.raises(grpc.aio.AioRpcError, match="does not work"):
            await r.beta.UpdateList(beta_pb2.UpdateListRequest())
