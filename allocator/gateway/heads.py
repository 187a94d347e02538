"""Heads of HTTP/1.1 messages, read strictly: what can be understood in two ways is refused, never repaired.

The grammar is RFC 9112's, less what it allows for the sake of old senders: no obs-fold, no bare LF, no repeated
Content-Length, no Content-Length beside Transfer-Encoding, no coding but `chunked`, one Host. A field that decides
anything here may occur once. Names come out in lower case, values without surrounding blanks, in the order received.
"""

import re
from functools import lru_cache
from typing import NamedTuple

from allocator.gateway.framing import Body, Coding, Malformed

MAX_HEAD = 32 * 1024
"""Bytes of a head, request or reply."""
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
DECIDING = frozenset(
    {
        b"authorization",
        b"content-length",
        b"cookie",
        b"expect",
        b"host",
        b"origin",
        b"sec-fetch-dest",
        b"sec-fetch-mode",
        b"sec-fetch-site",
        b"sec-websocket-key",
        b"sec-websocket-version",
        b"service-worker",
        b"transfer-encoding",
        b"upgrade",
    }
)
"""Fields of a request that a decision rests on: a second one would be another decision for whoever reads that one."""
_DECIDING_REPLY = frozenset(
    {b"content-length", b"transfer-encoding", b"upgrade", b"sec-websocket-accept", b"sec-websocket-protocol", b"location"}
)
_TEXT = bytes([0x09, *range(0x20, 0x7F), *range(0x80, 0x100)])
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]{1,128}")
_REQUEST_LINE = re.compile(rb"([A-Za-z]{1,20}) ([\x21\x22\x24-\x7e]+) HTTP/([0-9])\.([0-9])")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: ([\t\x20-\x7e\x80-\xff]*))?")
_ABSOLUTE = re.compile(rb"https?://([^/?]+)([/?].*)?", re.IGNORECASE)
_HOST = re.compile(rb"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")
_LENGTH = re.compile(rb"[0-9]{1,18}")
_KEY = re.compile(rb"[A-Za-z0-9+/]{22}==")
_NO_HEAD = re.compile(rb"(?<!\r)\n|\r(?=[^\n])|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

Field = tuple[bytes, bytes]


class Request(NamedTuple):
    """A request's head. (A NamedTuple: a frozen dataclass costs three times as much, on every request.)"""

    method: str
    target: bytes
    """In origin form, as it came otherwise: nothing is decoded or normalised."""
    path: str
    """The target without its query."""
    fields: list[Field]
    deciding: dict[bytes, bytes]
    """The fields that occur at most once, by name."""
    host: bytes
    """Empty for an HTTP/1.0 request without one."""
    connection: frozenset[bytes]
    """The Connection field's tokens, in lower case."""
    body: Body
    http_1_0: bool
    keep_alive: bool
    websocket: bool
    expects_continue: bool


class Reply(NamedTuple):
    """A reply's head. `body` takes the request's method and the status into account."""

    status: int
    reason: bytes
    fields: list[Field]
    deciding: dict[bytes, bytes]
    connection: frozenset[bytes]
    body: Body
    keep_alive: bool


def split_head(data: bytes, too_large: int) -> tuple[bytes, bytes] | None:
    """The first head of `data`, each line with its CRLF but without the empty line, and what follows it.

    None while it is unfinished. Raises `Malformed`: as soon as it can be told when it never can become one, with status
    `too_large` when it is longer than `MAX_HEAD`.
    """
    end = data.find(b"\r\n\r\n", 0, MAX_HEAD)
    if end >= 0:
        return data[: end + 2], data[end + 4 :]
    if _NO_HEAD.search(data, 0, MAX_HEAD):
        raise Malformed("a control character or a line without CRLF in the head")
    if len(data) >= MAX_HEAD:
        raise Malformed("the head is too large", too_large)
    return None


def parse_request(head: bytes, deciding: frozenset[bytes] = DECIDING) -> Request:
    """Read a head that `split_head` found. Fields in `deciding` may occur once. Raises `Malformed`."""
    lines = _lines(head)
    line = _REQUEST_LINE.fullmatch(lines[0])
    if line is None:
        raise Malformed("bad request line")
    method, target, major, minor = line[1].decode(), line[2], line[3], line[4]
    if major != b"1" or minor not in b"01":
        raise Malformed("only HTTP/1.1 and HTTP/1.0 are spoken here", 505)
    if method not in METHODS:
        raise Malformed("unknown method", 501)
    fields, once, connection = _fields(lines, deciding)
    http_1_0 = minor == b"0"
    host, target = _authority(target, once.get(b"host"), http_1_0=http_1_0)
    body = _body(once, http_1_0=http_1_0) or 0
    expect = once.get(b"expect", b"").lower()
    if expect not in (b"", b"100-continue"):
        raise Malformed("unknown expectation", 417)
    websocket = False
    if once.get(b"upgrade", b"").lower() == b"websocket":
        _check_handshake(method, once, connection, body, http_1_0=http_1_0)
        websocket = True
    return Request(
        method=method,
        target=target,
        path=target.partition(b"?")[0].decode(),
        fields=fields,
        deciding=once,
        host=host,
        connection=connection,
        body=body,
        http_1_0=http_1_0,
        keep_alive=not http_1_0 and b"close" not in connection,
        websocket=websocket,
        expects_continue=bool(expect) and body != 0 and not http_1_0,
    )


def parse_reply(head: bytes, method: str) -> Reply:
    """Read the head of the reply to a request of that method. Raises `Malformed`."""
    lines = _lines(head)
    line = _STATUS_LINE.fullmatch(lines[0])
    if line is None:
        raise Malformed("bad status line")
    http_1_0, status = line[1] == b"0", int(line[2])
    fields, once, connection = _fields(lines, _DECIDING_REPLY)
    body = _body(once, http_1_0=http_1_0)
    if status < 200 or status == 204:
        if body:
            raise Malformed("a body with a status that has none")
        body = 0
    elif method == "HEAD" or status == 304:
        body = 0
    elif body is None:
        body = Coding.UNTIL_CLOSE
    return Reply(
        status=status,
        reason=line[3] or b"",
        fields=fields,
        deciding=once,
        connection=connection,
        body=body,
        keep_alive=not http_1_0 and b"close" not in connection and body is not Coding.UNTIL_CLOSE,
    )


def _lines(head: bytes) -> list[bytes]:
    lines = head.split(b"\r\n")
    lines.pop()
    if head.translate(None, _TEXT) != b"\r\n" * len(lines):
        raise Malformed("a control character or a line without CRLF in the head")
    return lines


@lru_cache(maxsize=2048)
def _name(raw: bytes) -> bytes:
    if _NAME.fullmatch(raw) is None:
        raise Malformed("bad field name")
    return raw.lower()


def _fields(lines: list[bytes], deciding: frozenset[bytes]) -> tuple[list[Field], dict[bytes, bytes], frozenset[bytes]]:
    fields: list[Field] = []
    once: dict[bytes, bytes] = {}
    connection: frozenset[bytes] = frozenset()
    for line in lines[1:]:
        raw, colon, value = line.partition(b":")
        if not colon:
            raise Malformed("a field without a colon")
        name, value = _name(raw), value.strip(b" \t")
        fields.append((name, value))
        if name in deciding:
            if name in once:
                raise Malformed(f"more than one {name.decode()}")
            once[name] = value
        elif name == b"connection":
            connection |= _tokens(value)
    return fields, once, connection


@lru_cache(maxsize=256)
def _tokens(value: bytes) -> frozenset[bytes]:
    return frozenset(token.strip(b" \t").lower() for token in value.split(b","))


def _authority(target: bytes, host: bytes | None, *, http_1_0: bool) -> tuple[bytes, bytes]:
    """The host that is meant, and the target in origin form."""
    if host is None and not http_1_0:
        raise Malformed("no Host")
    if host is not None and _HOST.fullmatch(host) is None:
        raise Malformed("bad Host")
    if target.startswith(b"/"):
        return host or b"", target
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None:
        raise Malformed("bad target")
    if absolute[1].lower() != (host or b"").lower():
        raise Malformed("the target and Host differ")
    path = absolute[2] or b"/"
    return absolute[1], path if path.startswith(b"/") else b"/" + path


def _body(once: dict[bytes, bytes], *, http_1_0: bool) -> Body | None:
    length, coding = once.get(b"content-length"), once.get(b"transfer-encoding")
    if coding is not None:
        if length is not None:
            raise Malformed("Content-Length with Transfer-Encoding")
        if http_1_0:
            raise Malformed("Transfer-Encoding in HTTP/1.0")
        if coding.lower() != b"chunked":
            raise Malformed("a Transfer-Encoding other than chunked", 501)
        return Coding.CHUNKED
    if length is None:
        return None
    if _LENGTH.fullmatch(length) is None:
        raise Malformed("bad Content-Length")
    return int(length)


def _check_handshake(
    method: str, once: dict[bytes, bytes], connection: frozenset[bytes], body: Body, *, http_1_0: bool
) -> None:
    if (
        method != "GET"
        or http_1_0
        or body != 0
        or b"upgrade" not in connection
        or once.get(b"sec-websocket-version") != b"13"
        or _KEY.fullmatch(once.get(b"sec-websocket-key", b"")) is None
    ):
        raise Malformed("bad WebSocket handshake")
