"""Replies that the gateway makes itself: redirects and errors."""

import json
from dataclasses import dataclass
from http import HTTPStatus

RETRY_AFTER = 2
"""Seconds after which something that is down may be back."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole reply. `fields` come before the framing, each a line."""

    status: int
    fields: tuple[bytes, ...] = ()
    body: bytes = b""

    def encode(self, method: str, *, keep_alive: bool) -> bytes:
        """As it goes out to a request of that method."""
        lines = [
            b"HTTP/1.1 %d %b" % (self.status, HTTPStatus(self.status).phrase.encode()),
            *self.fields,
            b"cache-control: no-store",
            b"content-length: %d" % len(self.body),
        ]
        if not keep_alive:
            lines.append(b"connection: close")
        return b"\r\n".join([*lines, b"", b"" if method == "HEAD" else self.body])


def redirect(location: str) -> Answer:
    """303, never to be kept: the same address shows another thing to a frame, and after the next click."""
    return Answer(303, (b"location: " + location.encode(), b"vary: Sec-Fetch-Dest"))


def problem(status: int, code: str, message: str) -> Answer:
    """An error in the shape that the API uses. 503 says when to come back."""
    fields: tuple[bytes, ...] = (b"content-type: application/json",)
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        fields = (*fields, b"retry-after: %d" % RETRY_AFTER)
    return Answer(status, fields, json.dumps({"error": {"code": code, "message": message}}).encode())


UNAVAILABLE = problem(503, "webui_unavailable", "The WebUI does not answer. It may be restarting: try again in a moment.")
PAGES_UNAVAILABLE = problem(503, "unavailable", "Atelier's pages do not answer. Try again in a moment.")
BAD_REPLY = problem(502, "bad_reply", "The WebUI sent a reply that is no valid HTTP. Look at its log.")
RELEASING = problem(409, "releasing", "The session is being released. Start a new one at /_atelier/start.")
STALLED = problem(408, "timeout", "The request's body stopped arriving. Send it again.")
BUSY = problem(503, "busy", "The session could not be asked to take a new job. Try again in a moment.")
