"""What a person types wrongly, and what a WebUI says to a terminal, where no process is needed to see the answer."""

import socket
from pathlib import Path

import pytest

from allocator.settings import Settings, load
from cli import operators, output, preflight
from cli.compose import Flags, settings_from_flags, webui_command
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


def refused(**flags: object) -> UserError:
    with pytest.raises(UserError) as error:
        settings_from_flags({**NOTHING, **flags})  # type: ignore[typeddict-item] # some are wrong on purpose
    assert "\n" not in error.value.problem
    assert error.value.remedy
    return error.value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("\tbroken: [", "is not YAML"),
        ("a: *nowhere", "is not YAML"),
        ("just text", "no profiles"),
        ("", "no profiles"),
        ("[]", "profiles"),
        ("- {name: a, port: 7}", "profiles.0.port"),
        ("- {name: a}\n- {name: a}", "name of its own"),
        ("- {name: ../a}", "../a"),
        ("- {name: a, size: 99999999999999999999}", "profiles.0.size"),
    ],
)
def test_a_profile_file_that_is_wrong_names_what_is(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "p.yaml"
    file.write_text(text)
    assert said in refused(profile_file=file).problem


def test_a_file_of_bytes_and_a_folder_are_no_profile_file(tmp_path: Path) -> None:
    (tmp_path / "p.yaml").write_bytes(b"\xff\xfe\x00")
    assert "is not YAML" in refused(profile_file=tmp_path / "p.yaml").problem
    assert "directory" in refused(profile_file=tmp_path).problem


@pytest.mark.parametrize("port", [0, -1, 65535, 70000])
def test_a_port_that_leaves_none_for_the_operators_is_refused(port: int) -> None:
    assert "port" in refused(port=port).problem


def test_a_data_folder_in_the_home_of_nobody_is_refused() -> None:
    assert "~no-such-user/x" in refused(data=Path("~no-such-user/x")).problem


def test_a_relative_data_folder_is_one_place_for_every_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each works in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    assert settings_from_flags({**NOTHING, "data": Path("rel")}).data == tmp_path / "rel"
    assert Settings().data.is_absolute()


def test_a_command_without_its_closing_quote_is_told() -> None:
    settings = settings_from_flags({**NOTHING, "command": "python 'unbalanced"})
    with pytest.raises(UserError, match="quotes"):
        webui_command(settings.profiles[0])


def test_a_port_in_use_on_ipv6_alone_is_in_use() -> None:
    if not preflight._has_ipv6():
        pytest.skip("this machine has no IPv6 loopback")
    with socket.socket(socket.AF_INET6) as taken:
        taken.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        taken.bind(("::1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UserError, match=f"::1 port {port}"):
            preflight.check_ports(load(environ={}, flags={"listen": f"localhost:{port}", "operators": "127.0.0.1:1"}))


def test_browsers_and_operators_do_not_share_a_port() -> None:
    settings = load(environ={}, flags={"listen": "localhost:8123", "operators": "127.0.0.1:8123"})
    with pytest.raises(UserError, match="share a port"):
        preflight.check_ports(settings)


def test_a_release_of_nobody_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="atelier status"):
        operators.release("127.0.0.1:1", tmp_path, "")


def test_what_a_webui_says_does_not_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.table(("WHY",), [("\x1b]0;owned\x07[/red]\nroot:",)])
    output.fail(UserError("Its last words: \x1b[2J\r[bold]", "remedy\x07"))
    said = capsys.readouterr()
    assert not {"\x1b", "\x07", "\r"} & set(said.out + said.err)
    assert "[/red] root:" in said.out
    assert "[bold]" in said.err
