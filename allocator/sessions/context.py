"""What the parts of one replica share."""

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass, field
from typing import Protocol

from allocator.sessions.expiry import Expiry
from allocator.sessions.model import Session
from allocator.sessions.store import SessionStore
from allocator.settings import Profile, Settings
from fleet.base import Fleet, GameServer
from fleet.informer import Informer
from runtime.clock import Clock
from runtime.http import Reply
from runtime.names import USER_LABEL
from webuis import registry
from webuis.base import WebUI


class HttpCall(Protocol):
    """`runtime.http.call`, or what stands for it in a test."""

    def __call__(
        self, host: str, port: int, method: str, path: str, *, payload: object = None, timeout: float
    ) -> Awaitable[Reply]:
        """Raises `HttpError`."""
        ...


@dataclass(frozen=True, slots=True)
class Timing:
    """How often and for how long, in seconds. Of `lease_seconds`, as client-go has it: renew at a third, give up at two."""

    lease_seconds: int = 9
    sync: float = 1.0
    """Controllers look at everything at least so often; a change wakes them at once."""
    settling: float = 15.0
    """An allocation may land so long after its caller gave up on it: until then an unnamed server is left alone."""
    probe: float = 3.0
    poll: float = 10.0
    """user_init's long poll is asked anew after so long."""
    retry: float = 0.2
    shrink: float = 5.0
    """A release waits so long at most for its Fleet to shrink."""

    @property
    def renew(self) -> float:
        return self.lease_seconds / 3

    @property
    def renew_deadline(self) -> float:
        return self.lease_seconds * 2 / 3


@dataclass(frozen=True, slots=True)
class Context:
    """The replica's identity, its settings, its view of the installation, and its ways to act on it."""

    identity: str
    settings: Settings
    timing: Timing
    clock: Clock
    fleet: Fleet
    servers: Informer[GameServer]
    sessions: SessionStore
    call: HttpCall
    expiry: Expiry
    wakers: list[asyncio.Event] = field(default_factory=list)

    def wake(self, *_: object) -> None:
        """Something changed: let every controller look."""
        for waker in self.wakers:
            waker.set()

    @property
    def synced(self) -> bool:
        """Memory can be believed: what it lacks is not there."""
        return self.servers.synced and self.sessions.synced

    def profile(self, session: Session) -> Profile:
        """The session's profile; the first one, should its own no longer be in the settings."""
        return self.settings.profile(session.profile) or self.settings.profiles[0]

    def webui(self, session: Session) -> WebUI:
        return registry.get(self.profile(session).webui)

    def server(self, session: Session) -> GameServer | None:
        """The GameServer that the Lease names, as the informer knows it."""
        if session.current is None:
            return None
        server = self.servers.get(session.current.name)
        return server if server and server.uid == session.current.uid else None

    async def servers_of(self, key: str) -> tuple[GameServer, ...]:
        """All that carry the user's label, by a quorum read. Raises `Uncertain`."""
        return (await self.fleet.list({USER_LABEL: key})).items
