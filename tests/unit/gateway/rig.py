"""A real gateway between raw sockets: what a test sends, and what a WebUI answers, is bytes. h11 reads what comes out."""

import asyncio
import tempfile
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Self

import h11

from allocator.gateway.context import Timeouts
from allocator.gateway.server import Gateway
from allocator.identity.base import User
from allocator.identity.dev import DevVerifier
from allocator.sessions.api import Route
from tests.fake_clock import FakeClock
from webuis.base import WebUI
from webuis.easel import WEBUI as EASEL

DEADLINE = 20.0
VERIFIER = DevVerifier(b"s" * 32)
VERIFIER.consumes_cookies = frozenset({b"identity"})
ALICE = VERIFIER.verify([], "alice.localhost", "127.0.0.1")
BOB = VERIFIER.verify([], "bob.localhost", "127.0.0.1")


@dataclass(frozen=True)
class Message:
    """A request that arrived at an upstream, or a reply that arrived at a client."""

    start: str
    """`METHOD target`, or the status."""
    fields: list[tuple[str, str]]
    body: bytes

    def get(self, name: str) -> str | None:
        """The one value of that field, or None. Two are an error of the sender."""
        values = self.all(name)
        assert len(values) <= 1, f"{name} occurs {len(values)} times"
        return values[0] if values else None

    def all(self, name: str) -> list[str]:
        return [value for field_name, value in self.fields if field_name == name]


class Wire:
    """One end of a connection that speaks bytes, read through h11."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._rest = b""
        self._eof = False

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def request(self) -> Message:
        """The next request. Raises `EOFError` when there is none."""
        return await self._message(h11.Connection(h11.SERVER))

    async def reply(self, method: str = "GET") -> Message:
        """The reply to a request of that method. Raises `EOFError` when the connection ends before it."""
        connection = h11.Connection(h11.CLIENT)
        connection.send(h11.Request(method=method, target="/", headers=[("Host", "x")]))
        return await self._message(connection)

    async def read(self, size: int = 65536) -> bytes:
        """Bytes as they come; nothing at the end."""
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        async with asyncio.timeout(DEADLINE):
            return await self.reader.read(size)

    async def until(self, mark: bytes) -> bytes:
        """Bytes up to and with `mark`."""
        data = b""
        while mark not in data:
            more = await self.read()
            assert more, f"the connection ended after {data!r}"
            data += more
        end = data.index(mark) + len(mark)
        self._rest = data[end:]
        return data[:end]

    async def ended(self) -> bool:
        """Wait for the other side's end; whether nothing came before it."""
        try:
            return await self.read() == b""
        except ConnectionResetError:
            return True

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return

    async def _message(self, connection: h11.Connection) -> Message:
        start, fields, body = "", [], bytearray()
        connection.receive_data(self._rest) if self._rest else None
        self._rest = b""
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                data = await self.read()
                if not data and not start:
                    raise EOFError
                connection.receive_data(data)
            elif isinstance(event, h11.Request | h11.Response):
                is_request = isinstance(event, h11.Request)
                start = f"{event.method.decode()} {event.target.decode()}" if is_request else str(event.status_code)  # type: ignore[union-attr] # isinstance through a name
                fields = [(name.decode(), value.decode("latin-1")) for name, value in event.headers]
            elif isinstance(event, h11.Data):
                body += event.data
            elif isinstance(event, h11.EndOfMessage):
                self._rest = connection.trailing_data[0]
                return Message(start, fields, bytes(body))
            elif isinstance(event, h11.ConnectionClosed):
                raise EOFError


Handler = Callable[[Wire], Awaitable[None]]


def answering(reply: bytes) -> Handler:
    """Sends these bytes for each request."""

    async def handle(wire: Wire) -> None:
        while True:
            await wire.request()
            await wire.send(reply)

    return handle


class Upstream:
    """A server whose connections a handler serves. `seen` is what the echo handler received."""

    def __init__(self) -> None:
        self.handler: Handler = self.echo
        self.seen: list[Message] = []
        self.connections = 0
        self._wires: dict[asyncio.Task[None], Wire] = {}
        self._server: asyncio.Server | None = None
        self.port = 0

    async def start(self, path: Path | None = None) -> None:
        if path is not None:
            self._server = await asyncio.start_unix_server(self._serve, str(path))
        else:
            self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port)
            self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        tasks = tuple(self._wires)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def echo(self, wire: Wire) -> None:
        """Tells each request's line and the length of its body."""
        while True:
            request = await wire.request()
            self.seen.append(request)
            text = f"{request.start} {len(request.body)}".encode()
            body = b"" if request.start.startswith("HEAD ") else text
            await wire.send(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(text), body))

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        wire = Wire(reader, writer)
        task = asyncio.current_task()
        assert task is not None
        self._wires[task] = wire
        try:
            await self.handler(wire)
        except (EOFError, ConnectionError, asyncio.CancelledError, h11.RemoteProtocolError):
            pass
        finally:
            del self._wires[task]
            writer.close()


@dataclass
class FakeRoutes:
    """Implements `allocator.sessions.api.Routes`."""

    routes: dict[str, Route] = field(default_factory=dict)
    activities: list[tuple[str, str]] = field(default_factory=list)
    admits: bool = True
    admitted: list[str] = field(default_factory=list)
    callbacks: list[Callable[[str, str], None]] = field(default_factory=list)

    def route(self, key: str) -> Route | None:
        return self.routes.get(key)

    def activity(self, key: str, kind: str) -> None:
        self.activities.append((key, kind))

    async def admit(self, key: str) -> bool:
        self.admitted.append(key)
        return self.admits

    def on_end(self, callback: Callable[[str, str], None]) -> None:
        self.callbacks.append(callback)

    def end(self, user: User, reason: str) -> None:
        """The user's session is over."""
        route = self.routes.pop(user.key)
        for callback in self.callbacks:
            callback(route.uid, reason)


class Rig:
    """Everything together. The gateway's clock stands still until a test moves it."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.routes = FakeRoutes()
        self.alice = Upstream()
        self.bob = Upstream()
        self.app = Upstream()
        self.port = 0
        self._clients: list[Wire] = []
        self._folder = tempfile.TemporaryDirectory()
        self.gateway = Gateway(VERIFIER, self.routes, Path(self._folder.name) / "app", self.clock, Timeouts())

    async def __aenter__(self) -> Self:
        await self.app.start(Path(self._folder.name) / "app")
        for user, upstream in ((ALICE, self.alice), (BOB, self.bob)):
            await upstream.start()
            self.routes.routes[user.key] = self.route(user, upstream.port)
        ((_, self.port),) = await self.gateway.start(["127.0.0.1"], 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        for client in self._clients:
            await client.close()
        await self.gateway.stop(0)
        for upstream in (self.alice, self.bob, self.app):
            await upstream.stop()
        self._folder.cleanup()

    def route(self, user: User, port: int, webui: WebUI = EASEL) -> Route:
        return Route(uid=f"uid-{user.subject}", gameserver=f"easel-{user.subject}", host="127.0.0.1", port=port, webui=webui)

    def use(self, webui: WebUI) -> None:
        """Alice's WebUI is this one."""
        self.routes.routes[ALICE.key] = replace(self.routes.routes[ALICE.key], webui=webui)

    async def connect(self) -> Wire:
        wire = Wire(*await asyncio.open_connection("127.0.0.1", self.port))
        self._clients.append(wire)
        return wire

    async def ask(self, request: bytes, method: str = "GET") -> Message:
        """The reply to one request on a connection of its own."""
        wire = await self.connect()
        await wire.send(request)
        return await wire.reply(method)


def request(line: str = "GET /x", *fields: str, body: bytes = b"", host: str = "alice.localhost") -> bytes:
    """A request of that method and target, with a Host and these fields."""
    return "\r\n".join([f"{line} HTTP/1.1", f"Host: {host}", *fields, "", ""]).encode("latin-1") + body
