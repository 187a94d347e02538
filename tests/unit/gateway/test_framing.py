"""Bodies, by playbook: bytes in, what is body and what is not."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.gateway.framing import (
    LAST_CHUNK,
    MAX_TRAILERS,
    Body,
    Coding,
    Decoder,
    Malformed,
    chunk,
    decoder,
)


def play(decoder: Decoder, pieces: list[bytes]) -> tuple[bytes, bytes]:
    """The whole body, and what came after it."""
    body = rest = b""
    for piece in pieces:
        if decoder.done:
            rest += piece
        else:
            payload, after = decoder.feed(piece)
            body += payload
            rest += after
    return body, rest


@pytest.mark.parametrize(
    ("body", "stream", "expected"),
    [
        (5, b"helloGET /", (b"hello", b"GET /")),
        (0, b"GET /", (b"", b"GET /")),
        (Coding.CHUNKED, b"5\r\nhello\r\n0\r\n\r\nGET /", (b"hello", b"GET /")),
        (Coding.CHUNKED, b"2\r\nhe\r\n00003\r\nllo\r\n000\r\n\r\n", (b"hello", b"")),
        (Coding.CHUNKED, b"A\r\n0123456789\r\n0\r\n\r\n", (b"0123456789", b"")),
        (Coding.CHUNKED, b"5;name=value\r\nhello\r\n0;last\r\n\r\n", (b"hello", b"")),
        (Coding.CHUNKED, b"5\r\nhello\r\n0\r\nX-Trailer: dropped\r\nY: too\r\n\r\nrest", (b"hello", b"rest")),
        (Coding.CHUNKED, b"2\r\n\r\n\r\n0\r\n\r\n", (b"\r\n", b"")),
    ],
)
def test_a_body_ends_where_its_framing_says(body: Body, stream: bytes, expected: tuple[bytes, bytes]) -> None:
    whole, single = decoder(body), decoder(body)
    assert play(whole, [stream]) == expected
    assert play(single, [stream[i : i + 1] for i in range(len(stream))]) == expected
    assert whole.done
    assert single.done


@pytest.mark.parametrize(
    "stream",
    [
        b"x\r\n",
        b"-1\r\n",
        b"+5\r\nhello\r\n",
        b"0x5\r\nhello\r\n",
        b"5_0\r\n",
        b" 5\r\nhello\r\n",
        b"\r\n",
        b"5\nhello\r\n",
        b"5\r\nhello\n",
        b"5\r\nhelloX\r\n",
        b"5\r\nhello!",
        b"10000000000000000\r\n",
        b"5;a\nb\r\nhello\r\n",
        b"5;a\x00\r\n",
        b"5 5\r\n",
        b"5;" + b"a" * 300 + b"\r\n",
        b"0" * 300,
        b"0\r\nbad trailer\r\n\r\n",
        b"0\r\n folded: x\r\n\r\n",
        b"0\r\nA: b\n\r\n",
        b"0\r\n" + b"A: " + b"b" * MAX_TRAILERS + b"\r\n\r\n",
        b"0\r\n" + b"A: b\r\n" * MAX_TRAILERS,
    ],
)
def test_a_chunked_body_that_can_be_read_in_two_ways_is_refused(stream: bytes) -> None:
    with pytest.raises(Malformed):
        play(decoder(Coding.CHUNKED), [stream])
    with pytest.raises(Malformed):
        play(decoder(Coding.CHUNKED), [stream[i : i + 1] for i in range(len(stream))])


def test_a_body_until_the_close_never_ends_by_itself() -> None:
    until_close = decoder(Coding.UNTIL_CLOSE)
    assert until_close.feed(b"anything") == (b"anything", b"")
    assert not until_close.done


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=6), st.binary(max_size=10), st.randoms(use_true_random=False))
def test_any_split_of_a_chunked_stream_gives_the_same_body(payloads: list[bytes], after: bytes, random: Random) -> None:
    stream = b"".join(chunk(payload) for payload in payloads) + LAST_CHUNK + after
    cuts = sorted(random.randrange(len(stream) + 1) for _ in range(random.randrange(8)))
    pieces = [stream[a:b] for a, b in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert play(decoder(Coding.CHUNKED), pieces) == (b"".join(payloads), after)
