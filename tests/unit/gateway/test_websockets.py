"""WebSockets through the gateway: a real client, a real server, and servers that misbehave."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest
from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.exceptions import ConnectionClosed, InvalidStatus

from allocator.gateway.websocket import accept_key
from tests.eventually import eventually
from tests.unit.gateway.rig import ALICE, Rig, Wire, request

KEY = "dGhlIHNhbXBsZSBub25jZQ=="
HANDSHAKE = ("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13", f"Sec-WebSocket-Key: {KEY}")
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: %b\r\n\r\n"
    % accept_key(KEY.encode())
)


class Echo:
    """A WebSocket server that sends back what it gets, and keeps how its connections ended."""

    def __init__(self) -> None:
        self.closed: list[tuple[int | None, str | None]] = []
        self.server: Server | None = None

    async def start(self) -> int:
        self.server = await serve(self.handle, "127.0.0.1", 0, max_size=None, subprotocols=None, ping_interval=None)
        return int(next(iter(self.server.sockets)).getsockname()[1])

    async def handle(self, connection: ServerConnection) -> None:
        try:
            async for message in connection:
                await connection.send(message)
        except ConnectionClosed:
            pass
        finally:
            self.closed.append((connection.close_code, connection.close_reason))


@pytest.fixture
async def echo(rig: Rig) -> AsyncIterator[Echo]:
    echo = Echo()
    rig.routes.routes[ALICE.key] = rig.route(ALICE, await echo.start())
    yield echo
    assert echo.server is not None
    echo.server.close()
    await echo.server.wait_closed()


def open_socket(rig: Rig, **options: object) -> connect:
    """As alice's browser would."""
    return connect(
        f"ws://127.0.0.1:{rig.port}/ws",
        additional_headers={"X-Atelier-Dev-User": "alice"},
        max_size=None,
        ping_interval=None,
        proxy=None,
        **options,  # type: ignore[arg-type] # options of the library, by name
    )


async def test_messages_pass_both_ways(rig: Rig, echo: Echo) -> None:
    async with open_socket(rig) as browser:
        for message in ("text", b"binary", "", "é" * 40_000):
            await browser.send(message)
            assert await browser.recv() == message
        pong = await browser.ping()
        await pong
        assert rig.gateway.open_websockets == 1
    await eventually(lambda: echo.closed == [(1000, "")])
    await eventually(lambda: rig.gateway.open_websockets == 0)
    assert rig.routes.activities == []


async def test_a_message_of_30_mb_passes(rig: Rig, echo: Echo) -> None:
    message = bytes(range(256)) * (30 * 4096)
    async with open_socket(rig, compression=None) as browser:
        await browser.send(message)
        assert await browser.recv() == message


async def test_the_sessions_end_closes_its_sockets_on_both_sides_within_a_second(rig: Rig, echo: Echo) -> None:
    async with open_socket(rig) as browser, open_socket(rig) as other:
        for socket in (browser, other):
            await socket.send("hello")
            await socket.recv()
        started = time.monotonic()
        rig.routes.end(ALICE, "released: idle for 30 minutes")
        for socket in (browser, other):
            await closed(socket, 1001, "released: idle for 30 minutes")
        assert time.monotonic() - started < 2
    await eventually(lambda: echo.closed == [(1001, "released: idle for 30 minutes")] * 2)
    await eventually(lambda: rig.gateway.open_websockets == 0)


async def test_a_gateway_that_stops_closes_sockets_as_a_restart(rig: Rig, echo: Echo) -> None:
    async with open_socket(rig) as browser:
        stopping = asyncio.ensure_future(rig.gateway.stop(0.1))
        await closed(browser, 1012, "Atelier restarts: reload in a moment.")
        await stopping
    assert rig.gateway.open_connections == 0


async def closed(socket: ClientConnection, code: int, reason: str) -> None:
    with pytest.raises(ConnectionClosed):
        await socket.recv()
    assert (socket.close_code, socket.close_reason) == (code, reason)


async def test_a_frame_under_way_is_finished_before_the_close_frame(rig: Rig) -> None:
    wire, upstream = await spliced(rig)
    await upstream.send(b"\x82\x0ahalf.")
    assert await wire.until(b"half.") == b"\x82\x0ahalf."
    rig.routes.end(ALICE, "over")
    await upstream.send(b"whole\x82\x05never")
    assert await wire.until(b"over") == b"whole\x88\x06\x03\xe9over"
    assert await wire.ended()


async def test_a_frame_that_is_never_finished_is_cut_after_a_second(rig: Rig) -> None:
    wire, upstream = await spliced(rig)
    await upstream.send(b"\x82\x0ahalf.")
    await wire.until(b"half.")
    started = time.monotonic()
    rig.routes.end(ALICE, "over")
    assert await wire.ended()
    assert 0.9 < time.monotonic() - started < 3
    assert await upstream.until(b"\x88\x86") == b"\x88\x86"


async def test_what_came_with_the_handshake_on_either_side_is_not_lost(rig: Rig) -> None:
    async def eager(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(SWITCH + b"\x81\x05hello")
        assert await wire.until(b"early!") == b"\x81\x86\0\0\0\0early!"
        await wire.send(b"\x81\x02ok")

    rig.alice.handler = eager
    wire = await rig.connect()
    await wire.send(request("GET /ws", *HANDSHAKE) + b"\x81\x86\0\0\0\0early!")
    assert (await wire.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    assert await wire.until(b"ok") == b"\x81\x05hello\x81\x02ok"


async def test_a_socket_that_its_webui_drops_is_dropped_for_the_browser(rig: Rig) -> None:
    wire, upstream = await spliced(rig)
    await upstream.close()
    assert await wire.ended()
    await eventually(lambda: rig.gateway.open_websockets == 0)


async def test_a_socket_that_the_browser_drops_is_dropped_for_its_webui(rig: Rig) -> None:
    wire, upstream = await spliced(rig)
    await wire.close()
    assert await upstream.ended()


@pytest.mark.parametrize("deaf", ["browser", "webui"])
async def test_a_side_that_does_not_read_stops_the_other(rig: Rig, deaf: str) -> None:
    wire, upstream = await spliced(rig)
    source = upstream if deaf == "browser" else wire
    source.writer.write(b"\x82\x7f" + (100_000_000).to_bytes(8, "big") + bytes(50_000_000))
    before = None
    while before != (left := source.writer.transport.get_write_buffer_size()):
        before = left
        await asyncio.sleep(0.15)
    assert left > 20_000_000
    source.writer.transport.abort()


@pytest.mark.parametrize(
    "reply",
    [
        SWITCH.replace(b"Upgrade: websocket", b"Upgrade: h2c"),
        SWITCH.replace(accept_key(KEY.encode()), b"AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        SWITCH.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: never-offered\r\n\r\n"),
        SWITCH.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
    ],
)
async def test_a_false_switch_gives_502(rig: Rig, reply: bytes) -> None:
    async def false(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(reply)
        await wire.ended()

    rig.alice.handler = false
    wire = await rig.connect()
    await wire.send(request("GET /ws", *HANDSHAKE))
    assert (await wire.reply()).start == "502"
    assert await wire.ended()


async def test_a_handshake_may_be_refused_by_the_webui_and_the_connection_stays(rig: Rig) -> None:
    wire = await rig.connect()
    for _ in range(2):
        await wire.send(request("GET /ws", *HANDSHAKE))
        assert (await wire.reply()).body == b"GET /ws 0"
    assert rig.alice.connections == 1


async def test_a_handshake_from_another_sites_page_is_refused(rig: Rig, echo: Echo) -> None:
    with pytest.raises(InvalidStatus) as refused:
        await open_socket(rig, origin="http://evil.example")
    assert refused.value.response.status_code == 403
    assert echo.closed == []


async def spliced(rig: Rig) -> tuple[Wire, Wire]:
    """The browser's and the WebUI's end of an open WebSocket."""
    ends: asyncio.Queue[Wire] = asyncio.Queue()

    async def switching(wire: Wire) -> None:
        await wire.until(b"\r\n\r\n")
        await wire.send(SWITCH)
        ends.put_nowait(wire)
        await asyncio.Event().wait()

    rig.alice.handler = switching
    wire = await rig.connect()
    await wire.send(request("GET /ws", *HANDSHAKE))
    assert (await wire.until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
    return wire, await ends.get()
