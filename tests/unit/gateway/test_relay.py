"""A reply on its way, by playbook: the upstream's bytes in, the client's bytes out."""

from random import Random

import h11
import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.gateway.framing import Malformed
from allocator.gateway.heads import Request, parse_request
from allocator.gateway.relay import ReplyRelay
from allocator.gateway.rules import ToApp
from tests.unit.gateway.rig import request as raw

FRAMING = b"content-security-policy: frame-ancestors 'self'\r\n"


def relay(*fields: str, line: str = "GET /", version: bytes = b"1.1") -> ReplyRelay:
    return ReplyRelay(head(line, *fields, version=version), ToApp(None), frozenset())


def head(line: str, *fields: str, version: bytes = b"1.1") -> Request:
    return parse_request(raw(line, *fields)[:-2].replace(b"HTTP/1.1", b"HTTP/" + version, 1))


def test_a_reply_of_a_known_length() -> None:
    playing = relay()
    assert playing.feed(b"HTTP/1.1 200 OK\r\nConte", may_persist=True) == b""
    sent = playing.feed(b"nt-Length: 5\r\nX: y\r\n\r\nhe", may_persist=True)
    assert sent == b"HTTP/1.1 200 OK\r\nx: y\r\ncontent-length: 5\r\n" + FRAMING + b"\r\nhe"
    assert (playing.done, playing.untouched) == (False, False)
    assert playing.feed(b"llo", may_persist=True) == b"llo"
    assert (playing.done, playing.keep_alive) == (True, True)


def test_chunks_are_made_anew() -> None:
    playing = relay()
    playing.feed(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", may_persist=True)
    assert playing.feed(b"0005;secret=1\r\nhel", may_persist=True) == b"3\r\nhel\r\n"
    assert playing.feed(b"lo\r\n1\r\n!\r\n0\r\nTrailer: x\r\n\r", may_persist=True) == b"3\r\nlo!\r\n"
    assert playing.feed(b"\n", may_persist=True) == b"0\r\n\r\n"


def test_a_reply_until_the_close_is_chunked_for_1_1_and_left_so_for_1_0() -> None:
    reply = b"HTTP/1.1 200 OK\r\n\r\nhi"
    newer, older = relay(), relay(version=b"1.0")
    assert newer.feed(reply, may_persist=True).endswith(b"\r\n\r\n2\r\nhi\r\n")
    assert older.feed(reply, may_persist=False).endswith(b"\r\n\r\nhi")
    assert (newer.end(), older.end()) == (b"0\r\n\r\n", b"")
    assert (newer.keep_alive, older.keep_alive) == (True, False)


@pytest.mark.parametrize("reply", [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"])
def test_a_reply_that_ends_too_early_is_cut(reply: bytes) -> None:
    playing = relay()
    playing.feed(reply, may_persist=True)
    assert playing.end() is None


def test_continue_is_relayed_once_and_only_if_it_was_asked_for() -> None:
    asked = relay("Expect: 100-continue", "Content-Length: 1", line="POST /")
    assert asked.feed(b"HTTP/1.1 100 Go on\r\nX: dropped\r\n\r\n", may_persist=False) == b"HTTP/1.1 100 Continue\r\n\r\n"
    for informed in (asked, relay(), relay("Content-Length: 1", line="POST /")):
        with pytest.raises(Malformed):
            informed.feed(b"HTTP/1.1 100 Continue\r\n\r\n", may_persist=False)


@given(
    st.lists(st.binary(min_size=1, max_size=50), max_size=5),
    st.sampled_from(["length", "chunked", "close"]),
    st.randoms(use_true_random=False),
)
def test_any_split_of_a_reply_is_the_same_reply(payloads: list[bytes], framing: str, random: Random) -> None:
    body = b"".join(payloads)
    stream = {
        "length": b"Content-Length: %d\r\n\r\n%b" % (len(body), body),
        "chunked": b"Transfer-Encoding: chunked\r\n\r\n"
        + b"".join(b"%X;e\r\n%b\r\n" % (len(payload), payload) for payload in payloads)
        + b"0\r\nT: t\r\n\r\n",
        "close": b"\r\n" + body,
    }[framing]
    stream = b"HTTP/1.1 200 OK\r\nX-Kept: 1\r\n" + stream
    cuts = sorted(random.randrange(len(stream) + 1) for _ in range(random.randrange(6)))
    playing, sent = relay(), b""
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        if stream[start:end]:
            sent += playing.feed(stream[start:end], may_persist=True)
    sent += playing.end() or b"" if framing == "close" else b""
    assert playing.done or framing == "close"
    reader = h11.Connection(h11.CLIENT)
    reader.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    reader.receive_data(sent)
    received = b""
    while not isinstance(event := reader.next_event(), h11.EndOfMessage):
        assert isinstance(event, h11.Response | h11.Data)
        received += event.data if isinstance(event, h11.Data) else b""
    assert (received, reader.trailing_data[0]) == (body, b"")
