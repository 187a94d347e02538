"""Counters and lists of the GameServer (Agones' CountsAndLists, on by default since 1.41).

There is no UpdateList here: Agones has broken it since 1.55. Values come and go one by one.
"""

import grpc.aio
from google.protobuf.wrappers_pb2 import Int64Value

from agones_sdk.errors import translated
from agones_sdk.gameserver import CounterStatus, ListStatus
from agones_sdk.stubs import beta_pb2, beta_pb2_grpc


class Beta:
    """`Client.beta`. Each call raises what `Client`'s do; `SdkRefused` also when there is no counter or list of that name.

    A change is queued: the value returned is what the SDK server expects it to become.
    """

    def __init__(self, channel: grpc.aio.Channel, deadline: float) -> None:
        self._sdk = beta_pb2_grpc.SDKStub(channel)
        self._deadline = deadline

    async def counter(self, name: str) -> CounterStatus:
        with translated("GetCounter"):
            return _counter(await self._sdk.GetCounter(beta_pb2.GetCounterRequest(name=name), timeout=self._deadline))

    async def add_to_counter(self, name: str, amount: int) -> CounterStatus:
        """Change the count by `amount`, which may be negative. Raises `SdkRefused` outside of 0..capacity."""
        return await self._update(beta_pb2.CounterUpdateRequest(name=name, countDiff=amount))

    async def set_counter(self, name: str, *, count: int | None = None, capacity: int | None = None) -> CounterStatus:
        """Set what is given and leave the rest. Raises `SdkRefused` outside of 0..capacity."""
        request = beta_pb2.CounterUpdateRequest(name=name)
        if count is not None:
            request.count.CopyFrom(Int64Value(value=count))
        if capacity is not None:
            request.capacity.CopyFrom(Int64Value(value=capacity))
        return await self._update(request)

    async def list(self, name: str) -> ListStatus:
        with translated("GetList"):
            return _list(await self._sdk.GetList(beta_pb2.GetListRequest(name=name), timeout=self._deadline))

    async def add_to_list(self, name: str, value: str) -> ListStatus:
        """Raises `SdkRefused` when the list has this value already or is full."""
        request = beta_pb2.AddListValueRequest(name=name, value=value)
        with translated("AddListValue"):
            return _list(await self._sdk.AddListValue(request, timeout=self._deadline))

    async def remove_from_list(self, name: str, value: str) -> ListStatus:
        """Raises `SdkRefused` when the list does not have this value."""
        request = beta_pb2.RemoveListValueRequest(name=name, value=value)
        with translated("RemoveListValue"):
            return _list(await self._sdk.RemoveListValue(request, timeout=self._deadline))

    async def _update(self, change: beta_pb2.CounterUpdateRequest) -> CounterStatus:
        request = beta_pb2.UpdateCounterRequest(counterUpdateRequest=change)
        with translated("UpdateCounter"):
            return _counter(await self._sdk.UpdateCounter(request, timeout=self._deadline))


def _counter(message: beta_pb2.Counter) -> CounterStatus:
    return CounterStatus(message.count, message.capacity)


def _list(message: beta_pb2.List) -> ListStatus:
    return ListStatus(tuple(message.values), message.capacity)
