"""What the pages, the REST API and the gateway ask of sessions. `allocator.sessions.service` answers."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Protocol

from allocator.identity.base import User
from allocator.sessions.model import ProfileView, SessionView
from webuis.base import WebUI


class SessionRefused(Exception):
    """The request cannot be had. `code` is for programs (snake_case), the text for people, `status` is HTTP's."""

    def __init__(self, code: str, message: str, status: int = 409, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.status = status
        self.retry_after = retry_after


class Sessions(Protocol):
    """One user's session, from the outside. Calls are bounded; `SessionRefused` says what cannot be had and why."""

    def view(self, key: str) -> SessionView:
        """From memory: what this replica's informers know."""
        ...

    def profiles(self, user: User) -> tuple[ProfileView, ...]: ...

    async def start(self, user: User, profile: str = "") -> SessionView:
        """Create the session, or return the one that there is (one a user). The first profile is the default."""
        ...

    async def extend(self, user: User) -> SessionView:
        """A person asked for more time: counts as activity now, and clears `ending`."""
        ...

    async def release(self, key: str, reason: str) -> SessionView:
        """End the session (or leave the queue). Safe to repeat."""
        ...

    async def presence(self, user: User, source: str) -> None:
        """The desk heard a person. Clears `ending` before it returns."""
        ...

    def page_seen(self, key: str) -> None:
        """A waiting page is open: its place in the queue does not lapse."""
        ...

    def changes(self, key: str) -> AsyncIterator[SessionView]:
        """The view now and after each change, without end. A slow reader misses intermediate ones, never the last."""
        ...


@dataclass(frozen=True, slots=True)
class Route:
    """Where a user's requests go. `uid` is the GameServer's."""

    uid: str
    gameserver: str
    host: str
    port: int
    webui: WebUI


class Routes(Protocol):
    """What the gateway needs of sessions, at the cost of a dictionary lookup."""

    def route(self, key: str) -> Route | None:
        """The WebUI of a session that is active or ending; None for every other."""
        ...

    def activity(self, key: str, kind: str) -> None:
        """A request that only a person causes passed. Kept in memory, written coarsely."""
        ...

    async def admit(self, key: str) -> bool:
        """May a new job start? While `ending` this clears it first. False: the session is being released."""
        ...

    def on_end(self, callback: Callable[[str, str], None]) -> None:
        """`callback(gameserver_uid, reason)` when a route is gone, so that its sockets are closed."""
        ...
