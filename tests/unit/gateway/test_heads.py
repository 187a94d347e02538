"""Heads: what is understood, and what is refused because two readers could understand it differently."""

from contextlib import suppress

import httptools
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.gateway.framing import Body, Coding, Malformed
from allocator.gateway.heads import MAX_HEAD, Reply, Request, parse_reply, parse_request, split_head


def read(stream: bytes) -> Request:
    found = split_head(stream, too_large=431)
    assert found is not None
    return parse_request(found[0])


def read_reply(stream: bytes, method: str = "GET") -> Reply:
    found = split_head(stream, too_large=502)
    assert found is not None
    return parse_reply(found[0], method)


def test_a_browsers_request() -> None:
    head = read(
        b"POST /sdapi/v1/txt2img?a=1&b=%2F HTTP/1.1\r\nHost: alice.localhost:8000\r\nCONNECTION: keep-alive, X-Hop\r\n"
        b"Content-Length:5\r\nX-Blank:\r\nAccept: \t a, b \t\r\n\r\nhello"
    )
    assert (head.method, head.target, head.path) == ("POST", b"/sdapi/v1/txt2img?a=1&b=%2F", "/sdapi/v1/txt2img")
    assert head.fields[1:] == [
        (b"connection", b"keep-alive, X-Hop"),
        (b"content-length", b"5"),
        (b"x-blank", b""),
        (b"accept", b"a, b"),
    ]
    assert (head.host, head.body, head.keep_alive, head.http_1_0) == (b"alice.localhost:8000", 5, True, False)
    assert head.connection == {b"keep-alive", b"x-hop"}


@pytest.mark.parametrize(
    ("fields", "body"),
    [
        (b"", 0),
        (b"Content-Length: 0\r\n", 0),
        (b"Content-Length: 007\r\n", 7),
        (b"Transfer-Encoding: Chunked\r\n", Coding.CHUNKED),
    ],
)
def test_the_framing_of_a_request(fields: bytes, body: Body) -> None:
    assert read(b"PUT / HTTP/1.1\r\nHost: h\r\n" + fields + b"\r\n").body == body


SMUGGLING = {
    "CL.TE": b"Content-Length: 6\r\nTransfer-Encoding: chunked\r\n",
    "TE.CL": b"Transfer-Encoding: chunked\r\nContent-Length: 6\r\n",
    "CL.CL, different": b"Content-Length: 6\r\nContent-Length: 5\r\n",
    "CL.CL, the same": b"Content-Length: 6\r\nContent-Length: 6\r\n",
    "CL as a list": b"Content-Length: 6, 6\r\n",
    "CL with a sign": b"Content-Length: +6\r\n",
    "CL negative": b"Content-Length: -6\r\n",
    "CL in hexadecimal": b"Content-Length: 0x6\r\n",
    "CL with an underscore": b"Content-Length: 1_0\r\n",
    "CL empty": b"Content-Length:\r\n",
    "CL that overflows": b"Content-Length: 99999999999999999999\r\n",
    "TE.TE, two fields": b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n",
    "TE.TE, a list": b"Transfer-Encoding: chunked, identity\r\n",
    "TE not last": b"Transfer-Encoding: gzip, chunked\r\n",
    "TE unknown": b"Transfer-Encoding: xchunked\r\n",
    "TE quoted": b'Transfer-Encoding: "chunked"\r\n',
    "TE with a control character": b"Transfer-Encoding: \x0bchunked\r\n",
    "TE empty": b"Transfer-Encoding:\r\n",
    "blank before the colon": b"Transfer-Encoding : chunked\r\n",
    "blank before the name": b" Transfer-Encoding: chunked\r\n",
    "obs-fold": b"X: a\r\n Transfer-Encoding: chunked\r\n",
    "obs-fold of TE": b"Transfer-Encoding:\r\n chunked\r\n",
    "bare LF between fields": b"X: a\nTransfer-Encoding: chunked\r\n",
    "bare CR between fields": b"X: a\rTransfer-Encoding: chunked\r\n",
    "NUL in a value": b"X: a\x00b\r\n",
    "NUL in a name": b"X\x00: a\r\n",
    "DEL in a value": b"X: a\x7f\r\n",
    "a name that is none": b"X(y): a\r\n",
    "a name beyond ASCII": b"X\xe9: a\r\n",
    "a name as in HTTP/2": b":path: /\r\n",
    "no name": b": a\r\n",
    "no colon": b"X\r\n",
    "a second Host": b"Host: other\r\n",
    "a second Origin": b"Origin: a\r\nOrigin: b\r\n",
    "a second Cookie": b"Cookie: a=1\r\nCookie: b=2\r\n",
    "a second Authorization": b"Authorization: a\r\nAuthorization: b\r\n",
    "upgrade with a body": b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 3\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "upgrade without its token": b"Upgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
    "upgrade with a bad key": b"Connection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: short\r\n",
    "unknown expectation": b"Expect: the-unexpected\r\n",
}


@pytest.mark.parametrize("name", SMUGGLING)
def test_smuggling(name: str) -> None:
    with pytest.raises(Malformed):
        read(b"GET / HTTP/1.1\r\nHost: alice\r\n" + SMUGGLING[name] + b"\r\n")


@pytest.mark.parametrize(
    ("line", "status"),
    [
        (b"GET / HTTP/1.1 ", 400),
        (b"GET  / HTTP/1.1", 400),
        (b" GET / HTTP/1.1", 400),
        (b"GET / HTTP/1.1\r", 400),
        (b"GET /a b HTTP/1.1", 400),
        (b"GET /a#b HTTP/1.1", 400),
        (b"GET /\xe9 HTTP/1.1", 400),
        (b"GET a HTTP/1.1", 400),
        (b"GET * HTTP/1.1", 400),
        (b"GET /", 400),
        (b"GET / http/1.1", 400),
        (b"G\tT / HTTP/1.1", 400),
        (b"GET http://other/ HTTP/1.1", 400),
        (b"GET http://h@other/ HTTP/1.1", 400),
        (b"GET ftp://h/ HTTP/1.1", 400),
        (b"get / HTTP/1.1", 501),
        (b"CONNECT h:80 HTTP/1.1", 501),
        (b"TRACE / HTTP/1.1", 501),
        (b"GET / HTTP/2.0", 505),
        (b"PRI * HTTP/2.0", 505),
        (b"GET / HTTP/1.2", 505),
    ],
)
def test_a_request_line_that_is_refused(line: bytes, status: int) -> None:
    with pytest.raises(Malformed) as refused:
        read(line + b"\r\nHost: h\r\n\r\n")
    assert refused.value.status == status


@pytest.mark.parametrize("host", [b"", b"a b", b"a/b", b"user@a", b"a:port", b"a:123456", b"[::1", b"a,b", b"\xe9"])
def test_a_host_that_is_none(host: bytes) -> None:
    with pytest.raises(Malformed):
        read(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n")


@pytest.mark.parametrize("host", [b"alice.localhost:8000", b"[::1]:8000", b"127.0.0.1", b"a_b"])
def test_a_host(host: bytes) -> None:
    assert read(b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n").host == host


def test_http_1_1_needs_a_host_and_1_0_does_not() -> None:
    with pytest.raises(Malformed):
        read(b"GET / HTTP/1.1\r\n\r\n")
    head = read(b"GET / HTTP/1.0\r\n\r\n")
    assert (head.host, head.http_1_0, head.keep_alive) == (b"", True, False)
    with pytest.raises(Malformed):
        read(b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n")


@pytest.mark.parametrize(
    ("target", "origin_form"),
    [(b"http://h/a?b", b"/a?b"), (b"HTTPS://H", b"/"), (b"http://h?a=/_atelier/", b"/?a=/_atelier/")],
)
def test_an_absolute_target_becomes_the_origin_form(target: bytes, origin_form: bytes) -> None:
    assert read(b"GET " + target + b" HTTP/1.1\r\nHost: h\r\n\r\n").target == origin_form


def test_a_head_that_never_can_become_one_is_refused_at_once() -> None:
    for stream in (b"GET / HTTP/1.1\nHost: h\n\n", b"\x16\x03\x01\x02\x00", b"GET / HTTP/1.1\r\nX: \x00", b"\nGET"):
        with pytest.raises(Malformed):
            split_head(stream, too_large=431)
    assert split_head(b"GET / HTTP/1.1\r\nHost: h\r", too_large=431) is None


def test_a_head_that_is_too_large() -> None:
    head = b"GET / HTTP/1.1\r\nX: "
    assert split_head(head + b"a" * (MAX_HEAD - len(head) - 1), too_large=431) is None
    with pytest.raises(Malformed) as refused:
        split_head(head + b"a" * (MAX_HEAD - len(head)) + b"\r\n\r\n", too_large=431)
    assert refused.value.status == 431


@pytest.mark.parametrize(
    ("method", "head", "body"),
    [
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", 3),
        ("GET", b"HTTP/1.1 200 \r\nTransfer-Encoding: chunked\r\n", Coding.CHUNKED),
        ("GET", b"HTTP/1.0 200 OK\r\n", Coding.UNTIL_CLOSE),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n", 0),
        ("HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n", 0),
        ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n", 0),
        ("GET", b"HTTP/1.1 204 No Content\r\n", 0),
        ("GET", b"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n", 0),
    ],
)
def test_the_framing_of_a_reply(method: str, head: bytes, body: Body) -> None:
    assert read_reply(head + b"\r\n", method).body == body


@pytest.mark.parametrize(
    "head",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 3\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3, 3\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n",
        b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n",
        b"HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n",
        b"HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n",
        b"HTTP/1.1 100 Continue\r\nContent-Length: 3\r\n",
        b"HTTP/1.1 200 OK\r\nX: a\r\n folded\r\n",
        b"HTTP/1.1 200 OK\r\nX : a\r\n",
        b"HTTP/1.1 200 OK\r\nX: \x00\r\n",
        b"HTTP/1.1 2000 OK\r\n",
        b"HTTP/1.1 20 OK\r\n",
        b"HTTP/1.1 600 OK\r\n",
        b"HTTP/2 200 OK\r\n",
        b"ICY 200 OK\r\n",
    ],
)
def test_a_reply_that_can_be_read_in_two_ways_is_refused(head: bytes) -> None:
    with pytest.raises(Malformed):
        read_reply(head + b"\r\n")


class _Oracle:
    def __init__(self) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.target = b""

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name.lower(), value.rstrip(b" \t")))


@given(
    st.sampled_from(["GET", "POST", "OPTIONS"]),
    st.text("abc/?&=%.-_~!'()*;:@", max_size=30),
    st.lists(
        st.tuples(
            st.from_regex(r"[Xx]-[A-Za-z0-9!#$%&'*+.^_`|~-]{1,12}", fullmatch=True),
            st.text([chr(c) for c in (9, *range(0x20, 0x7F), *range(0x80, 0x100))], max_size=30),
        ),
        max_size=6,
    ),
)
def test_what_is_accepted_llhttp_reads_the_same(method: str, rest: str, extra: list[tuple[str, str]]) -> None:
    lines = [f"{method} /{rest} HTTP/1.1", "Host: h", *(f"{name}:{value}" for name, value in extra), "", ""]
    stream = "\r\n".join(lines).encode("latin-1")
    head, oracle = read(stream), _Oracle()
    parser = httptools.HttpRequestParser(oracle)
    parser.feed_data(stream)
    assert (head.method.encode(), head.target, head.fields) == (parser.get_method(), oracle.target, oracle.fields)


@given(st.binary(max_size=200))
def test_nothing_but_malformed_is_ever_raised(junk: bytes) -> None:
    for head in (b"GET / HTTP/1.1\r\nHost: h\r\n" + junk + b"\r\n", junk + b"\r\n"):
        for parse in (parse_request, lambda block: parse_reply(block, "GET")):
            with suppress(Malformed):
                parse(head)
