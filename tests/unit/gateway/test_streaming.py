"""Bytes pass as they come, and no side is read faster than the other takes."""

import asyncio
from collections.abc import Callable

from tests.eventually import eventually
from tests.unit.gateway.rig import Rig, Wire, answering, request

MEGABYTE = 1024 * 1024
UPLOAD = 200 * MEGABYTE
HELD = 2 * MEGABYTE
"""What the gateway and the kernel's socket buffers may hold of a stream that is not taken; loopback's grow to some MB."""


async def test_an_event_arrives_at_once(rig: Rig) -> None:
    more = asyncio.Event()

    async def events(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        await wire.send(b"9\r\ndata: 1\n\n\r\n")
        await more.wait()
        await wire.send(b"9\r\ndata: 2\n\n\r\n0\r\n\r\n")

    rig.alice.handler = events
    wire = await rig.connect()
    await wire.send(request("GET /queue/data", "Accept: text/event-stream"))
    assert b"data: 1\n\n" in await wire.until(b"data: 1\n\n\r\n")
    more.set()
    assert await wire.until(b"0\r\n\r\n") == b"9\r\ndata: 2\n\n\r\n0\r\n\r\n"


async def test_an_upload_of_200_mb_to_a_slow_upstream_is_streamed_and_not_stored(rig: Rig) -> None:
    go_on = asyncio.Event()
    taken = 0

    async def slow(wire: Wire) -> None:
        nonlocal taken
        await wire.until(b"\r\n\r\n")
        await go_on.wait()
        while taken < UPLOAD:
            taken += len(await wire.read(MEGABYTE))
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")

    rig.alice.handler = slow
    wire = await rig.connect()
    await wire.send(request("POST /upload", f"Content-Length: {UPLOAD}"))
    sending = asyncio.ensure_future(send_much(wire, UPLOAD))
    await settled(lambda: rig.gateway.counters.received_bytes)
    assert rig.gateway.counters.received_bytes < UPLOAD / 4
    assert held(rig) < HELD
    go_on.set()
    while not sending.done():
        assert held(rig) < HELD
        await asyncio.sleep(0.005)
    await sending
    assert (await wire.reply()).body == b"ok"
    assert taken == UPLOAD


async def test_a_chunked_upload_is_held_back_like_any_other(rig: Rig) -> None:
    async def deaf(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await asyncio.Event().wait()

    rig.alice.handler = deaf
    wire = await rig.connect()
    await wire.send(request("POST /upload", "Transfer-Encoding: chunked"))
    block = b"%x\r\n%b\r\n" % (MEGABYTE, bytes(MEGABYTE))
    sending = asyncio.ensure_future(send_blocks(wire, block, 100))
    await settled(lambda: rig.gateway.counters.received_bytes)
    assert rig.gateway.counters.received_bytes < 50 * MEGABYTE
    assert held(rig) < HELD
    sending.cancel()
    await asyncio.gather(sending, return_exceptions=True)
    wire.writer.transport.abort()


async def test_a_download_waits_for_a_slow_reader(rig: Rig) -> None:
    sent = 0

    async def much(wire: Wire) -> None:
        nonlocal sent
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * MEGABYTE))
        for _ in range(100):
            await wire.send(bytes(MEGABYTE))
            sent += MEGABYTE

    rig.alice.handler = much
    wire = await rig.connect()
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined] # a stream's transport is a Transport
    await wire.send(request())
    await settled(lambda: sent)
    assert sent < 50 * MEGABYTE
    assert held(rig) < HELD
    wire.writer.transport.resume_reading()  # type: ignore[attr-defined] # the same
    await wire.until(b"\r\n\r\n")
    received = 0
    while received < 100 * MEGABYTE:
        received += len(await wire.read(MEGABYTE))
    assert received == 100 * MEGABYTE


async def test_pipelined_requests_without_a_reader_do_not_pile_up_replies(rig: Rig) -> None:
    rig.alice.handler = answering(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n" + bytes(1_000_000))
    wire = await rig.connect()
    wire.writer.transport.pause_reading()  # type: ignore[attr-defined] # a stream's transport is a Transport
    wire.writer.write(request() * 200)
    await settled(lambda: rig.gateway.counters.sent_bytes)
    assert rig.gateway.counters.sent_bytes < 100_000_000
    assert held(rig) < HELD
    wire.writer.transport.abort()


async def test_what_a_client_sends_before_its_webui_is_connected_is_bounded(rig: Rig) -> None:
    waiting = asyncio.Event()

    async def undecided(key: str) -> bool:
        await waiting.wait()
        return True

    rig.routes.admit = undecided  # type: ignore[method-assign] # this test decides when it answers
    wire = await rig.connect()
    await wire.send(request("POST /sdapi/v1/txt2img", f"Content-Length: {10 * MEGABYTE}"))
    sending = asyncio.ensure_future(send_much(wire, 10 * MEGABYTE))
    await settled(lambda: rig.gateway.counters.received_bytes)
    assert rig.gateway.counters.received_bytes < MEGABYTE
    waiting.set()
    await sending
    assert (await wire.reply()).body == b"POST /sdapi/v1/txt2img %d" % (10 * MEGABYTE)


async def send_much(wire: Wire, size: int) -> None:
    await send_blocks(wire, bytes(MEGABYTE), size // MEGABYTE)


async def send_blocks(wire: Wire, block: bytes, times: int) -> None:
    for _ in range(times):
        await wire.send(block)


def held(rig: Rig) -> int:
    """Bytes that the gateway holds, in its own buffers and in its transports'."""
    total = 0
    for client in rig.gateway._clients:
        total += len(client._pending) + client.transport.get_write_buffer_size()
        exchange = client._exchange
        if exchange is not None and exchange._upstream is not None:
            total += exchange._upstream.transport.get_write_buffer_size()
    return total


async def settled(value: Callable[[], int]) -> None:
    """Return when the number has begun to grow and has then stood still for a while."""
    await eventually(lambda: bool(value()))
    before = None
    while before != value():
        before = value()
        await asyncio.sleep(0.15)
