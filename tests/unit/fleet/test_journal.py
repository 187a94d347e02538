"""Leases survive the command."""

import asyncio
from dataclasses import replace
from pathlib import Path

import pytest

from fleet.base import Lease
from fleet.local import journal
from fleet.local.journal import Journal, Snapshot
from fleet.local.store import Store, Versions
from runtime.errors import UserError
from tests.fake_clock import FakeClock


def restore(path: Path) -> Store[Lease]:
    saved = journal.load(path)
    return Store(Versions(saved.version), FakeClock(), items=saved.leases)


async def test_what_was_written_is_there_after_a_restart_and_versions_go_on(tmp_path: Path) -> None:
    path = tmp_path / "leases.json"
    leases = restore(path)
    saver = Journal(path, leases, FakeClock())
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        running = group.create_task(saver.run())
        lease = leases.create(Lease("alice", holder="a", annotations={"state": "active"}))
        while not path.exists():
            await asyncio.sleep(0.001)
        running.cancel()
    last = leases.create(Lease("bob"))
    saver.save()
    again = restore(path)
    assert again.list().items == (replace(lease, holder=""), last), "who held it ended with the command"
    assert again.version == int(last.resource_version)
    assert int(again.create(Lease("carol")).resource_version) > again.version - 1
    assert path.stat().st_mode & 0o777 == 0o600


async def test_a_full_disk_is_tried_again_and_loses_nothing(tmp_path: Path) -> None:
    folder = tmp_path / "not there yet"
    clock, leases = FakeClock(), restore(folder / "leases.json")
    saver = Journal(folder / "leases.json", leases, clock)
    async with asyncio.timeout(5), asyncio.TaskGroup() as group:
        running = group.create_task(saver.run())
        leases.create(Lease("alice"))
        while not clock.sleepers:
            await asyncio.sleep(0.001)
        folder.mkdir()
        await clock.advance(journal.RETRY_SECONDS)
        while not (folder / "leases.json").exists():
            await asyncio.sleep(0.001)
        running.cancel()
    assert [item.name for item in restore(folder / "leases.json").list().items] == ["alice"]


def test_nothing_saved_is_an_empty_store(tmp_path: Path) -> None:
    assert journal.load(tmp_path / "leases.json") == Snapshot(1, ())


def test_broken_records_are_an_error_with_a_remedy_and_never_an_empty_store(tmp_path: Path) -> None:
    (tmp_path / "leases.json").write_text('{"version": 7, "lea')
    with pytest.raises(UserError, match="Move the file away"):
        journal.load(tmp_path / "leases.json")
