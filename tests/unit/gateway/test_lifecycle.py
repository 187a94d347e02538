"""Time-outs, start and stop."""

import asyncio
import resource
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from allocator.gateway.server import Gateway
from runtime.errors import UserError
from tests.eventually import eventually
from tests.fake_clock import FakeClock
from tests.unit.gateway.rig import VERIFIER, FakeRoutes, Rig, Wire, request


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[Gateway]:
    gateway = Gateway(VERIFIER, FakeRoutes(), tmp_path / "app", FakeClock())
    yield gateway
    await gateway.stop(0)


async def test_a_head_that_does_not_arrive_within_30_seconds_is_given_up(rig: Rig) -> None:
    wire = await rig.connect()
    await wire.send(request()[:-2])
    await eventually(lambda: rig.gateway.counters.received_bytes > 0)
    await rig.clock.advance(20)
    await wire.send(b"X-Slow: 1\r\n")
    await eventually(lambda: rig.gateway.counters.received_bytes > len(request()))
    await rig.clock.advance(11)
    reply = await wire.reply()
    assert (reply.start, reply.get("connection")) == ("408", "close")
    assert await wire.ended()


async def test_a_connection_may_be_idle_for_more_than_600_seconds_but_not_for_ever(rig: Rig) -> None:
    fresh, used = await rig.connect(), await rig.connect()
    await used.send(request())
    await used.reply()
    await eventually(lambda: rig.gateway.open_connections == 2)
    await rig.clock.advance(610)
    assert rig.gateway.open_connections == 2
    await rig.clock.advance(15)
    assert await fresh.ended()
    assert await used.ended()


async def test_a_reply_may_take_longer_than_any_time_out(rig: Rig) -> None:
    done = asyncio.Event()

    async def drawing(wire: Wire) -> None:
        await wire.request()
        await done.wait()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nimage")

    rig.alice.handler = drawing
    wire = await rig.connect()
    await wire.send(request("POST /sdapi/v1/img2img", "Content-Length: 2", body=b"{}"))
    await eventually(lambda: rig.alice.connections == 1)
    await rig.clock.advance(700)
    done.set()
    assert (await wire.reply()).body == b"image"


async def test_a_client_that_does_not_close_after_the_last_reply_is_closed(rig: Rig) -> None:
    wire = await rig.connect()
    await wire.send(request("GET /", "Connection: close"))
    await wire.reply()
    assert rig.gateway.open_connections == 1
    await rig.clock.advance(3)
    await eventually(lambda: rig.gateway.open_connections == 0)


async def test_a_stop_lets_requests_finish_and_closes_what_is_idle(rig: Rig) -> None:
    done = asyncio.Event()

    async def drawing(wire: Wire) -> None:
        await wire.request()
        await done.wait()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nimage")

    rig.alice.handler = drawing
    idle, busy = await rig.connect(), await rig.connect()
    await busy.send(request())
    await eventually(lambda: rig.alice.connections == 1)
    stopping = asyncio.ensure_future(rig.gateway.stop(20))
    assert await idle.ended()
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", rig.port)
    done.set()
    reply = await busy.reply()
    assert (reply.body, reply.get("connection")) == (b"image", "close")
    await busy.close()
    async with asyncio.timeout(10):
        await stopping


async def test_a_stop_does_not_wait_for_a_connection_whose_stream_ended_during_it(rig: Rig) -> None:
    """Its head said nothing of a close: it was sent before anybody thought of one."""
    done = asyncio.Event()

    async def events(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
        await done.wait()
        await wire.send(b"0\r\n\r\n")

    rig.alice.handler = events
    wire = await rig.connect()
    await wire.send(request())
    await wire.until(b"hi\r\n")
    stopping = asyncio.ensure_future(rig.gateway.stop(20))
    await asyncio.sleep(0)
    done.set()
    await wire.until(b"0\r\n\r\n")
    assert await wire.ended()
    await wire.close()
    async with asyncio.timeout(10):
        await stopping


async def test_a_stop_cuts_what_does_not_finish_by_the_deadline(rig: Rig) -> None:
    async def endless(wire: Wire) -> None:
        await wire.request()
        await asyncio.Event().wait()

    rig.alice.handler = endless
    wire = await rig.connect()
    await wire.send(request())
    await eventually(lambda: rig.alice.connections == 1)
    async with asyncio.timeout(10):
        await rig.gateway.stop(0.05)
    assert await wire.ended()
    assert rig.gateway.open_connections == 0


async def test_both_loopback_addresses_share_a_port(gateway: Gateway) -> None:
    bound = await gateway.start(["127.0.0.1", "::1"], 0)
    assert bound[0][0] == "127.0.0.1"
    assert {port for _, port in bound} == {bound[0][1]}
    assert len(bound) == (2 if has_ipv6() else 1)


def has_ipv6() -> bool:
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            return False
    return True


async def test_a_port_in_use_is_said_in_one_line(gateway: Gateway) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(UserError) as refused:
            await gateway.start(["127.0.0.1"], port)
    assert (refused.value.problem, "--port" in refused.value.remedy) == (f"Port {port} is in use.", True)


async def test_a_gateway_that_cannot_have_all_its_addresses_has_none(gateway: Gateway) -> None:
    with pytest.raises(UserError):
        await gateway.start(["127.0.0.1", "127.0.0.1"], 0)
    assert gateway.open_connections == 0


async def test_too_few_descriptors_are_said_before_anything_starts(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (256, 256))
    with pytest.raises(UserError) as refused:
        await gateway.start(["127.0.0.1"], 0)
    assert "256" in refused.value.problem


async def test_what_is_counted(rig: Rig) -> None:
    await rig.ask(request())
    await rig.ask(request("GET /_atelier/healthz", host="localhost"))
    await rig.ask(request("GET /", host="localhost"))
    counters = rig.gateway.counters
    assert {key: count for key, count in counters.requests.items() if count} == {
        ("webui", "2xx"): 1,
        ("app", "2xx"): 1,
        ("gateway", "4xx"): 1,
    }
    assert (counters.connections_accepted, counters.upstream_connects) == (3, 2)
    assert counters.received_bytes > 0
    assert counters.sent_bytes > 0
