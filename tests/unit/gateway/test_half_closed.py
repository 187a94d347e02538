"""Sides that close one way, and connections that are lost in the moment in which they are made."""

import asyncio
from typing import cast

import pytest

from allocator.gateway.upstream import UpstreamConnection
from tests.eventually import eventually
from tests.unit.gateway.rig import ALICE, Rig, Wire, answering, request
from tests.unit.gateway.test_streaming import settled
from tests.unit.gateway.test_websockets import HANDSHAKE, SWITCH

MEGABYTE = 1024 * 1024


async def test_a_form_sent_whole_before_its_webui_is_connected_is_answered_to_a_client_that_closed_its_side(rig: Rig) -> None:
    wire = await rig.connect()
    wire.writer.write(
        request("POST /1", "Content-Length: 5", body=b"hello") + request("POST /2", "Content-Length: 2", body=b"hi")
    )
    wire.writer.write_eof()
    assert [(await wire.reply()).body for _ in range(2)] == [b"POST /1 5", b"POST /2 2"]
    assert await wire.ended()


async def test_all_that_was_asked_for_before_the_client_closed_its_side_reaches_a_slow_reader(rig: Rig) -> None:
    rig.alice.handler = answering(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (8 * MEGABYTE) + bytes(8 * MEGABYTE))
    wire = await rig.connect()
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined] # a stream's transport is a Transport
    wire.writer.write(request() * 5)
    wire.writer.write_eof()
    await asyncio.sleep(0.2)
    wire.writer.transport.resume_reading()  # type: ignore[attr-defined] # the same
    assert [len((await wire.reply()).body) for _ in range(5)] == [8 * MEGABYTE] * 5
    assert await wire.ended()


@pytest.mark.parametrize("cut", [request("POST /", "Content-Length: 9", body=b"half"), request()[:-2]])
async def test_a_request_whose_rest_can_never_come_ends_at_once(rig: Rig, cut: bytes) -> None:
    wire = await rig.connect()
    wire.writer.write(request("GET /whole") + cut)
    wire.writer.write_eof()
    assert (await wire.reply()).body == b"GET /whole 0"
    assert await wire.ended()
    await eventually(lambda: rig.gateway.open_connections == 0)


async def test_a_websocket_whose_client_left_during_the_handshake_is_not_kept(rig: Rig) -> None:
    left, gone = asyncio.Event(), asyncio.Event()

    async def slow(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await left.wait()
        await wire.send(SWITCH)
        while await wire.read():
            pass
        gone.set()

    rig.alice.handler = slow
    wire = await rig.connect()
    wire.writer.write(request("GET /ws", *HANDSHAKE))
    wire.writer.write_eof()
    await eventually(lambda: rig.alice.connections == 1)
    left.set()
    async with asyncio.timeout(10):
        await gone.wait()
    await eventually(lambda: rig.gateway.open_websockets == 0)


async def test_a_reply_ends_with_its_connection_even_where_the_upload_is_never_taken(rig: Rig) -> None:
    stuck = asyncio.Event()

    async def deaf(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        cast("asyncio.Transport", wire.writer.transport).pause_reading()
        await stuck.wait()
        await wire.send(b"HTTP/1.1 200 OK\r\n\r\nno more, thanks")
        wire.writer.write_eof()
        await asyncio.Event().wait()

    rig.alice.handler = deaf
    wire = await rig.connect()
    wire.writer.write(request("POST /", f"Content-Length: {64 * MEGABYTE}") + bytes(63 * MEGABYTE))
    await settled(lambda: rig.gateway.counters.received_bytes)
    stuck.set()
    assert (await wire.reply()).body == b"no more, thanks"


async def test_a_webui_that_closes_the_moment_it_accepts_is_told_and_not_waited_for(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The loop reports the loss before whoever opened the connection has it in hand."""
    made = UpstreamConnection.connection_made

    def lost_at_once(self: UpstreamConnection, transport: asyncio.BaseTransport) -> None:
        made(self, transport)
        self.transport.abort()

    monkeypatch.setattr(UpstreamConnection, "connection_made", lost_at_once)
    assert (await rig.ask(request())).start == "503"


async def test_a_connection_that_has_not_taken_all_of_its_last_request_is_not_used_again(rig: Rig) -> None:
    async def deaf(wire: Wire) -> None:
        await asyncio.Event().wait()

    rig.alice.handler = deaf
    pool = rig.gateway._context.upstreams.webui(rig.route(ALICE, rig.alice.port))
    connection = await pool.connect()
    connection.transport.write(bytes(64 * MEGABYTE))
    connection.release()
    assert pool.take() is None
    taken = await pool.connect()
    taken.release()
    assert pool.take() is taken
    taken.discard()
