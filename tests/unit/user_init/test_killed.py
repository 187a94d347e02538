"""user_init killed at any line: whatever existed is still there, and the next run finishes what was begun."""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.unit.user_init.disk import ALICE, Disk, Killed, die_after, documented, without_renameat2, write

MEMORY = Path("/dev/shm")  # a tmpfs on every Linux, so another filesystem than that of the tests


@contextmanager
def _disk(storage: str) -> Iterator[Disk]:
    """A disk with files in everybody's way."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as users, tempfile.TemporaryDirectory() as work:
        yield Disk.make(Path(users), Path(work if storage == "two filesystems" else users))


def _fill(disk: Disk) -> dict[str, str]:
    """Files that get in each other's way, by content: what they are called."""
    files = {
        disk.home / "outputs" / "1.png": "yesterday's 1",
        disk.home / "outputs" / "day" / "2.png": "yesterday's 2",
        disk.home / "settings" / "config.json": "my settings",
        disk.home / "models" / "Lora": "a file where a folder belongs",
        disk.work / "outputs" / "1.png": "today's 1",
        disk.work / "outputs" / "day" / "2.png": "today's 2",
        disk.work / "outputs" / "new" / "3.png": "today's 3",
        disk.work / "config.json": "default settings",
        disk.work / "models" / "Lora" / "mine": "a file where the link belongs",
    }
    for path, content in files.items():
        write(path, content)
    (disk.work / "outputs" / "link").symlink_to("/etc")
    return {content: path.name for path, content in files.items()}


def _is_whole(disk: Disk, names: dict[str, str]) -> None:
    found = disk.files()
    for content, name in names.items():
        assert content in found, f"{name} ({content}) is gone"
        assert found[content].name in documented(name), f"{name} is now {found[content].name}"
    assert found["today's 3"].is_relative_to(disk.home)
    assert (disk.home / "outputs" / "link").readlink() == Path("/etc")
    assert disk.links_in_place()


@pytest.mark.parametrize("storage", ["one filesystem", "two filesystems", "as on NFS"])
def test_killed_at_any_line_and_run_again_every_file_is_reachable(storage: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if storage == "two filesystems":
        assert MEMORY.stat().st_dev != Path(tempfile.gettempdir()).stat().st_dev, "needs a folder on another filesystem"
    survived, calls = False, 0
    while not survived:
        with _disk(storage) as disk, monkeypatch.context() as patch:
            names = _fill(disk)
            if storage == "as on NFS":
                without_renameat2(patch)
            with monkeypatch.context() as dying:
                die_after(dying, calls)
                try:
                    disk.prepare()
                    survived = True
                except Killed:
                    assert all(disk.all_with(content) for content in names), f"lost when killed after {calls} calls"
            disk.prepare()
            _is_whole(disk, names)
            assert not (disk.users / ALICE / "home (aside)").exists()
        calls += 1
    assert calls > 100, "the preparation was hardly interrupted"
