"""One request and its reply: from a client's connection to an upstream and back, streaming both ways.

The client's connection hands over the request's body, the upstream's the reply; what is read is written on at once, and
a side that does not take it stops the other from being read.

`Expect: 100-continue` is relayed, and so is the 100 that answers it: the upstream may refuse a body before it is sent.
"""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Protocol

from allocator.gateway import answers
from allocator.gateway.answers import Answer
from allocator.gateway.context import Context
from allocator.gateway.framing import LAST_CHUNK, Coding, Malformed, chunk, decoder
from allocator.gateway.heads import Request
from allocator.gateway.outgoing import to_app, to_webui
from allocator.gateway.relay import ReplyRelay
from allocator.gateway.rules import UNAVAILABLE_PATH, ToApp, ToWebUI, is_navigation
from allocator.gateway.splice import Splice
from allocator.gateway.upstream import UpstreamConnection

log = logging.getLogger(__name__)
_IDEMPOTENT = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})


class Client(Protocol):
    """The client's connection, as an exchange sees it."""

    peer: str
    transport: asyncio.Transport

    def write(self, data: bytes) -> None: ...

    def read(self, *, paused: bool) -> None:
        """Stop or go on taking the request's body."""
        ...

    def body_wanted(self) -> None:
        """The exchange takes the request's body from now on."""
        ...

    def may_persist(self, head: Request) -> bool:
        """Whether the connection can serve another request after this one."""
        ...

    def exchange_done(self, *, keep_alive: bool) -> None: ...

    def switched(self, splice: Splice, rest: bytes) -> None:
        """The connection is a WebSocket from now on; `rest` came after the upstream's 101."""
        ...

    def abort(self) -> None:
        """Close so that nobody takes a cut reply for a whole one."""
        ...


class Exchange:
    """Ends with `Client.exchange_done`, `switched` or `abort`, or by `cancel`."""

    def __init__(self, client: Client, context: Context, head: Request, decision: ToApp | ToWebUI) -> None:
        self._client = client
        self._context = context
        self._head = head
        self._request = decoder(head.body)
        self._upstream: UpstreamConnection | None = None
        self._opening: asyncio.Task[None] | None = None
        self._reply_begun = False
        self._aim(decision)

    @property
    def wants_body(self) -> bool:
        return self._upstream is not None and not self._request.done

    @property
    def awaits_body(self) -> bool:
        """The client has to send something now: nobody's consent is missing."""
        return self.wants_body and not self._relay.consent_due

    def start(self) -> None:
        """Send the head on: at once over a connection that lies ready, else when there is one."""
        decision = self._decision
        if isinstance(decision, ToWebUI) and decision.kind:
            self._context.routes.activity(decision.user.key, decision.kind)
            if decision.kind == "generation":
                self._spawn(self._admit(decision.user.key))
                return
        self._open()

    def take(self, data: bytes) -> bytes:
        """Pass on the request's body; returns what follows it."""
        assert self._upstream is not None
        try:
            payload, rest = self._request.feed(data)
        except Malformed as error:
            self._context.counters.malformed_requests += 1
            self._fail(answers.problem(error.status, "bad_request", f"{error.reason}."))
            return b""
        if self._head.body is Coding.CHUNKED:
            payload = (chunk(payload) if payload else b"") + (LAST_CHUNK if self._request.done else b"")
        if payload:
            self._upstream.transport.write(payload)
        return rest

    def cancel(self) -> None:
        """The client is gone."""
        self._count(0)
        self._detach()

    def timed_out(self) -> None:
        """The request's body does not come."""
        self._fail(answers.STALLED)

    def client_full(self, *, full: bool) -> None:
        if self._upstream is not None:
            self._upstream.read(paused=full)

    # --- from the upstream

    def upstream_full(self, *, full: bool) -> None:
        self._client.read(paused=full)

    def upstream_data(self, data: bytes) -> None:
        relay = self._relay
        try:
            out = relay.feed(data, may_persist=self._request.done and self._client.may_persist(self._head))
        except Malformed as error:
            log.info("reply from %s refused: %s", self._uid or "the pages", error.reason)
            self._context.counters.malformed_replies += 1
            self._fail(answers.BAD_REPLY)
            return
        if out:
            self._reply_begun = relay.reply is not None
            self._client.write(out)
        if relay.switched:
            self._switch()
        elif relay.done:
            self._done()

    def upstream_lost(self, error: Exception | None) -> None:
        upstream, self._upstream = self._upstream, None
        assert upstream is not None
        end = self._relay.end() if error is None else None
        if end is not None:
            self._client.write(end)
            self._done()
        elif self._may_retry(upstream):
            self._context.counters.retries += 1
            self._spawn(self._connect())
        else:
            self._unavailable()

    # --- towards the upstream

    def _aim(self, decision: ToApp | ToWebUI) -> None:
        upstreams = self._context.upstreams
        self._decision = decision
        self._pool = upstreams.webui(decision.route) if isinstance(decision, ToWebUI) else upstreams.app
        self._relay = ReplyRelay(self._head, decision, self._context.verifier.consumes_cookies)

    def _open(self) -> None:
        if connection := self._pool.take():
            self._send(connection)
        else:
            self._spawn(self._connect())

    def _spawn(self, step: Coroutine[object, object, None]) -> None:
        self._opening = self._context.spawn(step)
        self._opening.add_done_callback(self._opened)

    def _opened(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (error := task.exception()):
            log.error("a request could not be sent on", exc_info=error)
            self._fail(answers.BUSY)

    async def _admit(self, key: str) -> None:
        try:
            async with asyncio.timeout(self._context.timeouts.admit):
                admitted = await self._context.routes.admit(key)
        except TimeoutError:
            self._fail(answers.BUSY)
            return
        if admitted:
            self._open()
        else:
            self._fail(answers.RELEASING)

    async def _connect(self) -> None:
        try:
            connection = await self._pool.connect()
        except OSError:
            self._unavailable()
        else:
            self._send(connection)

    def _send(self, connection: UpstreamConnection) -> None:
        self._upstream = connection
        connection.owner = self
        verifier = self._context.verifier
        if isinstance(self._decision, ToApp):
            head = to_app(self._head, self._client.peer, self._decision)
        else:
            head = to_webui(self._head, self._client.peer, verifier.consumes_headers, verifier.consumes_cookies)
        connection.transport.write(head)
        if not self._request.done:
            self._client.body_wanted()

    def _may_retry(self, upstream: UpstreamConnection) -> bool:
        """Only what can be repeated, and only when it died unanswered on a connection that was closing under us."""
        repeatable = self._head.body == 0 and self._head.method in _IDEMPOTENT
        return upstream.reused and repeatable and self._relay.untouched

    # --- ends

    def _done(self) -> None:
        """The reply is complete. A request that is not can no longer be: nobody reads the rest of it."""
        reply, upstream, self._upstream = self._relay.reply, self._upstream, None
        assert reply is not None
        if upstream is not None:
            if reply.keep_alive and self._request.done:
                upstream.release()
            else:
                upstream.discard()
        self._count(reply.status)
        self._client.exchange_done(keep_alive=self._relay.keep_alive)

    def _switch(self) -> None:
        upstream, self._upstream = self._upstream, None
        assert upstream is not None
        self._count(101)
        context, uid = self._context, self._uid
        splice = Splice(self._client.transport, upstream, lambda: context.parted(uid, splice))
        context.joined(uid, splice)
        self._client.switched(splice, self._relay.surplus)

    def _unavailable(self) -> None:
        self._context.counters.upstream_failures += 1
        head = self._head
        if isinstance(self._decision, ToApp):
            self._fail(answers.PAGES_UNAVAILABLE)
        elif not self._reply_begun and is_navigation(head) and head.method in ("GET", "HEAD") and head.body == 0:
            self._aim(ToApp(self._decision.user, target=UNAVAILABLE_PATH))
            self._open()
        else:
            self._fail(answers.UNAVAILABLE)

    def _fail(self, answer: Answer) -> None:
        """Answer for the upstream; where its reply has begun there is nothing left to do but to cut it."""
        self._detach()
        if self._reply_begun:
            self._count(0)
            self._client.abort()
            return
        keep_alive = self._request.done and answer is not answers.BAD_REPLY and self._client.may_persist(self._head)
        self._count(answer.status)
        self._client.write(answer.encode(self._head.method, keep_alive=keep_alive))
        self._client.exchange_done(keep_alive=keep_alive)

    def _detach(self) -> None:
        if self._opening is not None and self._opening is not asyncio.current_task():
            self._opening.cancel()
        if self._upstream is not None:
            self._upstream.discard()
            self._upstream = None

    @property
    def _uid(self) -> str:
        return self._decision.route.uid if isinstance(self._decision, ToWebUI) else ""

    def _count(self, status: int) -> None:
        kind = "app" if isinstance(self._decision, ToApp) else "websocket" if self._head.websocket else "webui"
        self._context.counters.count(kind, status)
