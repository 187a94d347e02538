"""A client's connection: heads are found and judged one at a time, and each request is an exchange of its own.

Nothing about a user stays on a connection: a load balancer puts many users' requests on one.
"""

import asyncio
import math
import socket
import struct
from collections.abc import Callable
from typing import cast

from allocator.gateway import answers
from allocator.gateway.answers import Answer
from allocator.gateway.context import Context
from allocator.gateway.exchange import Exchange
from allocator.gateway.framing import Malformed
from allocator.gateway.heads import Request, parse_request, split_head
from allocator.gateway.rules import decide
from allocator.gateway.splice import Splice
from allocator.identity.base import Refused, User

MAX_PENDING = 64 * 1024
"""Bytes that wait for their turn (pipelined requests, a body before its upstream is there) before reading stops."""
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class ClientConnection(asyncio.Protocol):
    """`tick` ends it at its deadline, on the gateway's clock; while an exchange is under way there is none, but whoever
    keeps somebody waiting for a byte for too long is cut off."""

    def __init__(
        self,
        context: Context,
        on_made: Callable[["ClientConnection"], None],
        on_lost: Callable[["ClientConnection"], None],
    ) -> None:
        self._context = context
        self._deciding = context.deciding
        self._on_made = on_made
        self._on_lost = on_lost
        self._pending = b""
        self._exchange: Exchange | None = None
        self._splice: Splice | None = None
        self._in_head = False
        self._upstream_full = False
        self._client_full = False
        self._paused = False
        self._half_closed = False
        self._draining = False
        self._closing = False
        self._deadline = math.inf
        self._received = 0
        self._moved = (0, 0)
        self._moved_at = 0.0
        self.peer = ""
        self.transport: asyncio.Transport

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's are no subclass of it
        peername = transport.get_extra_info("peername")
        self.peer = peername[0] if peername else ""
        self._context.counters.connections_accepted += 1
        self._wait(self._context.timeouts.idle)
        self._on_made(self)

    def data_received(self, data: bytes) -> None:
        self._context.counters.received_bytes += len(data)
        self._received += len(data)
        if self._splice is not None:
            self._splice.client_data(data)
        elif not self._closing:
            self._pending = self._pending + data if self._pending else data
            self._advance()

    def eof_received(self) -> bool:
        """A client may close its side when it has sent all of its requests; it still gets the replies."""
        if self._splice is not None or self._closing:
            return False
        self._half_closed = True
        self._advance()
        return True

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002 - however it ended, it is gone
        self._closing = True
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.cancel()
        if self._splice is not None:
            self._splice.client_lost()
        self._on_lost(self)

    def pause_writing(self) -> None:
        self._set_client_full(full=True)

    def resume_writing(self) -> None:
        self._set_client_full(full=False)
        self._advance()

    # --- what an exchange asks for

    def write(self, data: bytes) -> None:
        self._context.counters.sent_bytes += len(data)
        self.transport.write(data)

    def read(self, *, paused: bool) -> None:
        self._upstream_full = paused
        self._throttle()

    def body_wanted(self) -> None:
        self._advance()

    def may_persist(self, head: Request) -> bool:
        return head.keep_alive and not self._draining

    def exchange_done(self, *, keep_alive: bool) -> None:
        self._exchange = None
        self._upstream_full = False
        if not keep_alive or self._draining:
            self._finish()
            return
        self._wait(self._context.timeouts.idle)
        self._advance()

    def switched(self, splice: Splice, rest: bytes) -> None:
        self._exchange = None
        self._splice = splice
        self._upstream_full = False
        self._throttle()
        pending, self._pending = self._pending, b""
        if pending:
            splice.client_data(pending)
        if rest:
            splice.upstream_data(rest)
        if self._half_closed:
            splice.client_lost()

    def abort(self) -> None:
        """Close with a reset: an end in order would pass for the end of a body that has no other mark."""
        self._closing = True
        self._exchange = None
        self._reset()

    def _reset(self) -> None:
        raw = self.transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.transport.abort()

    # --- what the gateway asks for

    def drain(self) -> None:
        """Serve no more than the request under way."""
        self._draining = True
        if self._exchange is None and self._splice is None and not self._closing:
            self.transport.close()

    def tick(self, now: float) -> None:
        """Called every second or so with the gateway's time."""
        untaken = self.transport.get_write_buffer_size()
        exchange = self._exchange
        awaited = untaken > 0 or (exchange is not None and exchange.awaits_body and not self._paused)
        moved = (self._received, untaken)
        if not awaited or moved != self._moved:
            self._moved, self._moved_at = moved, now
        if awaited and now - self._moved_at >= self._context.timeouts.stall:
            self._stalled()
        elif untaken and self._closing:
            self._wait(self._context.timeouts.linger)
        elif self._deadline <= now:
            self._expire()

    def _stalled(self) -> None:
        """The client takes no byte of what there is for it, or sends none of what it announced."""
        if self._exchange is not None and not self.transport.get_write_buffer_size():
            self._exchange.timed_out()
        else:
            self._reset()

    def _expire(self) -> None:
        if self._in_head and not self._closing and not self.transport.is_closing():
            self._answer(answers.problem(408, "timeout", "The request's head did not arrive in time."))
        else:
            self.transport.abort()

    # --- requests, one after the other

    def _advance(self) -> None:
        """Go as far as the bytes allow that are there."""
        while self._pending and not self._closing and self._splice is None:
            if self._exchange is None:
                if self._client_full or not self._next_request():
                    break
            elif self._exchange.wants_body:
                self._pending = self._exchange.take(self._pending)
            else:
                break
        if self._half_closed:
            self._end_if_nothing_can_follow()
        self._throttle()

    def _end_if_nothing_can_follow(self) -> None:
        """The client sends no more: what is there has been gone through, and the replies are its own to wait for."""
        if self._exchange is None:
            if not self._client_full:
                self.transport.close()
        elif self._exchange.wants_body:
            self.transport.abort()

    def _next_request(self) -> bool:
        """Begin with the next request, if its head is complete."""
        try:
            found = split_head(self._pending, too_large=431)
            if found is None:
                if not self._in_head:
                    self._in_head = True
                    self._wait(self._context.timeouts.head)
                return False
            self._in_head = False
            block, self._pending = found
            head = parse_request(block, self._deciding)
        except Malformed as error:
            self._context.counters.malformed_requests += 1
            self._answer(answers.problem(error.status, "bad_request", f"{error.reason}."))
            return False
        self._dispatch(head)
        return True

    def _dispatch(self, head: Request) -> None:
        context = self._context
        who: User | Refused
        try:
            who = context.verifier.verify(head.fields, head.host.decode(), self.peer)
        except Refused as refused:
            who = refused
        route = context.routes.route(who.key) if isinstance(who, User) else None
        decision = decide(head, who, route)
        if isinstance(decision, Answer):
            self._answer(decision, head)
            return
        self._deadline = math.inf
        self._exchange = Exchange(self, context, head, decision)
        self._exchange.start()

    def _answer(self, answer: Answer, head: Request | None = None) -> None:
        """Reply without an upstream. A body that is still to come is not waited for: the connection ends."""
        keep_alive = head is not None and head.body == 0 and self.may_persist(head)
        self._context.counters.count("gateway", answer.status)
        self.write(answer.encode(head.method if head else "GET", keep_alive=keep_alive))
        if keep_alive:
            self._wait(self._context.timeouts.idle)
        else:
            self._finish()

    def _finish(self) -> None:
        """Close our side, and read on for a moment: a close with unread bytes would reset the reply on its way."""
        self._closing = True
        self._pending = b""
        if self._half_closed or self.transport.is_closing():
            self.transport.close()
            return
        self.transport.write_eof()
        self._wait(self._context.timeouts.linger)
        self._throttle()

    # --- pace

    def _wait(self, seconds: float) -> None:
        self._deadline = self._context.clock.monotonic() + seconds

    def _set_client_full(self, *, full: bool) -> None:
        self._client_full = full
        if self._splice is not None:
            self._splice.client_full(full=full)
        elif self._exchange is not None:
            self._exchange.client_full(full=full)

    def _throttle(self) -> None:
        if self._splice is not None:
            paused = False
        else:
            paused = not self._closing and (self._upstream_full or len(self._pending) >= MAX_PENDING)
        if paused != self._paused and not self._half_closed and not self.transport.is_closing():
            self._paused = paused
            if paused:
                self.transport.pause_reading()
            else:
                self.transport.resume_reading()
