"""Names from a stranger lead nowhere but to entries of the open folder, and nothing is ever overwritten."""

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.user_init.disk import webui, without_renameat2, write
from user_init.beneath import Dir
from user_init.layout import asides, before, components, merged, places
from user_init.merge import Merge
from user_init.threads import in_thread
from webuis.base import Folder, FolderKind, Starts


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Dir]:
    with Dir.at(str(tmp_path)) as root:
        yield root


@pytest.mark.parametrize("name", ["", ".", "..", "a/b", "/etc", "../etc", "nul\0"])
def test_only_a_single_component_is_a_name(root: Dir, name: str) -> None:
    for call in (root.child, root.kind, root.mkdir, root.rmdir, root.readlink, root.unlink):
        with pytest.raises(OSError, match="not the name"):
            call(name)
    for change in (
        root.symlink,
        lambda target, name: root.move("a", root, name),
        lambda target, name: root.exchange("a", name),
    ):
        with pytest.raises(OSError, match="not the name"):
            change("target", name)


@pytest.mark.parametrize("storage", ["renameat2", "as on NFS"])
@pytest.mark.parametrize("what", ["file", "link", "folder"])
def test_moving_never_overwrites(root: Dir, tmp_path: Path, storage: str, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if storage == "as on NFS":
        without_renameat2(monkeypatch)
    match what:
        case "file":
            write(tmp_path / "a", "mine")
        case "link":
            (tmp_path / "a").symlink_to("mine")
        case _:
            write(tmp_path / "a" / "mine", "mine")
    write(tmp_path / "file", "theirs")
    write(tmp_path / "folder" / "theirs", "theirs")
    for taken in ("file", "folder"):
        with pytest.raises(OSError):  # noqa: PT011 - EEXIST, ENOTDIR or ENOTEMPTY, as the filesystem has it
            root.move("a", root, taken)
    assert (tmp_path / "file").read_text() == (tmp_path / "folder" / "theirs").read_text() == "theirs"
    assert os.path.lexists(tmp_path / "a")
    root.move("a", root, "b")
    assert os.path.lexists(tmp_path / "b")


def test_two_links_of_one_name_are_both_kept_unless_they_are_equal(root: Dir, tmp_path: Path) -> None:
    for folder, target in (("old", "x"), ("new", "y"), ("again", "y")):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "link").symlink_to(target)
    with root.child("old") as old, root.child("new") as new, root.child("again") as again:
        for source in (new, again):
            Merge().directory(source, old)
    links = {path.name: str(path.readlink()) for path in (tmp_path / "old").iterdir()}
    assert links == {"link": "x", "link (2)": "y"}


def test_what_cannot_be_moved_stays_and_is_named(root: Dir, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path / "old" / "stuck", "1")
    write(tmp_path / "old" / "free", "2")
    (tmp_path / "new").mkdir()
    move = Dir.move

    def failing(self: Dir, name: str, into: Dir, new: str) -> None:
        if name == "stuck":
            raise OSError(28, "No space left on device", name)
        move(self, name, into, new)

    monkeypatch.setattr(Dir, "move", failing)
    merge = Merge()
    with root.child("old") as old, root.child("new") as new:
        merge.directory(old, new)
    assert merge.left == ["stuck"]
    assert (tmp_path / "old" / "stuck").read_text() == "1"
    assert (tmp_path / "new" / "free").read_text() == "2"


NAMES = st.text(st.characters(exclude_characters="/\0", exclude_categories=()), min_size=1, max_size=255).filter(
    lambda name: name not in (".", "..")
)


def _encodes(name: str) -> bool:
    try:
        return 0 < len(os.fsencode(name)) <= 255
    except UnicodeEncodeError:
        return False


@given(NAMES.filter(_encodes))
def test_every_given_name_fits_and_is_another(name: str) -> None:
    given_names = [new for new, _ in zip(merged(name), range(12), strict=False)]
    given_names += [new for new, _ in zip(asides(name), range(12), strict=False)]
    given_names.append(before(name))
    assert len(set(given_names)) == len(given_names)
    assert given_names[0] == name
    for new in given_names:
        assert 0 < len(os.fsencode(new)) <= 255
        assert new not in (".", "..")
        assert "/" not in new


@pytest.mark.parametrize(("name", "second"), [("a.png", "a (2).png"), (".hidden", ".hidden (2)"), ("a.tar.gz", "a.tar (2).gz")])
def test_merged_names_keep_their_suffix(name: str, second: str) -> None:
    assert list(zip(merged(name), range(2), strict=False))[1][0] == second


@pytest.mark.parametrize("path", ["", "/etc", "../x", "a/../../b", "a\0b", "."])
def test_a_described_path_must_stay_in_its_folder(path: str) -> None:
    with pytest.raises(ValueError, match="no path inside"):
        components(path)


def test_folders_seen_inside_each_other_are_refused() -> None:
    inner = Folder(FolderKind.OUTPUTS, "a", "outputs/a"), Folder(FolderKind.OUTPUTS, "b", "outputs")
    with pytest.raises(ValueError, match="in one place"):
        places(webui(Starts.BEFORE_ALLOCATION, *inner))


async def test_storage_that_hangs_keeps_nobody_waiting_who_is_told_to_stop() -> None:
    hanging, go = threading.Event(), threading.Event()

    def hang() -> None:
        hanging.set()
        go.wait()

    task = asyncio.create_task(in_thread(hang, "hangs"))
    while not hanging.is_set():
        await asyncio.sleep(0.001)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    go.set()


async def test_what_a_thread_raises_is_raised_where_it_was_asked_for() -> None:
    with pytest.raises(ZeroDivisionError):
        await in_thread(lambda: 1 // 0, "fails")
