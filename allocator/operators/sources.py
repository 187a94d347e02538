"""Where the operators' listener reads: plain data, taken anew for each request."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from allocator.gateway.counters import Counters
from allocator.sessions.stats import Stats, UserSession


@dataclass(frozen=True, slots=True)
class GatewaySnapshot:
    """The gateway's counters, and how many connections are open now."""

    counters: Counters
    open_connections: int
    open_websockets: int


@dataclass(frozen=True, slots=True)
class Sources:
    """Each call is cheap and from memory."""

    ready: Callable[[], bool]
    """Whether what the others tell can be believed."""
    stats: Callable[[], Stats]
    sessions: Callable[[], Sequence[UserSession]]
    gateway: Callable[[], GatewaySnapshot]
    review: Callable[[object], Mapping[str, object] | None]
    """The answer to a FleetAutoscaleReview; None: leave the Fleet alone. Raises `BadReview`."""
