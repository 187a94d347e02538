"""One bounded HTTP/1.1 call: what the sidecar, user_init and the releaser need to ask a WebUI. Not for browsers' traffic.

h11 does the protocol. A call opens a connection, sends, reads a bounded reply and closes, all under one deadline.
"""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import h11

MAX_BODY = 8 * 1024 * 1024


class HttpError(Exception):
    """No usable reply: refused, timed out, cut off or malformed. Never to be read as an answer."""


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)

    def json(self) -> object:
        """The body as JSON. Raises `HttpError` when it is none."""
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:  # the latter from brackets without end
            raise HttpError(f"reply is not JSON: {self.body[:80]!r}") from error


async def call(
    host: str,
    port: int,
    method: str,
    path: str,
    *,
    payload: object = None,
    headers: Mapping[str, str] | None = None,
    timeout: float,
    max_body: int = MAX_BODY,
) -> Reply:
    """Send one request and return the reply. `payload` goes as JSON. `timeout` is in seconds, for all of it.

    Raises `HttpError`.
    """
    writer: asyncio.StreamWriter | None = None
    try:
        async with asyncio.timeout(timeout):
            reader, writer = await asyncio.open_connection(host, port)
            return await _exchange(reader, writer, _request(f"{host}:{port}", method, path, payload, headers or {}), max_body)
    except TimeoutError as error:
        raise HttpError(f"{method} {path} on port {port}: no reply within {timeout:g} s") from error
    except OSError as error:
        raise HttpError(f"{method} {path} on port {port}: {error.strerror or error}") from error
    except h11.ProtocolError as error:
        raise HttpError(f"{method} {path} on port {port}: malformed reply ({error})") from error
    finally:
        if writer is not None:
            writer.transport.abort()  # close() would wait for a server that has stopped reading, for ever


def _request(host: str, method: str, path: str, payload: object, extra: Mapping[str, str]) -> tuple[h11.Request, bytes]:
    body = b"" if payload is None else json.dumps(payload).encode()
    headers = [("Host", host), ("Accept", "application/json"), ("Connection", "close"), *extra.items()]
    if method != "GET":
        headers += [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    return h11.Request(method=method, target=path, headers=headers), body


async def _exchange(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, request: tuple[h11.Request, bytes], max_body: int
) -> Reply:
    connection = h11.Connection(h11.CLIENT)
    head, body = request
    outgoing = connection.send(head) or b""
    if body:
        outgoing += connection.send(h11.Data(data=body)) or b""
    outgoing += connection.send(h11.EndOfMessage()) or b""
    writer.write(outgoing)
    await writer.drain()
    status, headers, received = 0, {}, bytearray()
    while True:
        event = connection.next_event()
        if event is h11.NEED_DATA:
            connection.receive_data(await reader.read(65536))
        elif isinstance(event, h11.Response):
            status = event.status_code
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in event.headers}
        elif isinstance(event, h11.Data):
            received += event.data
            if len(received) > max_body:
                raise HttpError(f"reply is larger than {max_body} bytes")
        elif isinstance(event, h11.EndOfMessage):
            return Reply(status, bytes(received), headers)
        elif isinstance(event, h11.ConnectionClosed):
            raise HttpError("connection closed before the reply was complete")
