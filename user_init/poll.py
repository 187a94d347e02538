"""The allocator's long poll: `GET /prepared?nonce=N`. One request a connection; bounded in size, time and number.

Whoever reaches the port may ask. The answer says nothing to somebody who does not know the nonce.
"""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qs, urlsplit

import h11

REQUEST_SECONDS = 5.0
"""For the request to arrive, and again for the reply to be taken."""
MAX_REQUEST = 8 * 1024
MAX_CONNECTIONS = 256


@dataclass(frozen=True, slots=True)
class Answer:
    status: HTTPStatus
    body: Mapping[str, object]


Ask = Callable[[str], Awaitable[Answer]]
"""From the nonce to the answer, which may take its time."""


async def serve(listening: socket.socket, ask: Ask) -> None:
    """Answer polls that arrive on this socket until cancelled."""
    async with asyncio.TaskGroup() as connections:
        open_now: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            if len(open_now) >= MAX_CONNECTIONS:
                writer.transport.abort()
                return
            task = connections.create_task(_connection(reader, writer, ask), name="poll")
            open_now.add(task)
            task.add_done_callback(open_now.discard)

        server = await asyncio.start_server(accept, sock=listening, limit=MAX_REQUEST)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            server.close()


async def _connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ask: Ask) -> None:
    http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_REQUEST)
    try:
        try:
            async with asyncio.timeout(REQUEST_SECONDS):
                request = await _request(reader, http)
        except h11.RemoteProtocolError as error:
            answer = _error(HTTPStatus(error.error_status_hint), str(error))
        else:
            answer = await _route(request, ask)
        async with asyncio.timeout(REQUEST_SECONDS):
            await _reply(writer, http, answer)
    except (OSError, h11.LocalProtocolError):  # TimeoutError is an OSError; an asker that is gone gets no answer
        pass
    finally:
        if writer.transport.get_write_buffer_size():
            writer.transport.abort()  # close() would wait for an asker that does not read
        else:
            writer.close()


async def _request(reader: asyncio.StreamReader, http: h11.Connection) -> h11.Request:
    request: h11.Request | None = None
    body = 0
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(MAX_REQUEST))
        elif isinstance(event, h11.Request):
            request = event
        elif isinstance(event, h11.Data):
            body += len(event.data)
            if body > MAX_REQUEST:
                raise h11.RemoteProtocolError("The body is too large.", error_status_hint=HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif isinstance(event, h11.EndOfMessage) and request is not None:
            return request
        else:
            raise ConnectionResetError("hung up before the request was complete")


async def _route(request: h11.Request, ask: Ask) -> Answer:
    url = urlsplit(request.target.decode("latin-1"))
    nonces = parse_qs(url.query).get("nonce", [])
    if url.path != "/prepared":
        return _error(HTTPStatus.NOT_FOUND, "There is only /prepared.")
    if request.method != b"GET":
        return _error(HTTPStatus.METHOD_NOT_ALLOWED, "Use GET.")
    if len(nonces) != 1:
        return _error(HTTPStatus.BAD_REQUEST, "Name one nonce.")
    return await ask(nonces[0])


def _error(status: HTTPStatus, message: str) -> Answer:
    return Answer(status, {"error": {"code": status.name.lower(), "message": message}})


async def _reply(writer: asyncio.StreamWriter, http: h11.Connection, answer: Answer) -> None:
    body = json.dumps(answer.body).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body))), ("Connection", "close")]
    head = h11.Response(status_code=answer.status, reason=answer.status.phrase, headers=headers)
    for event in (head, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(http.send(event) or b"")
    await writer.drain()
