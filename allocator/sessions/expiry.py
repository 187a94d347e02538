"""When a holder counts as gone: by the changes seen here, on this process's own clock, never by comparing clocks."""

from dataclasses import dataclass
from typing import Protocol

from runtime.clock import Clock

MANY, OLD_SECONDS = 1000, 600.0


class Held(Protocol):
    """A Lease, or a session on one."""

    @property
    def uid(self) -> str: ...
    @property
    def holder(self) -> str: ...
    @property
    def renew_time(self) -> float | None: ...
    @property
    def duration_seconds(self) -> int | None: ...


@dataclass(frozen=True, slots=True)
class _Record:
    renewal: tuple[str, float | None]
    seen_at: float


class Expiry:
    """Remembers when it first saw each holder's latest renewal, as client-go's leader election does."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._records: dict[str, _Record] = {}

    def expired(self, held: Held) -> bool:
        """Whether nobody holds it, or its holder has not renewed for its duration while this process was looking."""
        if not held.holder:
            return True
        now = self._clock.monotonic()
        renewal = (held.holder, held.renew_time)
        record = self._records.get(held.uid)
        if record is None or record.renewal != renewal:
            self._prune(now)
            self._records[held.uid] = _Record(renewal, now)
            return False
        return now - record.seen_at > (held.duration_seconds or 0)

    def _prune(self, now: float) -> None:
        """Forgetting one that is still asked for only begins its time anew."""
        if len(self._records) > MANY:
            self._records = {uid: record for uid, record in self._records.items() if now - record.seen_at < OLD_SECONDS}

    def forget(self) -> None:
        """Begin anew: after the store was out of reach, silence proves nothing about the others."""
        self._records.clear()
