"""Generates the gRPC stubs in `agones_sdk/stubs/` from `proto/`; `--check` tells whether they are fresh.

Run as `python -m agones_sdk.generate` in a checkout with the development dependencies; nothing installed needs it.
"""

import argparse
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = "agones_sdk/stubs"
"""protoc is told that the files of `proto/` lie here, so the stubs import each other by their full name."""
PLUGINS = ("protoc-gen-mypy", "protoc-gen-mypy_grpc")


def generate(root: Path) -> Mapping[str, bytes]:
    """Content of each stub by file name, from `proto/` below `root`. Exits with protoc's words when it refuses a file."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = subprocess.run(_protoc(root / "proto", Path(folder)), capture_output=True, text=True, check=False)
        if outcome.returncode != 0:
            sys.exit(outcome.stderr.strip())
        return {path.name: path.read_bytes() for path in (Path(folder) / PACKAGE).iterdir()}


def _protoc(sources: Path, output: Path) -> list[str]:
    scripts = Path(sysconfig.get_path("scripts"))
    return [
        *(sys.executable, "-m", "grpc_tools.protoc", f"-I{PACKAGE}={sources}"),
        *(f"--plugin={name}={scripts / name}" for name in PLUGINS),
        *(f"--python_out={output}", f"--grpc_python_out={output}"),
        *(f"--mypy_out=quiet:{output}", f"--mypy_grpc_out=quiet,only_async:{output}"),
        *(f"{PACKAGE}/{path.name}" for path in sorted(sources.glob("*.proto"))),
    ]


def stale(wanted: Mapping[str, bytes], folder: Path) -> list[str]:
    """Names of the stubs in `folder` that are missing, differ from `wanted`, or have no source any more."""
    present = {path.name: path.read_bytes() for path in folder.glob("*_pb2*.py*")}
    return sorted(name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name))


def write(wanted: Mapping[str, bytes], folder: Path) -> None:
    """Make the stubs in `folder` those that are `wanted`."""
    for name in stale(wanted, folder):
        if name in wanted:
            (folder / name).write_bytes(wanted[name])
        else:
            (folder / name).unlink()


def main(arguments: Sequence[str] | None = None, *, root: Path = ROOT) -> None:
    parser = argparse.ArgumentParser(prog="python -m agones_sdk.generate", description="Generate the gRPC stubs from proto/.")
    parser.add_argument("--check", action="store_true", help="change nothing; exit with 1 when the stubs are stale")
    check: bool = parser.parse_args(arguments).check
    folder, wanted = root / PACKAGE, generate(root)
    if not check:
        write(wanted, folder)
    elif names := stale(wanted, folder):
        sys.exit(f"{PACKAGE} is stale ({', '.join(names)}): run `make proto`")


if __name__ == "__main__":
    main()
