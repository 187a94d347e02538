"""The user's folders are made, linked, merged and never harmed."""

import json
import os
from pathlib import Path

import pytest

from tests.unit.user_init.disk import ALICE, BOB, PLACES, Disk, snapshot, without_renameat2, write
from user_init.assignment import Assignment
from user_init.beneath import Dir
from user_init.layout import places
from user_init.prepare import prepare, read_settings, share_models
from webuis import registry


@pytest.fixture(params=["renameat2", "as on NFS"])
def disk(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    if request.param != "renameat2":
        without_renameat2(monkeypatch)
    return Disk.make(tmp_path, tmp_path)


def test_a_new_user_gets_a_home_and_the_webui_sees_it(disk: Disk) -> None:
    prepared = disk.prepare()
    assert disk.links_in_place()
    assert (prepared.filled, prepared.left) == ((), ())
    (disk.work / "outputs" / "image.png").write_text("drawn")
    assert (disk.home / "outputs" / "image.png").read_text() == "drawn"


def test_the_second_preparation_changes_nothing(disk: Disk) -> None:
    write(disk.work / "outputs" / "image.png", "drawn")
    disk.prepare()
    before = snapshot(disk.work.parent)
    prepared = disk.prepare()
    assert snapshot(disk.work.parent) == before
    assert [folder.home for folder in prepared.filled] == ["outputs"]


def test_images_drawn_before_the_user_came_are_moved_to_them_without_overwriting(disk: Disk) -> None:
    write(disk.home / "outputs" / "day" / "1.png", "yesterday's")
    write(disk.home / "outputs" / "day" / "1 (2).png", "a merged one")
    write(disk.work / "outputs" / "day" / "1.png", "today's")
    write(disk.work / "outputs" / "day" / "2.png", "new")
    write(disk.work / "outputs" / "other" / "3.png", "whole folder")
    disk.prepare()
    day = disk.home / "outputs" / "day"
    assert {path.name: path.read_text() for path in day.iterdir()} == {
        "1.png": "yesterday's",
        "1 (2).png": "a merged one",
        "1 (3).png": "today's",
        "2.png": "new",
    }
    assert (disk.home / "outputs" / "other" / "3.png").read_text() == "whole folder"
    assert not (disk.work / "outputs (before)").exists()


def test_a_file_that_the_webui_made_becomes_the_users_first_one_but_never_replaces_theirs(disk: Disk) -> None:
    write(disk.work / "config.json", "defaults")
    disk.prepare()
    assert (disk.home / "settings" / "config.json").read_text() == "defaults"
    (disk.work / "config.json").unlink()
    write(disk.work / "config.json", "other defaults")
    disk.prepare()
    settings = {path.name: path.read_text() for path in (disk.home / "settings").iterdir()}
    assert settings == {"config.json": "defaults", "config (2).json": "other defaults"}


def test_the_same_defaults_at_each_start_do_not_pile_up(disk: Disk) -> None:
    write(disk.home / "settings" / "config.json", "mine")
    for _ in range(3):
        (disk.work / "config.json").unlink(missing_ok=True)
        write(disk.work / "config.json", "defaults")
        disk.prepare()
    assert sorted(path.name for path in (disk.home / "settings").iterdir()) == ["config (2).json", "config.json"]


@pytest.mark.parametrize("planted", ["link", "dangling link", "file", "fifo", "link to another user"])
def test_what_sits_where_a_folder_belongs_is_moved_aside_unfollowed(disk: Disk, tmp_path: Path, planted: str) -> None:
    outside = write(tmp_path / "outside" / "secret", "not yours").parent
    other = write(disk.users / BOB / "home" / "outputs" / "bobs.png", "bob's").parent
    place = disk.home / "outputs"
    place.parent.mkdir(parents=True)
    match planted:
        case "link":
            place.symlink_to(outside)
        case "dangling link":
            place.symlink_to(tmp_path / "nowhere")
        case "link to another user":
            place.symlink_to(other)
        case "file":
            place.write_text("a file")
        case _:
            os.mkfifo(place)
    kind = place.lstat().st_mode
    write(disk.work / "outputs" / "image.png", "drawn")
    before = snapshot(outside), snapshot(other)
    disk.prepare()
    assert disk.links_in_place()
    assert (disk.home / "outputs (aside)").lstat().st_mode == kind
    assert (disk.home / "outputs" / "image.png").read_text() == "drawn"
    assert (snapshot(outside), snapshot(other)) == before


def test_a_planted_home_and_a_planted_parent_are_moved_aside(disk: Disk, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "models" / "Lora" / "x", "not yours").parents[2]
    before = snapshot(outside)
    (disk.users / ALICE).mkdir()
    disk.home.symlink_to(outside)
    disk.prepare()
    (disk.home / "models" / "Lora").rmdir()
    (disk.home / "models").rmdir()
    (disk.home / "models").symlink_to(outside / "models")
    disk.prepare()
    assert disk.links_in_place()
    assert snapshot(outside) == before
    assert (disk.users / ALICE / "home (aside)").readlink() == outside


def test_a_link_in_the_work_folder_that_leads_elsewhere_is_replaced_and_kept_aside(disk: Disk, tmp_path: Path) -> None:
    outside = write(tmp_path / "outside" / "image.png", "theirs").parent
    (disk.work / "outputs").symlink_to(outside)
    disk.prepare()
    assert disk.links_in_place()
    assert (disk.work / "outputs (aside)").readlink() == outside
    assert (outside / "image.png").read_text() == "theirs"


def test_a_users_key_that_is_a_link_is_refused_and_nothing_is_moved(disk: Disk, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (disk.users / ALICE).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(NotADirectoryError):
        disk.prepare()
    assert not (disk.work / "outputs").exists()
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_meta_says_who_it_is_and_is_never_replaced(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    disk.prepare()
    meta = disk.users / ALICE / "meta.json"
    content = meta.read_text()
    assert json.loads(content) == {
        "version": 1,
        "key": ALICE,
        "identity": "https://id.example|alice",
        "email": "alice@example.com",
        "created": 1_700_000_000.0,
    }
    prepare(
        PLACES, str(disk.users), str(disk.work), Assignment(ALICE, "n", "https://id.example|mallory", "alice@example.com"), 2.0
    )
    assert meta.read_text() == content
    assert "names somebody else" in caplog.text


@pytest.mark.parametrize("content", ["", "[]", "{}", "not json", '{"identity": 1}'])
def test_a_broken_meta_is_kept_and_told(disk: Disk, content: str, caplog: pytest.LogCaptureFixture) -> None:
    meta = write(disk.users / ALICE / "meta.json", content)
    disk.prepare()
    assert meta.read_text() == content
    assert "is kept" in caplog.text
    assert disk.links_in_place()


def test_the_shared_models_are_seen_before_and_after_the_allocation(disk: Disk) -> None:
    write(disk.shared / "models" / "Lora" / "style.safetensors", "weights")
    share_models(PLACES, str(disk.work), str(disk.shared))
    share_models(PLACES, str(disk.work), str(disk.shared))
    assert (disk.work / "models" / "Lora" / "shared" / "style.safetensors").read_text() == "weights"
    disk.prepare()
    assert sorted(path.name for path in (disk.work / "models" / "Lora").iterdir()) == ["mine", "shared"]
    assert (disk.work / "models" / "Lora" / "shared" / "style.safetensors").read_text() == "weights"


@pytest.mark.parametrize("name", registry.NAMES)
def test_every_described_webui_can_be_prepared(disk: Disk, name: str) -> None:
    plan = places(registry.get(name))
    share_models(plan, str(disk.work), str(disk.shared))
    assert disk.prepare(plan).left == ()
    for place in plan:
        assert (disk.work / place.folder.seen).readlink() == disk.home / place.folder.home


def test_settings_are_read_from_a_small_regular_file_alone(disk: Disk, tmp_path: Path) -> None:
    def settings() -> bytes | None:
        return read_settings(str(disk.users), ALICE, "settings/config.json")

    assert settings() is None
    disk.prepare()
    assert settings() is None
    file = write(disk.home / "settings" / "config.json", '{"a": 1}')
    assert settings() == b'{"a": 1}'
    file.write_bytes(b"x" * (256 * 1024 + 1))
    with pytest.raises(OSError, match="larger"):
        settings()
    file.unlink()
    file.symlink_to(write(tmp_path / "secret", '{"secret": 1}'))
    with pytest.raises(OSError):  # noqa: PT011 - the kernel's own text
        settings()
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(OSError, match="regular"):
        settings()


def test_what_is_written_while_it_is_copied_stays_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write(tmp_path / "one" / "image.png", "drawn")
    other = tmp_path / "other"
    other.mkdir()
    sendfile = os.sendfile

    def written_to_meanwhile(out: int, file: int, offset: None, count: int) -> int:
        source.write_text("drawn on")
        monkeypatch.setattr(os, "sendfile", sendfile)
        return sendfile(out, file, offset, count)

    monkeypatch.setattr(os, "sendfile", written_to_meanwhile)
    with Dir.at(str(source.parent)) as from_dir, Dir.at(str(other)) as into, pytest.raises(OSError, match="written to"):
        from_dir.move_copy("image.png", into, "image.png")
    assert source.read_text() == "drawn on"
    assert list(other.iterdir()) == []
