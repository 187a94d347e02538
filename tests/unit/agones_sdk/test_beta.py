"""Counters and lists, against a servicer that answers as Agones' SDK server does: errors without a code."""

from collections.abc import AsyncIterator

import grpc
import grpc.aio
import pytest

from agones_sdk.client import Client
from agones_sdk.errors import SdkRefused
from agones_sdk.gameserver import CounterStatus, ListStatus
from agones_sdk.stubs import beta_pb2, beta_pb2_grpc
from tests.sdk_server import Context


class Beta(beta_pb2_grpc.SDKServicer):
    def __init__(self) -> None:
        self.counter = beta_pb2.Counter(name="jobs", count=1, capacity=4)
        self.list = beta_pb2.List(name="users", capacity=2, values=["a"])

    async def GetCounter(self, request: beta_pb2.GetCounterRequest, context: Context) -> beta_pb2.Counter:  # noqa: N802 (gRPC's name)
        if request.name != self.counter.name:
            await context.abort(grpc.StatusCode.UNKNOWN, "not found")
        return self.counter

    async def UpdateCounter(self, request: beta_pb2.UpdateCounterRequest, context: Context) -> beta_pb2.Counter:  # noqa: N802 (gRPC's name)
        change = request.counterUpdateRequest
        self.counter.count += change.countDiff
        if change.HasField("count"):
            self.counter.count = change.count.value
        if change.HasField("capacity"):
            self.counter.capacity = change.capacity.value
        return self.counter

    async def GetList(self, request: beta_pb2.GetListRequest, context: Context) -> beta_pb2.List:  # noqa: N802 (gRPC's name)
        return self.list

    async def UpdateList(self, request: beta_pb2.UpdateListRequest, context: Context) -> beta_pb2.List:  # noqa: N802 (gRPC's name)
        raise AssertionError("broken in Agones: must not be called")

    async def AddListValue(self, request: beta_pb2.AddListValueRequest, context: Context) -> beta_pb2.List:  # noqa: N802 (gRPC's name)
        if len(self.list.values) >= self.list.capacity:
            await context.abort(grpc.StatusCode.UNKNOWN, "out of range")
        self.list.values.append(request.value)
        return self.list

    async def RemoveListValue(self, request: beta_pb2.RemoveListValueRequest, context: Context) -> beta_pb2.List:  # noqa: N802 (gRPC's name)
        self.list.values.remove(request.value)
        return self.list


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    server = grpc.aio.server()
    beta_pb2_grpc.add_SDKServicer_to_server(Beta(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with Client(port) as client:
        yield client
    await server.stop(grace=None)


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


async def test_an_unknown_name_and_a_full_list_are_refused(client: Client) -> None:
    with pytest.raises(SdkRefused, match="GetCounter: not found"):
        await client.beta.counter("nothing")
    await client.beta.add_to_list("users", "b")
    with pytest.raises(SdkRefused, match="AddListValue: out of range"):
        await client.beta.add_to_list("users", "c")
