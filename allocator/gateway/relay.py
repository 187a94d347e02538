"""An upstream's reply on its way to the client: bytes in, bytes out, no I/O."""

from allocator.gateway.framing import LAST_CHUNK, Coding, Decoder, Malformed, chunk, decoder
from allocator.gateway.heads import Reply, Request, parse_reply, split_head
from allocator.gateway.outgoing import framing_for, to_browser
from allocator.gateway.rules import ToApp, ToWebUI
from allocator.gateway.websocket import check_switch

_CONTINUE = 100
_SWITCHING = 101


class ReplyRelay:
    """Reads the reply to `head` and writes it anew for the client, framed for its version of HTTP.

    After a 101, `reply` is that, `done` is true and `surplus` is what came after it.
    """

    __slots__ = (
        "_chunked",
        "_continue_due",
        "_cookies",
        "_decision",
        "_decoder",
        "_head",
        "_held",
        "keep_alive",
        "reply",
        "surplus",
    )

    def __init__(self, head: Request, decision: ToApp | ToWebUI, cookies: frozenset[bytes]) -> None:
        self._head = head
        self._decision = decision
        self._cookies = cookies
        self._held = b""
        self._decoder: Decoder | None = None
        self._chunked = False
        self._continue_due = head.expects_continue
        self.keep_alive = False
        self.reply: Reply | None = None
        self.surplus = b""

    @property
    def untouched(self) -> bool:
        """Not a byte has come."""
        return self.reply is None and not self._held

    @property
    def consent_due(self) -> bool:
        """The client waits for a 100 before it sends the request's body."""
        return self._continue_due and self.reply is None

    @property
    def done(self) -> bool:
        return self._decoder is not None and self._decoder.done

    @property
    def switched(self) -> bool:
        """The upstream speaks WebSocket from now on."""
        return self.reply is not None and self.reply.status == _SWITCHING

    def feed(self, data: bytes, *, may_persist: bool) -> bytes:
        """What `data` is to the client, whose connection stays open after the reply only if it may. Raises `Malformed`."""
        out = b""
        while self._decoder is None:
            found = split_head(self._held + data, too_large=502)
            if found is None:
                self._held += data
                return out
            self._held = b""
            head, data = found
            reply = parse_reply(head, self._head.method)
            if 100 <= reply.status < 200 and reply.status != _SWITCHING:
                out += self._informational(reply)
            else:
                out += self._begin(reply, may_persist=may_persist)
        if self.switched:
            self.surplus = data
            return out
        payload, surplus = self._decoder.feed(data)
        if surplus:
            raise Malformed("bytes after the reply")
        if not self._chunked:
            return out + payload if out else payload
        return out + (chunk(payload) if payload else b"") + (LAST_CHUNK if self._decoder.done else b"")

    def end(self) -> bytes | None:
        """The upstream closed in order: the last bytes for the client, or None when the reply is cut."""
        if self.reply is None or self.reply.body is not Coding.UNTIL_CLOSE:
            return None
        return LAST_CHUNK if self._chunked else b""

    def _informational(self, reply: Reply) -> bytes:
        if reply.status != _CONTINUE or not self._continue_due:
            raise Malformed("an informational reply that nobody asked for")
        self._continue_due = False
        return b"HTTP/1.1 100 Continue\r\n\r\n"

    def _begin(self, reply: Reply, *, may_persist: bool) -> bytes:
        if reply.status == _SWITCHING:
            check_switch(reply, self._head)
        framing = framing_for(reply, self._head)
        self.reply = reply
        self._decoder = decoder(reply.body)
        self._chunked = framing is Coding.CHUNKED
        self.keep_alive = may_persist and framing is not Coding.UNTIL_CLOSE
        return to_browser(reply, self._head, self._decision, self._cookies, close=not self.keep_alive)
