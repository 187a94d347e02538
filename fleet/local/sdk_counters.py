"""Agones' counters and lists (`beta.proto`) of one GameServer. Failures are UNKNOWN with a text, as the SDK server's are."""
# ruff: noqa: ARG002, N802 - gRPC decides how handlers are called

from collections.abc import Mapping
from dataclasses import replace
from typing import Never, Protocol, TypeVar

import grpc.aio

from agones_sdk.stubs import beta_pb2, beta_pb2_grpc, sdk_pb2
from fleet.local.template import Counter, ValueList

T = TypeVar("T")


class Context(Protocol):
    """What the handlers need of gRPC's context; `abort` raises."""

    async def abort(self, code: grpc.StatusCode, details: str = "") -> Never: ...


class Counters(beta_pb2_grpc.SDKServicer):
    """What the Fleet's spec names, and nothing else: every other name is not found."""

    def __init__(self, counters: Mapping[str, Counter], lists: Mapping[str, ValueList]) -> None:
        self._counters = dict(counters)
        self._lists = dict(lists)

    def describe(self, status: sdk_pb2.GameServer.Status) -> None:
        """Put them into the GameServer that the SDK server shows."""
        for name, counter in self._counters.items():
            status.counters[name].count, status.counters[name].capacity = counter.count, counter.capacity
        for name, values in self._lists.items():
            status.lists[name].capacity = values.capacity
            status.lists[name].values.extend(values.values)

    async def GetCounter(self, request: beta_pb2.GetCounterRequest, context: Context) -> beta_pb2.Counter:
        return _counter(request.name, await _known(self._counters, request.name, context))

    async def UpdateCounter(self, request: beta_pb2.UpdateCounterRequest, context: Context) -> beta_pb2.Counter:
        wanted = request.counterUpdateRequest
        counter = await _known(self._counters, wanted.name, context)
        capacity = wanted.capacity.value if wanted.HasField("capacity") else counter.capacity
        count = (wanted.count.value if wanted.HasField("count") else counter.count) + wanted.countDiff
        if not 0 <= count <= capacity:
            await _refuse(context, f"out of range: count {count} is not between 0 and {capacity}")
        self._counters[wanted.name] = Counter(count, capacity)
        return _counter(wanted.name, self._counters[wanted.name])

    async def GetList(self, request: beta_pb2.GetListRequest, context: Context) -> beta_pb2.List:
        return _list(request.name, await _known(self._lists, request.name, context))

    async def UpdateList(self, request: beta_pb2.UpdateListRequest, context: Context) -> beta_pb2.List:
        """Broken since Agones 1.55, so it must not work here."""
        await _refuse(context, "UpdateList does not work: use AddListValue and RemoveListValue")

    async def AddListValue(self, request: beta_pb2.AddListValueRequest, context: Context) -> beta_pb2.List:
        values = await _known(self._lists, request.name, context)
        if request.value in values.values:
            await _refuse(context, f"already exists: {request.value} is in list {request.name}")
        if len(values.values) >= values.capacity:
            await _refuse(context, f"out of range: list {request.name} is full")
        self._lists[request.name] = replace(values, values=(*values.values, request.value))
        return _list(request.name, self._lists[request.name])

    async def RemoveListValue(self, request: beta_pb2.RemoveListValueRequest, context: Context) -> beta_pb2.List:
        values = await _known(self._lists, request.name, context)
        if request.value not in values.values:
            await _refuse(context, f"not found: {request.value} is not in list {request.name}")
        self._lists[request.name] = replace(values, values=tuple(item for item in values.values if item != request.value))
        return _list(request.name, self._lists[request.name])


async def _known(items: Mapping[str, T], name: str, context: Context) -> T:
    if name not in items:
        await _refuse(context, f"not found: {name}")
    return items[name]


async def _refuse(context: Context, why: str) -> Never:
    await context.abort(grpc.StatusCode.UNKNOWN, why)


def _counter(name: str, counter: Counter) -> beta_pb2.Counter:
    return beta_pb2.Counter(name=name, count=counter.count, capacity=counter.capacity)


def _list(name: str, values: ValueList) -> beta_pb2.List:
    return beta_pb2.List(name=name, capacity=values.capacity, values=values.values)
