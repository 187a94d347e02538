"""What the cases need of an implementation of `fleet.base`, besides the contract itself. A backend's own file provides it."""

from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Protocol

from fleet.base import Fleet, GameServer, LeaseStore
from runtime.names import GameServerState


@dataclass(frozen=True, slots=True)
class Stores:
    """Both contracts, as one client sees them."""

    fleet: Fleet
    leases: LeaseStore


class Backend(Protocol):
    """A store that runs. GameServers in it need no processes."""

    stores: Stores
    bookmark_seconds: float
    """A quiet watch sends a bookmark within this time."""

    async def gameserver(self, fleet: str, state: GameServerState = GameServerState.READY) -> GameServer:
        """A new GameServer in that state."""
        ...

    async def sdk_ready(self, gameserver: GameServer) -> GameServer:
        """What its SDK server does when the program in it calls Ready."""
        ...

    async def finish_deletion(self, gameserver: GameServer) -> None:
        """All its processes have ended: it goes from the store."""
        ...

    async def forget_history(self) -> None:
        """Watches can no longer resume from any resourceVersion that was seen so far."""
        ...

    def losing_replies(self) -> AbstractAsyncContextManager[Stores]:
        """Clients whose writes arrive and are carried out, and whose replies never come back."""
        ...

    def unreachable(self) -> AbstractAsyncContextManager[Stores]:
        """Clients that connect to nobody."""
        ...

    def hanging(self) -> AbstractAsyncContextManager[Stores]:
        """Clients of a server that accepts connections and says nothing. Their deadlines are short."""
        ...
