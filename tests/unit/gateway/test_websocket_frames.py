"""Frames are followed by their headers; a handshake is checked."""

from collections.abc import Generator
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame, Opcode
from websockets.streams import StreamReader

from allocator.gateway.framing import Malformed
from allocator.gateway.heads import parse_reply, parse_request
from allocator.gateway.websocket import FrameTracker, accept_key, check_switch, close_frame
from tests.unit.gateway.rig import request as raw

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
SIZES = st.sampled_from([0, 1, 125, 126, 127, 65535, 65536, 70000])


def frame(opcode: Opcode, size: int, *, mask: bool) -> bytes:
    return Frame(opcode, b"x" * size).serialize(mask=mask, extensions=[])


def parse(data: bytes, *, mask: bool) -> Frame:
    """As the other side reads it."""
    reader = StreamReader()
    reader.feed_data(data)
    parsed: list[Frame] = []

    def read() -> Generator[None, None, None]:
        parsed.append((yield from Frame.parse(reader.read_exact, mask=mask, max_size=None)))

    assert list(read()) == []
    return parsed[0]


@given(st.lists(st.tuples(SIZES, st.booleans()), min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_any_split_of_frames_is_followed(frames: list[tuple[int, bool]], random: Random) -> None:
    stream, ends = b"", {0}
    for size, mask in frames:
        stream += frame(Opcode.BINARY, size, mask=mask)
        ends.add(len(stream))
    tracker, at = FrameTracker(), 0
    while at < len(stream):
        step = random.choice([1, 2, 3, 10, 1000, 100_000])
        assert tracker.feed(stream[at : at + step]) == len(stream[at : at + step])
        at = min(len(stream), at + step)
        assert tracker.between_frames == (at in ends)
    assert not tracker.close_seen


def test_with_stop_it_looks_no_further_than_the_first_end() -> None:
    first, second = frame(Opcode.TEXT, 300, mask=True), frame(Opcode.TEXT, 5, mask=True)
    tracker = FrameTracker()
    tracker.feed(first[:100])
    assert tracker.feed(first[100:] + second, stop=True) == len(first) - 100
    assert tracker.between_frames


def test_a_close_frame_is_noticed() -> None:
    tracker = FrameTracker()
    tracker.feed(frame(Opcode.PING, 4, mask=False) + frame(Opcode.CLOSE, 2, mask=False))
    assert tracker.close_seen


@pytest.mark.parametrize("masked", [True, False])
def test_the_gateways_close_frame_says_why(*, masked: bool) -> None:
    data = close_frame(1001, "released: idle", masked=masked)
    parsed = parse(data, mask=masked)
    assert (parsed.opcode, parsed.data) == (Opcode.CLOSE, b"\x03\xe9released: idle")


def test_a_long_reason_is_cut_between_characters() -> None:
    parsed = parse(close_frame(1012, "é" * 100, masked=False), mask=False)
    assert bytes(parsed.data)[2:].decode() == "é" * 61


SWITCH = ("Upgrade: websocket", "Connection: Upgrade", f"Sec-WebSocket-Accept: {accept_key(KEY).decode()}")


def switch(offer: tuple[str, ...], fields: tuple[str, ...]) -> None:
    asked = (
        "Connection: Upgrade",
        "Upgrade: websocket",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {KEY.decode()}",
        *offer,
    )
    request = parse_request(raw("GET /ws", *asked)[:-2])
    reply = parse_reply("\r\n".join(["HTTP/1.1 101 Switching Protocols", *fields, ""]).encode(), "GET")
    check_switch(reply, request)


def test_the_key_of_the_standard() -> None:
    assert accept_key(KEY) == b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_switch_to_what_was_offered() -> None:
    offer = ("Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits")
    switch(offer, SWITCH)
    switch(
        offer,
        (*SWITCH, "Sec-WebSocket-Protocol: b", "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover"),
    )


@pytest.mark.parametrize(
    "fields",
    [
        SWITCH[1:],
        ("Upgrade: h2c", *SWITCH[1:]),
        (SWITCH[0], SWITCH[2]),
        SWITCH[:2],
        (*SWITCH[:2], "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA="),
        (*SWITCH, "Sec-WebSocket-Protocol: c"),
        (*SWITCH, "Sec-WebSocket-Extensions: x-unknown"),
        (*SWITCH, SWITCH[2]),
    ],
)
def test_a_switch_to_anything_else_is_refused(fields: tuple[str, ...]) -> None:
    with pytest.raises(Malformed):
        switch(("Sec-WebSocket-Protocol: a, b", "Sec-WebSocket-Extensions: permessage-deflate"), fields)


def test_a_switch_that_nobody_asked_for_is_refused() -> None:
    reply = parse_reply("\r\n".join(["HTTP/1.1 101 Switching Protocols", *SWITCH, ""]).encode(), "GET")
    with pytest.raises(Malformed):
        check_switch(reply, parse_request(raw()[:-2]))
