from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from allocator.identity.secret import ensure_secret, read_secret
from runtime.errors import UserError


def test_a_secret_is_made_once_and_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "data" / "installation.key"
    assert ensure_secret(file) == ensure_secret(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert [entry.name for entry in file.parent.iterdir()] == ["installation.key"]


def test_processes_that_start_at_once_agree_on_the_secret(tmp_path: Path) -> None:
    with ThreadPoolExecutor(16) as pool:
        assert len(set(pool.map(ensure_secret, [tmp_path / "key"] * 64))) == 1


def test_a_secret_that_others_can_read_is_refused_with_the_remedy(tmp_path: Path) -> None:
    file = tmp_path / "key"
    ensure_secret(file)
    file.chmod(0o644)
    with pytest.raises(UserError, match="chmod 600"):
        read_secret(file)


@pytest.mark.parametrize("content", ["", "nonsense", "abcd"])
def test_a_broken_secret_is_never_replaced_silently(tmp_path: Path, content: str) -> None:
    file = tmp_path / "key"
    file.write_text(content)
    file.chmod(0o600)
    with pytest.raises(UserError, match="backup"):
        ensure_secret(file)
    assert file.read_text() == content


def test_a_folder_that_cannot_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="data folder"):
        ensure_secret(tmp_path / "file" / "key")
