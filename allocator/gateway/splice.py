"""A WebSocket after its handshake: bytes pass both ways as they come, with backpressure, until either side or the
session ends. Frames are followed so that the gateway's own close frame can stand between two of them."""

import asyncio
from collections.abc import Callable

from allocator.gateway.upstream import UpstreamConnection
from allocator.gateway.websocket import FrameTracker, close_frame

CLOSE_SECONDS = 1.0
"""From the session's end to the end of its sockets: a frame under way may finish, and the browser may answer the close."""
FLUSH_SECONDS = 10.0
"""From one side's end to the other's: what was written may still be taken."""


class _Way:
    """One direction. After `end`, the frame under way is finished, then comes the close frame, then nothing."""

    def __init__(self, target: asyncio.Transport) -> None:
        self._target = target
        self._last = b""
        self._closed = False
        self.frames = FrameTracker()

    def pass_on(self, data: bytes) -> None:
        if not self._last:
            self.frames.feed(data)
            self._target.write(data)
        elif self._closed:
            self.frames.feed(data)
        else:
            rest = data[self.frames.feed(data, stop=True) :]
            self._target.write(data[: len(data) - len(rest)])
            self._close_if_between()
            self.frames.feed(rest)

    def end(self, frame: bytes) -> None:
        self._last = frame
        self._close_if_between()

    def _close_if_between(self) -> None:
        if self.frames.between_frames:
            self._closed = True
            if not self.frames.close_seen:
                self._target.write(self._last)


class Splice:
    """Joins a client's transport to an upstream connection. `on_close` is called once, when both are to be gone."""

    def __init__(self, client: asyncio.Transport, upstream: UpstreamConnection, on_close: Callable[[], None]) -> None:
        self._client = client
        self._upstream = upstream
        self._on_close: Callable[[], None] | None = on_close
        self._up = _Way(upstream.transport)
        self._down = _Way(client)
        self._deadline: asyncio.TimerHandle | None = None
        upstream.owner = self

    def client_data(self, data: bytes) -> None:
        self._up.pass_on(data)
        if self._deadline and self._up.frames.close_seen:
            self._close()

    def upstream_data(self, data: bytes) -> None:
        self._down.pass_on(data)

    def client_full(self, *, full: bool) -> None:
        self._upstream.read(paused=full)

    def upstream_full(self, *, full: bool) -> None:
        if self._client.is_closing():
            return
        if full:
            self._client.pause_reading()
        else:
            self._client.resume_reading()

    def client_lost(self) -> None:
        self._close()

    def upstream_lost(self, error: Exception | None) -> None:  # noqa: ARG002 - whatever it was, the browser sees the end
        self._close()

    def end(self, code: int, reason: str) -> None:
        """Close both sides in order, within `CLOSE_SECONDS`."""
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(CLOSE_SECONDS, self._drop)
            self._down.end(close_frame(code, reason, masked=False))
            self._up.end(close_frame(code, reason, masked=True))
            self._upstream.read(paused=False)
            self.upstream_full(full=False)

    def _close(self) -> None:
        """Close when what was written has been taken, but wait no longer than a deadline for that."""
        if self._on_close is None:
            return
        on_close, self._on_close = self._on_close, None
        self._upstream.owner = None
        self._upstream.transport.close()
        self._client.close()
        if self._deadline is None:
            self._deadline = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._drop)
        on_close()

    def _drop(self) -> None:
        self._close()
        self._upstream.transport.abort()
        self._client.abort()
