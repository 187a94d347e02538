"""What the command's options make of the files."""

from pathlib import Path

import pytest

from cli.compose import Flags, settings_from_flags
from runtime.errors import UserError

NOTHING: Flags = {
    "settings_file": None,
    "data": None,
    "port": None,
    "profile_file": None,
    "webui": None,
    "command": None,
    "size": None,
    "warm": None,
    "idle_timeout": None,
}


@pytest.fixture
def settings_file(tmp_path: Path) -> Path:
    file = tmp_path / "atelier.yaml"
    file.write_text("queue_lapse: 5m\nprofiles: [{name: quick, size: 4}, {name: slow, idle_timeout: 2h}]\n")
    return file


def test_options_change_the_profiles_of_the_settings_file_and_replace_none(settings_file: Path) -> None:
    settings = settings_from_flags({**NOTHING, "settings_file": settings_file, "size": 2})
    assert [(profile.name, profile.size, profile.idle_timeout) for profile in settings.profiles] == [
        ("quick", 2, 1800.0),
        ("slow", 2, 7200.0),
    ]
    assert settings.queue_lapse == 300.0


def test_the_settings_file_stands_as_it_is_without_options(settings_file: Path) -> None:
    settings = settings_from_flags({**NOTHING, "settings_file": settings_file})
    assert [profile.size for profile in settings.profiles] == [4, 4]


def test_a_settings_file_without_profiles_has_easel(tmp_path: Path) -> None:
    file = tmp_path / "atelier.yaml"
    file.write_text("queue_lapse: 5m\n")
    settings = settings_from_flags({**NOTHING, "settings_file": file, "size": 3})
    assert [(profile.name, profile.size) for profile in settings.profiles] == [("easel", 3)]


def test_the_profile_file_wins_over_the_settings_file(settings_file: Path, tmp_path: Path) -> None:
    profiles = tmp_path / "profiles.yaml"
    profiles.write_text("- {name: other}\n")
    settings = settings_from_flags({**NOTHING, "settings_file": settings_file, "profile_file": profiles})
    assert [profile.name for profile in settings.profiles] == ["other"]


def test_a_webui_on_the_command_line_and_profiles_in_a_file_are_refused(settings_file: Path) -> None:
    with pytest.raises(UserError, match="Use either"):
        settings_from_flags({**NOTHING, "settings_file": settings_file, "webui": "easel"})


def test_profiles_that_are_none_are_said_with_what_is_allowed(tmp_path: Path) -> None:
    file = tmp_path / "atelier.yaml"
    file.write_text("profiles: easel\n")
    with pytest.raises(UserError, match="profiles"):
        settings_from_flags({**NOTHING, "settings_file": file, "size": 2})
