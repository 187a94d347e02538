"""WebSockets as the gateway needs them (RFC 6455): the handshake checked, frames followed by their headers alone."""

import base64
import hashlib
import os

from allocator.gateway.framing import Malformed
from allocator.gateway.heads import Reply, Request

GOING_AWAY = 1001
SERVICE_RESTART = 1012
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_OPCODE_CLOSE = 8
_MAX_REASON = 123


def accept_key(key: bytes) -> bytes:
    """The Sec-WebSocket-Accept that answers this Sec-WebSocket-Key."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def check_switch(reply: Reply, head: Request) -> None:
    """Whether a 101 answers this handshake, and with nothing that was not offered. Raises `Malformed`."""
    if not head.websocket:
        raise Malformed("101 without a request for it")
    if reply.deciding.get(b"upgrade", b"").lower() != b"websocket" or b"upgrade" not in reply.connection:
        raise Malformed("101 to another protocol")
    if reply.deciding.get(b"sec-websocket-accept") != accept_key(head.deciding[b"sec-websocket-key"]):
        raise Malformed("101 with a wrong key")
    protocol = reply.deciding.get(b"sec-websocket-protocol")
    if protocol is not None and protocol not in _listed(head.fields, b"sec-websocket-protocol"):
        raise Malformed("101 with a protocol that was not offered")
    if _extensions(reply.fields) - _extensions(head.fields):
        raise Malformed("101 with an extension that was not offered")


def close_frame(code: int, reason: str, *, masked: bool) -> bytes:
    """A close frame, with a mask as a client sends it, or without as a server does. The reason is cut to 123 bytes."""
    text = reason.encode()[:_MAX_REASON].decode(errors="ignore").encode()
    payload = code.to_bytes(2, "big") + text
    if not masked:
        return bytes((0x80 | _OPCODE_CLOSE, len(payload))) + payload
    mask = os.urandom(4)
    data = bytes(byte ^ mask[index % 4] for index, byte in enumerate(payload))
    return bytes((0x80 | _OPCODE_CLOSE, 0x80 | len(payload))) + mask + data


class FrameTracker:
    """Follows the frames of one direction by their headers; sees where one ends, and looks at no payload."""

    __slots__ = ("_header", "_left", "close_seen")

    def __init__(self) -> None:
        self._header = b""
        self._left = 0
        self.close_seen = False

    @property
    def between_frames(self) -> bool:
        return not self._left and not self._header

    def feed(self, data: bytes, *, stop: bool = False) -> int:
        """Take note of `data`. Returns how much of it was looked at: with `stop`, up to the first end of a frame."""
        at, size = 0, len(data)
        while at < size:
            if self._left:
                step = min(self._left, size - at)
                self._left -= step
                at += step
            else:
                at = self._read_header(data, at)
            if stop and self.between_frames:
                break
        return at

    def _read_header(self, data: bytes, at: int) -> int:
        held = len(self._header)
        header = self._header + data[at : at + 14 - held]
        needed = _header_size(header)
        if len(header) < needed:
            self._header = header
            return at + len(header) - held
        length = header[1] & 0x7F
        if length == 126:
            length = int.from_bytes(header[2:4], "big")
        elif length == 127:
            length = int.from_bytes(header[2:10], "big")
        if header[0] & 0x0F == _OPCODE_CLOSE:
            self.close_seen = True
        self._header = b""
        self._left = length
        return at + needed - held


def _header_size(start: bytes) -> int:
    if len(start) < 2:
        return 2
    length = start[1] & 0x7F
    return 2 + (2 if length == 126 else 8 if length == 127 else 0) + (4 if start[1] & 0x80 else 0)


def _listed(fields: list[tuple[bytes, bytes]], name: bytes) -> set[bytes]:
    return {item.strip(b" \t") for field, value in fields if field == name for item in value.split(b",")}


def _extensions(fields: list[tuple[bytes, bytes]]) -> set[bytes]:
    return {item.partition(b";")[0].strip(b" \t") for item in _listed(fields, b"sec-websocket-extensions")}
