"""Leases on disk, so that sessions' records survive a restart of the command.

A write is answered before it is on disk, and the writes of a moment share one fsync: whoever could have read a lost
one (the allocator, the GameServers) ends with the command that lost it.
"""

import asyncio
import json
import logging
import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Never

from pydantic import TypeAdapter, ValidationError

from fleet.base import Lease
from fleet.local.store import Store
from runtime.clock import Clock
from runtime.errors import UserError

log = logging.getLogger(__name__)
RETRY_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All Leases as of a resourceVersion, from which the next store counts on."""

    version: int
    leases: tuple[Lease, ...]


_SNAPSHOT = TypeAdapter(Snapshot)


def load(path: Path) -> Snapshot:
    """What was saved, held by nobody: who held a Lease ended with the command. Raises `UserError` when it cannot be read."""
    try:
        saved = _SNAPSHOT.validate_json(path.read_bytes())
        return replace(saved, leases=tuple(replace(lease, holder="") for lease in saved.leases))
    except FileNotFoundError:
        return Snapshot(1, ())
    except (OSError, ValidationError) as error:
        raise UserError(
            f"The sessions' records in {path} cannot be read.", "Move the file away to start without them."
        ) from error


def write(path: Path, snapshot: Snapshot) -> None:
    """Replace the file as a whole. Raises `OSError`."""
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        os.fchmod(file.fileno(), 0o600)
        file.write(json.dumps(_SNAPSHOT.dump_python(snapshot, mode="json"), indent=1).encode())
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


class Journal:
    """Keeps the file up with the store."""

    def __init__(self, path: Path, store: Store[Lease], clock: Clock) -> None:
        self._path = path
        self._store = store
        self._clock = clock
        self._writing = threading.Lock()
        self._written = store.version

    async def run(self) -> Never:
        """Save after each change, until cancelled. Call `save` after the last change of all."""
        while True:
            await self._store.changed(self._written)
            if not await asyncio.to_thread(self._write, self._snapshot()):
                await self._clock.sleep(RETRY_SECONDS)

    def save(self) -> None:
        """Save what is not saved yet. Blocks."""
        self._write(self._snapshot())

    def _snapshot(self) -> Snapshot:
        return Snapshot(self._store.version, self._store.list().items)

    def _write(self, snapshot: Snapshot) -> bool:
        with self._writing:  # a cancelled run leaves its thread at work, and the last snapshot must be the one that stays
            if snapshot.version <= self._written:
                return True
            try:
                write(self._path, snapshot)
            except OSError as error:
                log.warning("sessions' records cannot be written to %s: %s", self._path, error)
                return False
            self._written = snapshot.version
            return True
