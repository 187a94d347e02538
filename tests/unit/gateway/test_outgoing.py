"""What passes the gateway and what does not, in both directions."""

import pytest

from allocator.gateway.heads import Reply, Request, parse_reply, parse_request
from allocator.gateway.outgoing import to_app, to_browser, to_webui
from allocator.gateway.rules import ToApp, ToWebUI
from allocator.identity.base import User
from allocator.sessions.api import Route
from tests.unit.gateway.rig import ALICE
from tests.unit.gateway.rig import request as raw
from webuis.easel import WEBUI

TO_WEBUI = ToWebUI(ALICE, Route("uid", "easel-1", "127.0.0.1", 7860, WEBUI), "", page=False)
ADDED = ["x-forwarded-for: 10.0.0.9", "x-forwarded-proto: http", "x-forwarded-host: alice.localhost"]


def head(line: str, *fields: str) -> Request:
    return parse_request(raw(line, *fields)[:-2])


def lines(sent: bytes) -> list[str]:
    assert sent.endswith(b"\r\n\r\n")
    return sent[:-4].decode("latin-1").split("\r\n")


def upstream(*fields: str, line: str = "GET /x?y") -> list[str]:
    """The fields that a WebUI gets, after request line and Host."""
    start, host, *rest = lines(to_webui(head(line, *fields), "10.0.0.9", frozenset({b"x-token"}), frozenset({b"identity"})))
    assert (start, host) == (f"{line} HTTP/1.1", "host: alice.localhost")
    assert rest[-3:] == ADDED or "content-length" in rest[-1] or line != "GET /x?y"
    return [field for field in rest if field not in ADDED]


def reply(*fields: str, status: str = "200 OK", method: str = "GET") -> Reply:
    return parse_reply("\r\n".join([f"HTTP/1.1 {status}", *fields, ""]).encode("latin-1"), method)


def browser(*fields: str, decision: ToWebUI | ToApp = TO_WEBUI, close: bool = False) -> list[str]:
    """The fields that the browser gets, after the status line."""
    sent = to_browser(reply("Content-Length: 0", *fields), head("GET /"), decision, frozenset({b"identity"}), close=close)
    start, *rest = lines(sent)
    assert start == "HTTP/1.1 200 OK"
    assert rest.pop() == "content-security-policy: frame-ancestors 'self'"
    rest.remove("content-length: 0")
    return rest


def test_what_a_webui_needs_passes_unchanged() -> None:
    kept = [
        "origin: http://alice.localhost",
        "accept: a",
        "x-custom: \xe9",
        "accept: b",
        "range: bytes=1-",
        'if-none-match: "x"',
    ]
    assert upstream(*kept) == kept


@pytest.mark.parametrize(
    "field",
    [
        "X-Atelier-User: forged",
        "X-ATELIER-Anything: forged",
        "X_Atelier_User: forged",
        "X-Forwarded-For: 1.2.3.4",
        "X-Forwarded-Anything: 1.2.3.4",
        "X_Forwarded_For: 1.2.3.4",
        "Forwarded: for=1.2.3.4",
        "X-Real-IP: 1.2.3.4",
        "X-Token: the identity",
        "Keep-Alive: 5",
        "Proxy-Connection: keep-alive",
        "Proxy-Authorization: Basic x",
        "TE: trailers",
        "Trailer: x",
        "Upgrade: h2c",
        "HTTP2-Settings: x",
        "Connection: close",
        "Expect: 100-continue",
    ],
)
def test_what_never_reaches_a_webui(field: str) -> None:
    assert upstream(field, "x-kept: 1") == ["x-kept: 1"]


def test_what_the_connection_field_names_goes_no_further() -> None:
    assert upstream("Connection: X-Hop, close", "X-Hop: 1", "X-Kept: 1") == ["x-kept: 1"]


def test_the_connection_field_cannot_take_away_what_the_gateway_says() -> None:
    sent = upstream("Connection: Host, Content-Length, X-Forwarded-For", "Content-Length: 3", line="POST /")
    assert sent == ["content-length: 3"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("a=1; b=2", "a=1; b=2"),
        ("a=1; identity=secret; b=2", "a=1; b=2"),
        ("identity=secret", None),
        ("a=1;identity=secret;b=2", "a=1;b=2"),
        ("__Host-atelier-x=1; a=1", "a=1"),
        ("a=1; ATELIER=1; atelier_theme=2", "a=1"),
        ("a=1;\tidentity=secret", "a=1"),
    ],
)
def test_cookies_of_ours_and_of_the_identity_never_reach_a_webui(sent: str, kept: str | None) -> None:
    assert upstream(f"Cookie: {sent}") == ([f"cookie: {kept}"] if kept else [])


def test_a_handshake_is_passed_on_as_one() -> None:
    handshake = [
        "sec-websocket-version: 13",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==",
        "sec-websocket-extensions: permessage-deflate",
    ]
    assert upstream("Connection: keep-alive, Upgrade", "Upgrade: WebSocket", *handshake, line="GET /ws") == [
        *handshake,
        "connection: Upgrade",
        "upgrade: websocket",
    ]


def test_the_pages_are_told_who_sent_it() -> None:
    sent = lines(
        to_app(head("GET /_atelier/desk", "X-Atelier-User: forged", "X-Atelier-Peer: forged"), "10.0.0.9", ToApp(ALICE))
    )
    told = dict(line.split(": ", 1) for line in sent[1:] if line.startswith("x-atelier-"))
    assert set(told) == {"x-atelier-user", "x-atelier-peer"}
    assert User.decode(told["x-atelier-user"]) == ALICE
    assert told["x-atelier-peer"] == "10.0.0.9"


def test_the_pages_are_told_why_nobody_is_signed_in() -> None:
    sent = lines(to_app(head("GET /_atelier/refused"), "::1", ToApp(None, "'é\r\n' is no user")))
    assert "x-atelier-refused: %27%C3%A9%0D%0A%27%20is%20no%20user" in sent
    assert not any(line.startswith("x-atelier-user") for line in sent)


def test_what_a_browser_needs_passes_unchanged() -> None:
    kept = [
        'etag: "x"',
        "content-encoding: br",
        "set-cookie: a=1; Path=/",
        "set-cookie: b=2",
        "location: /x",
        "content-type: text/html",
    ]
    assert browser(*kept) == kept


@pytest.mark.parametrize(
    "field",
    [
        "Service-Worker-Allowed: /",
        'Clear-Site-Data: "*"',
        'Alt-Svc: h3=":443"',
        "Strict-Transport-Security: max-age=1",
        "NEL: {}",
        "Report-To: {}",
        "Reporting-Endpoints: x",
        "X-Atelier-User: forged",
        "Keep-Alive: timeout=5",
        "Connection: keep-alive",
        "Upgrade: h2c",
        "Trailer: x",
        "Set-Cookie2: a=1",
    ],
)
def test_what_never_leaves_a_webui(field: str) -> None:
    assert browser(field, "x-kept: 1") == ["x-kept: 1"]


@pytest.mark.parametrize(
    ("sent", "kept"),
    [
        ("a=1; Domain=example.org; Path=/", "a=1; Path=/"),
        ("a=1;DOMAIN=.localhost;Secure", "a=1;Secure"),
        ("a=domain=x; Domain", "a=domain=x"),
        ("identity=forged", None),
        ("atelier_session=forged; Path=/", None),
        ("__Host-Atelier=forged", None),
        (" Atelier =forged", None),
        ("=identity=forged", None),
        ("identity", None),
        ("; Path=/", None),
    ],
)
def test_a_cookie_stays_on_this_host_and_passes_for_none_of_ours(sent: str, kept: str | None) -> None:
    assert browser(f"Set-Cookie: {sent}") == ([f"set-cookie: {kept}"] if kept else [])


def test_a_policy_of_the_webuis_own_is_kept_beside_ours() -> None:
    assert browser("Content-Security-Policy: default-src 'self'") == ["content-security-policy: default-src 'self'"]


def test_the_pages_may_set_their_own_cookies() -> None:
    assert browser("Set-Cookie: atelier_theme=dark", decision=ToApp(ALICE)) == ["set-cookie: atelier_theme=dark"]


def test_a_page_is_not_given_from_a_cache_to_another_kind_of_request() -> None:
    page = ToWebUI(ALICE, TO_WEBUI.route, "", page=True)
    assert browser("Vary: Accept", decision=page) == ["vary: Accept", "vary: Sec-Fetch-Dest"]


def test_the_last_reply_of_a_connection_says_so() -> None:
    assert browser(close=True) == ["connection: close"]
