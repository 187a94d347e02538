"""Heads as the gateway sends them on: what must not pass is left out, what only the gateway may say is added.

Framing, Host and hop-by-hop fields are always written anew, so nothing that was sent can stand beside them.
"""

from functools import lru_cache
from urllib.parse import quote

from allocator.gateway.framing import Body, Coding
from allocator.gateway.heads import Reply, Request
from allocator.gateway.rules import ToApp, ToWebUI

_HOP_BY_HOP = frozenset(
    {
        b"connection",
        b"http2-settings",
        b"keep-alive",
        b"proxy-authenticate",
        b"proxy-authorization",
        b"proxy-connection",
        b"te",
        b"trailer",
        b"transfer-encoding",
        b"upgrade",
    }
)
_REWRITTEN = frozenset({b"content-length", b"host", b"expect", b"forwarded", b"x-real-ip"})
_OURS = (b"x-atelier-", b"x-forwarded-")
_TAKES_OVER_THE_ORIGIN = frozenset(
    {
        b"alt-svc",
        b"clear-site-data",
        b"nel",
        b"report-to",
        b"reporting-endpoints",
        b"service-worker-allowed",
        b"set-cookie2",
        b"strict-transport-security",
    }
)
OUR_COOKIES = (b"atelier", b"__host-atelier", b"__secure-atelier")
"""What the names of our own cookies begin with, in lower case."""
_USUAL_TOKENS = frozenset({b"close", b"keep-alive", b"upgrade"})
_NO_FRAMING = b"content-security-policy: frame-ancestors 'self'\r\n"
"""In addition to a policy that the reply has: a browser applies each of them."""


@lru_cache(maxsize=2048)
def _passes_to_upstream(name: bytes) -> bool:
    """Underscores count as hyphens: some servers behind us read them so."""
    name = name.replace(b"_", b"-")
    return not (name in _HOP_BY_HOP or name in _REWRITTEN or name.startswith(_OURS))


@lru_cache(maxsize=2048)
def _passes_to_browser(name: bytes) -> bool:
    return not (
        name in _HOP_BY_HOP or name == b"content-length" or name in _TAKES_OVER_THE_ORIGIN or name.startswith(b"x-atelier-")
    )


def to_webui(head: Request, peer: str, headers: frozenset[bytes], cookies: frozenset[bytes]) -> bytes:
    """The request's head for a WebUI, without the headers and cookies that a verifier consumed, and without our cookies."""
    return _joined(_request_lines(head, head.target, peer, headers, cookies))


def to_app(head: Request, peer: str, decision: ToApp) -> bytes:
    """The request's head for the pages, with who sent it."""
    lines = _request_lines(head, decision.target or head.target, peer, frozenset(), None)
    if decision.user is not None:
        lines.append(b"x-atelier-user: " + decision.user.encode())
    if decision.refused:
        lines.append(b"x-atelier-refused: " + quote(decision.refused).encode())
    lines.append(b"x-atelier-peer: " + peer.encode())
    return _joined(lines)


def to_browser(reply: Reply, head: Request, decision: ToWebUI | ToApp, cookies: frozenset[bytes], *, close: bool) -> bytes:
    """The reply's head for the client that sent `head`, framed for its version of HTTP."""
    lines = [b"HTTP/1.1 %d %b" % (reply.status, reply.reason)]
    extra = reply.connection - _USUAL_TOKENS
    untrusted = isinstance(decision, ToWebUI)
    for name, value in reply.fields:
        if name == b"set-cookie" and untrusted:
            value = _clean_set_cookie(value, cookies)  # noqa: PLW2901 - the cleaned value stands for the received one
            if not value:
                continue
        if _passes_to_browser(name) and not (extra and name in extra):
            lines.append(name + b": " + value)
    if isinstance(decision, ToWebUI) and decision.page:
        lines.append(b"vary: Sec-Fetch-Dest")
    if reply.status == 101:
        lines += [b"connection: Upgrade", b"upgrade: websocket"]
    else:
        _frame_reply(lines, reply, head)
        if close:
            lines.append(b"connection: close")
    lines += [_NO_FRAMING, b""]
    return b"\r\n".join(lines)


def _request_lines(
    head: Request, target: bytes, peer: str, drop: frozenset[bytes], cookies: frozenset[bytes] | None
) -> list[bytes]:
    """`drop`, and what the Connection field names, does not pass; nor `cookies` and our own, unless that is None."""
    extra = head.connection - _USUAL_TOKENS
    drop = drop | extra if extra else drop
    lines = [b"%b %b HTTP/1.1" % (head.method.encode(), target), b"host: " + head.host]
    for name, value in head.fields:
        if name == b"cookie" and cookies is not None:
            value = _without_ours(value, cookies)  # noqa: PLW2901 - the cleaned value stands for the received one
            if not value:
                continue
        if _passes_to_upstream(name) and name not in drop:
            lines.append(name + b": " + value)
    lines.append(b"x-forwarded-for: %b\r\nx-forwarded-proto: http\r\nx-forwarded-host: %b" % (peer.encode(), head.host))
    if isinstance(head.body, Coding):
        lines.append(b"transfer-encoding: chunked")
    elif head.body or b"content-length" in head.deciding:
        lines.append(b"content-length: %d" % head.body)
    if head.expects_continue:
        lines.append(b"expect: 100-continue")
    if head.websocket:
        lines.append(b"connection: Upgrade\r\nupgrade: websocket")
    return lines


def _joined(lines: list[bytes]) -> bytes:
    return b"\r\n".join([*lines, b"", b""])


def _without_ours(cookies: bytes, consumed: frozenset[bytes]) -> bytes:
    pairs = cookies.split(b";")
    kept = [pair for pair in pairs if not _is_ours(pair.partition(b"=")[0], consumed)]
    return cookies if len(kept) == len(pairs) else b";".join(kept).strip(b" \t")


def _is_ours(name: bytes, consumed: frozenset[bytes]) -> bool:
    name = name.strip(b" \t")
    return name in consumed or name.lower().startswith(OUR_COOKIES)


def _clean_set_cookie(value: bytes, consumed: frozenset[bytes]) -> bytes:
    """Without its Domain, which would reach beyond this host; empty for a cookie that could pass for one of ours.

    A cookie without a name comes back as its bare value, which can look like any other.
    """
    pair, *attributes = value.split(b";")
    name, equals, _ = pair.partition(b"=")
    if not equals or not name.strip(b" \t") or _is_ours(name, consumed):
        return b""
    kept = (part for part in attributes if part.partition(b"=")[0].strip(b" \t").lower() != b"domain")
    return b";".join([pair, *kept])


def _frame_reply(lines: list[bytes], reply: Reply, head: Request) -> None:
    length = reply.deciding.get(b"content-length")
    if isinstance(reply.body, Coding):
        if not head.http_1_0:
            lines.append(b"transfer-encoding: chunked")
    elif length is not None and reply.status != 204:
        lines.append(b"content-length: %d" % int(length))


def framing_for(reply: Reply, head: Request) -> Body:
    """How the reply's body goes to the client: what has no length goes in chunks, or until the close for HTTP/1.0."""
    if isinstance(reply.body, Coding):
        return Coding.UNTIL_CLOSE if head.http_1_0 else Coding.CHUNKED
    return reply.body
