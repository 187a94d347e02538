"""The generated stubs are those of `proto/`, and a stale one is found."""

import shutil
from pathlib import Path

import pytest

from agones_sdk import generate


@pytest.fixture(scope="module")
def fresh() -> dict[str, bytes]:
    return dict(generate.generate(generate.ROOT))


@pytest.fixture
def checkout(tmp_path: Path, fresh: dict[str, bytes]) -> Path:
    """A root with the real `proto/` and fresh stubs."""
    shutil.copytree(generate.ROOT / "proto", tmp_path / "proto")
    (tmp_path / generate.PACKAGE).mkdir(parents=True)
    generate.write(fresh, tmp_path / generate.PACKAGE)
    return tmp_path


def test_the_committed_stubs_are_fresh(fresh: dict[str, bytes]) -> None:
    assert generate.stale(fresh, generate.ROOT / generate.PACKAGE) == []


def test_a_changed_proto_makes_the_check_fail_with_one_line_that_names_the_remedy(checkout: Path) -> None:
    generate.main(["--check"], root=checkout)
    proto = checkout / "proto" / "sdk.proto"
    proto.write_text(proto.read_text().replace("string key = 1;", "string key = 7;"))
    with pytest.raises(SystemExit) as exit_:
        generate.main(["--check"], root=checkout)
    message = str(exit_.value.code)
    assert "make proto" in message
    assert "sdk_pb2.py" in message
    assert "\n" not in message
    generate.main([], root=checkout)
    generate.main(["--check"], root=checkout)


def test_missing_edited_and_orphaned_stubs_are_stale_and_written_anew(checkout: Path, fresh: dict[str, bytes]) -> None:
    folder = checkout / generate.PACKAGE
    (folder / "beta_pb2.pyi").unlink()
    (folder / "sdk_pb2.py").write_text("# edited by hand\n")
    (folder / "gone_pb2.py").write_text("")
    assert generate.stale(fresh, folder) == ["beta_pb2.pyi", "gone_pb2.py", "sdk_pb2.py"]
    generate.write(fresh, folder)
    assert generate.stale(fresh, folder) == []


def test_a_proto_with_a_mistake_ends_with_the_compilers_words(checkout: Path) -> None:
    (checkout / "proto" / "sdk.proto").write_text("no proto")
    with pytest.raises(SystemExit, match=r"sdk\.proto:1"):
        generate.main([], root=checkout)


def test_the_folder_of_protos_is_no_package() -> None:
    assert not (generate.ROOT / "proto" / "__init__.py").exists()
