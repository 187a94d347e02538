"""What all connections of one gateway share."""

import asyncio
from collections.abc import Coroutine
from dataclasses import dataclass, field

from allocator.gateway.counters import Counters
from allocator.gateway.heads import DECIDING
from allocator.gateway.splice import Splice
from allocator.gateway.upstream import Upstreams
from allocator.identity.base import Verifier
from allocator.sessions.api import Routes
from runtime.clock import Clock


@dataclass(frozen=True, slots=True)
class Timeouts:
    """All in seconds."""

    idle: float = 620.0
    """Between two requests of a connection: above the 600 s that Google's load balancer holds its own connections."""
    head: float = 30.0
    """From the first byte of a request's head to its last."""
    stall: float = 120.0
    """Without a byte while somebody waits for one: a body that stops arriving, a reply that is not taken. What an
    upstream takes to answer, and what is quiet by nature (events, WebSockets), is not limited."""
    linger: float = 2.0
    """From our last byte's departure to the close, for a client that is still sending."""
    admit: float = 5.0


@dataclass(frozen=True, slots=True)
class Context:
    verifier: Verifier
    routes: Routes
    upstreams: Upstreams
    clock: Clock
    counters: Counters
    timeouts: Timeouts
    splices: dict[str, set[Splice]] = field(default_factory=dict)
    """Open WebSockets by their GameServer's uid."""
    tasks: set[asyncio.Task[None]] = field(default_factory=set)

    @property
    def deciding(self) -> frozenset[bytes]:
        """Fields that may occur once: what proves an identity among them."""
        return DECIDING | self.verifier.consumes_headers

    def spawn(self, coroutine: Coroutine[object, object, None]) -> asyncio.Task[None]:
        """Run it in a task that the gateway ends with itself."""
        task = asyncio.get_running_loop().create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    def joined(self, uid: str, splice: Splice) -> None:
        """A WebSocket to that GameServer is open."""
        self.splices.setdefault(uid, set()).add(splice)

    def parted(self, uid: str, splice: Splice) -> None:
        """It is closed."""
        splices = self.splices.get(uid, set())
        splices.discard(splice)
        if not splices:
            self.splices.pop(uid, None)
