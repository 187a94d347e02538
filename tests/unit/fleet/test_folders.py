"""What becomes of a GameServer's folder: nothing that someone may want is deleted, and no link is followed."""

import os
import socket
from pathlib import Path

from fleet.local import folders


def test_an_untouched_folder_vanishes_and_its_logs_stay(tmp_path: Path) -> None:
    folder = folders.create(tmp_path, "easel-1")
    assert folder.stat().st_mode & 0o777 == 0o700
    (folder / "logs" / "webui.log").write_text("hello")
    folders.clear(tmp_path, "easel-1")
    assert not folder.exists()
    assert (tmp_path / "logs" / "easel-1" / "webui.log").read_text() == "hello"
    assert not (tmp_path / "leftovers").exists()


def test_what_is_behind_a_link_stays(tmp_path: Path) -> None:
    home = tmp_path / "users" / "alice" / "home"
    (home / "outputs").mkdir(parents=True)
    (home / "outputs" / "image.png").write_text("art")
    work = folders.create(tmp_path, "easel-1") / "work"
    (work / "outputs").symlink_to(home / "outputs")
    (work / "deep").mkdir()
    (work / "deep" / "image").symlink_to(home / "outputs" / "image.png")
    (work.parent / "tmp" / "planted").symlink_to(home)
    folders.clear(tmp_path, "easel-1")
    assert not work.parent.exists()
    assert (home / "outputs" / "image.png").read_text() == "art"


def test_a_work_folder_or_tmp_that_was_replaced_by_a_link_is_not_followed(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "image.png").write_text("art")
    folder = folders.create(tmp_path, "easel-1")
    for part in ("work", "tmp", "logs"):
        (folder / part).rmdir()
        (folder / part).symlink_to(home)
    folders.clear(tmp_path, "easel-1")
    assert (home / "image.png").read_text() == "art"
    assert not folder.exists()


def test_a_file_that_a_webui_left_is_moved_and_its_links_are_gone(tmp_path: Path) -> None:
    work = folders.create(tmp_path, "easel-1") / "work"
    (work / "a" / "b").mkdir(parents=True)
    (work / "a" / "b" / "image.png").write_text("before anyone came")
    (work / "a" / "link").symlink_to("/")
    (work / "empty").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        os.chdir(work)
        listener.bind("s")
        os.chdir(Path(__file__).parents[3])
    folders.clear(tmp_path, "easel-1")
    left = tmp_path / "leftovers" / "easel-1"
    assert [str(path.relative_to(left)) for path in sorted(left.rglob("*"))] == ["a", "a/b", "a/b/image.png"]
    assert not work.parent.exists()


def test_temporary_files_go(tmp_path: Path) -> None:
    folder = folders.create(tmp_path, "easel-1")
    (folder / "tmp" / "gradio").mkdir()
    (folder / "tmp" / "gradio" / "upload").write_text("x")
    folders.clear(tmp_path, "easel-1")
    assert not folder.exists()


def test_only_the_newest_logs_are_kept(tmp_path: Path) -> None:
    for number in range(folders.KEPT_LOGS + 3):
        folder = folders.create(tmp_path, f"easel-{number}")
        (folder / "logs" / "webui.log").write_text("x")
        os.utime(folder / "logs", (number, number))
        folders.clear(tmp_path, f"easel-{number}")
    kept = {path.name for path in (tmp_path / "logs").iterdir()}
    assert kept == {f"easel-{number}" for number in range(3, folders.KEPT_LOGS + 3)}


def test_what_a_killed_command_left_is_put_away(tmp_path: Path) -> None:
    folders.clear_all(tmp_path)
    for name in ("easel-1", "easel-2"):
        (folders.create(tmp_path, name) / "work" / "file").write_text(name)
    folders.clear_all(tmp_path)
    assert list((tmp_path / "gameservers").iterdir()) == []
    assert (tmp_path / "leftovers" / "easel-2" / "file").read_text() == "easel-2"


def test_clearing_twice_is_harmless(tmp_path: Path) -> None:
    folders.create(tmp_path, "easel-1")
    folders.clear(tmp_path, "easel-1")
    folders.clear(tmp_path, "easel-1")


def test_a_tail_is_the_end_of_the_log(tmp_path: Path) -> None:
    (tmp_path / "webui.log").write_bytes(b"x" * 100_000 + b"\nlast \xff but one\nlast\n")
    assert folders.tail(tmp_path / "webui.log", 2) == ("last \ufffd but one", "last")


def test_a_tail_of_nothing_is_nothing(tmp_path: Path) -> None:
    assert folders.tail(tmp_path / "none.log", 5) == ()
