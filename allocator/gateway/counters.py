"""What the gateway counts: plain integers, read by whoever exposes them."""

from dataclasses import dataclass, field

KINDS = ("webui", "app", "websocket", "gateway")
"""Who answered: a WebUI, the pages, a WebUI that took over the connection, or the gateway itself."""
OUTCOMES = ("1xx", "2xx", "3xx", "4xx", "5xx", "aborted")
"""A reply's class, or `aborted`: one side left before its end."""


@dataclass(slots=True)
class Counters:
    """All that can occur is there from the start, at zero, so that a rate exists before the first event."""

    requests: dict[tuple[str, str], int] = field(
        default_factory=lambda: {(kind, outcome): 0 for kind in KINDS for outcome in OUTCOMES}
    )
    received_bytes: int = 0
    """From clients."""
    sent_bytes: int = 0
    """To clients."""
    connections_accepted: int = 0
    upstream_connects: int = 0
    upstream_failures: int = 0
    retries: int = 0
    malformed_requests: int = 0
    malformed_replies: int = 0

    def count(self, kind: str, status: int) -> None:
        """One reply of that status; 0 for one that was cut off."""
        self.requests[kind, OUTCOMES[status // 100 - 1]] += 1
