"""Who keeps the other side waiting for a byte is cut off in the end; what is slow or quiet by nature is not."""

import asyncio
import json
from functools import partial

from tests.eventually import eventually
from tests.unit.gateway.rig import Rig, Wire, request
from tests.unit.gateway.test_streaming import settled
from tests.unit.gateway.test_websockets import HANDSHAKE, SWITCH

MEGABYTE = 1024 * 1024
MUCH = 64 * MEGABYTE
"""More than the kernel's buffers on loopback take."""


def arrived_since(rig: Rig, before: int) -> bool:
    return rig.gateway.counters.received_bytes > before


async def until_closed(wire: Wire) -> None:
    """A WebUI that answers nothing."""
    while await wire.read():
        pass


async def test_an_upload_that_stops_arriving_is_given_up_after_two_minutes(rig: Rig) -> None:
    gone = asyncio.Event()

    async def waiting(wire: Wire) -> None:
        await until_closed(wire)
        gone.set()

    rig.alice.handler = waiting
    wire = await rig.connect()
    await wire.send(request("POST /upload", "Content-Length: 100", body=b"half"))
    await eventually(lambda: rig.alice.connections == 1)
    await rig.clock.advance(110)
    assert not gone.is_set()
    await rig.clock.advance(15)
    reply = await wire.reply()
    assert (reply.start, reply.get("connection")) == ("408", "close")
    assert json.loads(reply.body)["error"]["code"] == "timeout"
    async with asyncio.timeout(10):
        await gone.wait()


async def test_an_upload_of_one_byte_a_minute_is_only_slow(rig: Rig) -> None:
    wire = await rig.connect()
    await wire.send(request("POST /upload", "Content-Length: 5"))
    for _ in range(5):
        await rig.clock.advance(100)
        before = rig.gateway.counters.received_bytes
        await wire.send(b"x")
        await eventually(partial(arrived_since, rig, before))
    assert (await wire.reply()).body == b"POST /upload 5"


async def test_a_client_that_waits_to_be_told_to_send_its_body_is_not_late(rig: Rig) -> None:
    consent = asyncio.Event()

    async def thinking(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await consent.wait()
        await wire.send(b"HTTP/1.1 100 Continue\r\n\r\n")
        await wire.until(b"hello")
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    rig.alice.handler = thinking
    wire = await rig.connect()
    await wire.send(request("POST /", "Content-Length: 5", "Expect: 100-continue"))
    await eventually(lambda: rig.alice.connections == 1)
    await rig.clock.advance(500)
    consent.set()
    await wire.until(b"100 Continue\r\n\r\n")
    await wire.send(b"hello")
    assert (await wire.reply()).body == b"ok"


async def test_an_upload_that_the_webui_does_not_take_is_not_the_clients_fault(rig: Rig) -> None:
    go_on = asyncio.Event()

    async def busy(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await go_on.wait()
        taken = 0
        while taken < MUCH:
            taken += len(await wire.read(MEGABYTE))
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    rig.alice.handler = busy
    wire = await rig.connect()
    wire.writer.write(request("POST /upload", f"Content-Length: {MUCH}") + bytes(MUCH))
    await settled(lambda: rig.gateway.counters.received_bytes)
    await rig.clock.advance(700)
    go_on.set()
    assert (await wire.reply()).body == b"ok"


async def test_a_reply_that_nobody_takes_is_cut_after_two_minutes_and_its_webui_let_go(rig: Rig) -> None:
    gone = asyncio.Event()

    async def much(wire: Wire) -> None:
        await wire.request()
        try:
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % MUCH + bytes(MUCH))
        finally:
            gone.set()

    rig.alice.handler = much
    wire = await rig.connect()
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined] # a stream's transport is a Transport
    await wire.send(request())
    await settled(lambda: rig.gateway.counters.sent_bytes)
    await rig.clock.advance(110)
    assert not gone.is_set()
    await rig.clock.advance(15)
    async with asyncio.timeout(10):
        await gone.wait()
    await eventually(lambda: rig.gateway.open_connections == 0)
    assert rig.gateway.counters.requests["webui", "aborted"] == 1


async def test_a_websocket_that_nobody_takes_from_is_cut_too(rig: Rig) -> None:
    async def much(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(SWITCH + b"\x82\x7f" + MUCH.to_bytes(8, "big") + bytes(MUCH))

    rig.alice.handler = much
    wire = await rig.connect()
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined] # a stream's transport is a Transport
    await wire.send(request("GET /ws", *HANDSHAKE))
    await eventually(lambda: rig.gateway.open_websockets == 1)
    await asyncio.sleep(0.2)
    await rig.clock.advance(125)
    await eventually(lambda: rig.gateway.open_connections == 0)
    assert rig.gateway.open_websockets == 0


async def test_the_end_of_a_last_reply_is_not_cut_off_while_its_reader_is_slow(rig: Rig) -> None:
    """The moment between the last byte and the close begins when that byte has left."""
    sent = 0

    async def until_some_of_it_waits(wire: Wire) -> None:
        nonlocal sent
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\n")
        (client,) = rig.gateway._clients
        while not client.transport.get_write_buffer_size():
            await wire.send(bytes(16384))
            sent += 16384
            await asyncio.sleep(0.001)

    rig.alice.handler = until_some_of_it_waits
    wire = await rig.connect()
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined] # a stream's transport is a Transport
    await wire.send(request("GET /", "Connection: close"))
    await eventually(lambda: rig.gateway.counters.requests["webui", "2xx"] == 1)
    await rig.clock.advance(60)
    wire.writer.transport.resume_reading()  # type: ignore[attr-defined] # the same
    assert len((await wire.reply()).body) == sent
    assert await wire.ended()


async def test_quiet_events_and_quiet_websockets_may_be_quiet_for_hours(rig: Rig) -> None:
    more = asyncio.Event()

    async def quiet(wire: Wire) -> None:
        asked = await wire.until(b"\r\n\r\n")
        if b"upgrade" in asked:
            await wire.send(SWITCH)
            await more.wait()
            await wire.send(b"\x81\x02hi")
        else:
            await wire.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n")
            await more.wait()
            await wire.send(b"5\r\nagain\r\n0\r\n\r\n")

    rig.alice.handler = quiet
    events, sockets = await rig.connect(), await rig.connect()
    await events.send(request("GET /events"))
    await events.until(b"hi\r\n")
    await sockets.send(request("GET /ws", *HANDSHAKE))
    await sockets.until(b"\r\n\r\n")
    await rig.clock.advance(3000)
    more.set()
    assert b"again" in await events.until(b"0\r\n\r\n")
    assert await sockets.until(b"hi") == b"\x81\x02hi"
