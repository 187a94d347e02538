"""How a Fleet gets from the GameServers it has to the number it should have: pure decisions."""

from collections.abc import Iterable
from dataclasses import dataclass, replace

from fleet.base import GameServer
from runtime.names import BEFORE_READY, TERMINAL, GameServerState

HELD = frozenset({GameServerState.ALLOCATED, GameServerState.RESERVED})
"""Scaling down never touches these."""
FIRST_BACKOFF_SECONDS = 1.0
LAST_BACKOFF_SECONDS = 60.0


def moved(gameserver: GameServer, state: GameServerState) -> GameServer:
    """The server in `state`; as it is when it is terminal or being deleted: the SDK server ignores what comes then."""
    if gameserver.deleting or gameserver.state in TERMINAL:
        return gameserver
    return replace(gameserver, state=state)


@dataclass(frozen=True, slots=True)
class Plan:
    """So many to create, and those to delete."""

    create: int = 0
    delete: tuple[GameServer, ...] = ()


def plan(replicas: int, gameservers: Iterable[GameServer]) -> Plan:
    """What brings a Fleet to `replicas`. Servers that are being deleted count for nothing.

    Terminal ones are replaced once they are being deleted, which is when their failure has been noted. Surplus servers
    go in the order of what is lost with them: those that are not Ready yet, then the youngest.
    """
    present = [item for item in gameservers if not item.deleting]
    surplus = len(present) - replicas
    if surplus <= 0:
        return Plan(create=-surplus)
    loose = [item for item in present if item.state not in HELD | TERMINAL]
    loose.sort(key=lambda item: (item.state not in BEFORE_READY, -item.created_at, item.name))
    return Plan(delete=tuple(loose[:surplus]))


@dataclass(frozen=True, slots=True)
class Backoff:
    """How a Fleet whose GameServers end before they are Ready waits before it makes more. Times are monotonic."""

    failures: int = 0
    until: float = 0.0

    def failed(self, now: float) -> "Backoff":
        """Several servers that fail at once count once: it is one cause."""
        if now < self.until:
            return self
        seconds = min(LAST_BACKOFF_SECONDS, FIRST_BACKOFF_SECONDS * 2.0 ** min(self.failures, 10))
        return Backoff(self.failures + 1, now + seconds)
