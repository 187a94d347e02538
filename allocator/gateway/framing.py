"""Bodies of HTTP/1.1 messages: where one ends, and what is in it (RFC 9112, section 6 and 7).

A decoder is fed bytes as they come and gives back what belongs to its body, without chunk sizes and trailers, and what
follows the body. It holds back nothing but an unfinished chunk-size line.
"""

import re
from enum import Enum, auto
from typing import Protocol

MAX_CHUNK_LINE = 256
"""Bytes of a chunk-size line with its extensions, which nobody reads."""
MAX_TRAILERS = 8192
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")


class Malformed(Exception):
    """Bytes that are no HTTP/1.1 as this gateway reads it. `status` is the answer to a request that had them."""

    def __init__(self, reason: str, status: int = 400) -> None:
        super().__init__(reason)
        self.reason = reason
        self.status = status


class Coding(Enum):
    """How a body ends that has no length."""

    CHUNKED = auto()
    UNTIL_CLOSE = auto()


Body = int | Coding
"""The framing of a message: its length in bytes, or how it ends."""


class Decoder(Protocol):
    done: bool

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        """What of `data` is body, and what comes after its end. Raises `Malformed`."""
        ...


class LengthDecoder:
    """A body of a known length."""

    __slots__ = ("_left", "done")

    def __init__(self, length: int) -> None:
        self._left = length
        self.done = length == 0

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        if len(data) > self._left:
            data, rest = data[: self._left], data[self._left :]
        else:
            rest = b""
        self._left -= len(data)
        self.done = self._left == 0
        return data, rest


class UntilCloseDecoder:
    """A reply's body that ends with its connection."""

    __slots__ = ("done",)

    def __init__(self) -> None:
        self.done = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        return data, b""


class _Part(Enum):
    SIZE = auto()
    DATA = auto()
    DATA_END = auto()
    TRAILERS = auto()


class ChunkedDecoder:
    """A chunked body. Extensions and trailers are checked and dropped."""

    __slots__ = ("_held", "_left", "_part", "_trailers", "done")

    def __init__(self) -> None:
        self._part = _Part.SIZE
        self._left = 0
        self._held = b""
        self._trailers = 0
        self.done = False

    def feed(self, data: bytes) -> tuple[bytes, bytes]:
        if self._held:
            data, self._held = self._held + data, b""
        pieces: list[bytes] = []
        at = 0
        while at < len(data) and not self.done:
            if self._part is _Part.DATA:
                piece = data[at : at + self._left]
                pieces.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._part = _Part.DATA_END
                continue
            end = data.find(b"\n", at)
            if end < 0:
                self._hold(data[at:])
                break
            self._line(data[at : end + 1])
            at = end + 1
        rest = data[at:] if self.done else b""
        return (pieces[0] if len(pieces) == 1 else b"".join(pieces)), rest

    def _hold(self, start: bytes) -> None:
        limit = MAX_TRAILERS if self._part is _Part.TRAILERS else MAX_CHUNK_LINE
        if len(start) > limit or (self._part is _Part.DATA_END and start not in (b"", b"\r")):
            raise Malformed("a line of the chunked body does not end")
        self._held = start

    def _line(self, line: bytes) -> None:
        if not line.endswith(b"\r\n"):
            raise Malformed("a line of the chunked body ends without CR")
        line = line[:-2]
        if self._part is _Part.DATA_END:
            if line:
                raise Malformed("a chunk is longer than its size")
            self._part = _Part.SIZE
        elif self._part is _Part.SIZE:
            match = _CHUNK_LINE.fullmatch(line)
            if match is None or len(line) > MAX_CHUNK_LINE:
                raise Malformed("bad chunk size")
            self._left = int(match[1], 16)
            self._part = _Part.DATA if self._left else _Part.TRAILERS
        elif line:
            self._trailers += len(line)
            if self._trailers > MAX_TRAILERS or not _TRAILER.fullmatch(line):
                raise Malformed("bad trailer")
        else:
            self.done = True


def decoder(body: Body) -> Decoder:
    """A fresh decoder for a message framed so."""
    if body is Coding.CHUNKED:
        return ChunkedDecoder()
    if body is Coding.UNTIL_CLOSE:
        return UntilCloseDecoder()
    assert isinstance(body, int)
    return LengthDecoder(body)


LAST_CHUNK = b"0\r\n\r\n"


def chunk(payload: bytes) -> bytes:
    """`payload`, which is not empty, as one chunk."""
    return b"%x\r\n%b\r\n" % (len(payload), payload)
