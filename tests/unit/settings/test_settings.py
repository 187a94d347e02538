import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from allocator.settings import Profile, load, parse_duration
from runtime.errors import UserError

NEVER_ZERO = ("idle_timeout", "warning", "busy_limit", "unknown_limit", "startup_deadline")


def test_flags_win_over_environment_over_file(tmp_path: Path) -> None:
    file = tmp_path / "atelier.yaml"
    file.write_text("listen: localhost:1\noperators: 127.0.0.1:2\nlog_level: debug\n")
    settings = load(file, {"ATELIER_LISTEN": "localhost:3", "ATELIER_OPERATORS": "127.0.0.1:4"}, {"listen": "localhost:5"})
    assert (settings.listen, settings.operators, settings.log_level) == ("localhost:5", "127.0.0.1:4", "debug")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("profiles: [{name: a, size: 0}]", ["profiles.0.size", "0", "greater than or equal to 1"]),
        ("profiles: [{name: a, idle_timeout: soon}]", ["profiles.0.idle_timeout", "soon", "30m"]),
        ("profiles: [{name: a, idle_timeout: 4m}]", ["profiles.0.idle_timeout", "4m", "300s"]),
        ("profiles: [{name: a, webui: paint}]", ["profiles.0.webui", "paint", "a1111, easel"]),
        ("profiles: [{name: a, warm: 9}]", ["profiles.0.warm", "9", "at most size (4)"]),
        ("profiles: [{name: a}, {name: a}]", ["profiles", "name of its own"]),
        ("profiles: [{name: ../x}]", ["profiles.0.name", "../x"]),
        *((f"profiles: [{{name: a, {name}: 0s}}]", [name, "0s", "more than 0"]) for name in NEVER_ZERO),
        ("queue_lapse: 0", ["queue_lapse", "more than 0"]),
        ("profiles: []", ["profiles", "at least 1"]),
        ("colour: red", ["Unknown setting colour"]),
        ("- a\n- b", ["list", "mapping"]),
        ("a: [", ["not YAML"]),
        ("identity: header", ["identity", "header", "dev"]),
    ],
)
def test_a_bad_setting_names_field_value_and_what_is_allowed(tmp_path: Path, text: str, said: list[str]) -> None:
    file = tmp_path / "atelier.yaml"
    file.write_text(text)
    with pytest.raises(UserError) as error:
        load(file, {})
    for words in said:
        assert words in error.value.problem + error.value.remedy
    assert "\n" not in str(error.value)


def test_a_missing_settings_file_is_said_in_one_line(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="Cannot read the settings file"):
        load(tmp_path / "none.yaml", {})


@pytest.mark.parametrize(("text", "seconds"), [("90", 90), (5, 5), ("90s", 90), ("30m", 1800), ("1h30m", 5400), ("1.5h", 5400)])
def test_durations_are_read_as_people_write_them(text: object, seconds: float) -> None:
    assert parse_duration(text) == seconds


@given(st.text())
def test_a_duration_is_read_or_refused_never_guessed(text: str) -> None:
    with contextlib.suppress(ValueError):
        assert parse_duration(text) >= 0


def test_the_warning_and_the_writes_fit_a_short_idle_timeout() -> None:
    profile = Profile(name="a", idle_timeout=300.0, warning=600.0)
    assert profile.warning_seconds == 150.0
    assert profile.activity_resolution == 60.0
