"""Whatever a user plants in their folders and in the WebUI's: nothing is lost, nothing of others is touched, twice is once."""

import os
import tempfile
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.user_init.disk import BOB, Disk, Killed, die_after, documented, snapshot, without_renameat2, write

NAMES = (
    *("outputs", "models", "Lora", "mine", "config.json", "settings", "day", "a.png", "a (2).png"),
    *("outputs (before)", "outputs (aside)", "mine (before)", "config.json (before)", "\udcff\n"),
)
TARGETS = (
    "/etc",
    "..",
    "../..",
    ".",
    "nowhere",
    "outputs",
    "{outside}",
    "{bob}",
    "{bob}/home/outputs",
    "{home}/outputs",
    "{home}",
)
PATHS = st.lists(st.sampled_from(NAMES), min_size=1, max_size=4).map("/".join)
ENTRIES = st.lists(
    st.tuples(
        st.sampled_from(("work", "home")),
        PATHS,
        st.sampled_from(("file", "folder", "link", "fifo", "hard link")),
        st.sampled_from(TARGETS),
    ),
    max_size=14,
)


def _plant(disk: Disk, outside: Path, entries: list[tuple[str, str, str, str]]) -> dict[str, set[str]]:
    """Make the entries that can be made; the names of each regular file, by content."""
    names: dict[str, set[str]] = {}
    disk.home.mkdir(parents=True)
    words = {"outside": str(outside), "bob": str(disk.users / BOB), "home": str(disk.home)}
    for number, (root, relative, kind, target) in enumerate(entries):
        base = disk.work if root == "work" else disk.home
        path = base / relative
        with suppress(OSError):
            if os.path.realpath(path.parent) != str(path.parent) or os.path.lexists(path):
                continue  # the test itself follows no link either
            path.parent.mkdir(parents=True, exist_ok=True)
            if kind == "file":
                write(path, f"content {number}")
                names[f"content {number}"] = {path.name}
            elif kind == "folder":
                path.mkdir()
            elif kind == "link":
                path.symlink_to(target.format(**words))
            elif kind == "fifo":
                os.mkfifo(path)
            elif names:
                content = next(iter(names))
                path.hardlink_to(disk.all_with(content)[0])
                names[content].add(path.name)
    return names


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    entries=ENTRIES,
    killed_after=st.none() | st.integers(0, 150),
    storage=st.sampled_from(["one filesystem", "two filesystems", "as on NFS"]),
)
def test_nothing_planted_is_lost_and_nothing_of_others_is_touched(
    entries: list[tuple[str, str, str, str]], killed_after: int | None, storage: str
) -> None:
    with (
        tempfile.TemporaryDirectory(dir="/dev/shm") as users,
        tempfile.TemporaryDirectory() as other,
        pytest.MonkeyPatch.context() as patch,
    ):
        disk = Disk.make(Path(users).resolve(), Path(other if storage == "two filesystems" else users).resolve())
        outside = write(Path(users, "outside", "secret"), "not yours").parent
        bob = write(disk.users / BOB / "home" / "outputs" / "bobs.png", "bob's").parents[2]
        names = _plant(disk, outside, entries)
        untouched = snapshot(outside), snapshot(bob)
        if storage == "as on NFS":
            without_renameat2(patch)
        if killed_after is not None:
            with pytest.MonkeyPatch.context() as dying, suppress(Killed):
                die_after(dying, killed_after)
                disk.prepare()
        disk.prepare()
        assert disk.links_in_place()
        assert (snapshot(outside), snapshot(bob)) == untouched
        for content, called in names.items():
            allowed = set().union(*(documented(name) for name in called))
            assert {path.name for path in disk.all_with(content)} & allowed, f"{content}, called {called}, is gone"
        after = snapshot(disk.users), snapshot(disk.work)
        disk.prepare()
        assert (snapshot(disk.users), snapshot(disk.work)) == after
