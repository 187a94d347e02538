"""The cluster kit that lies beside the repository: a real control plane, one for all test processes of this machine.

The first process that needs it has it brought up by a keeper (`tests.agones.keeper`), which takes it down again when
the last one has ended, by kill -9 too: each holds a shared lock for as long as it lives.
"""

import asyncio
import fcntl
import functools
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

_BESIDE = Path(__file__).resolve().parents[3] / "shared"
_KIT = _BESIDE / "cluster" / "cluster"
CRDS = _BESIDE / "agones" / "crds.yaml"
FOLDER = Path(tempfile.gettempdir()) / f"atelier-test-cluster-{os.getuid()}"
USERS = FOLDER / "users"
KEEPER = FOLDER / "keeper"
LOG = FOLDER / "keeper.log"
_START_SECONDS = 150


def lacking() -> str | None:
    """Why no cluster can be had here."""
    if not _KIT.exists():
        return f"no cluster kit beside the repository ({_KIT.parent.name}/), whose kube-apiserver these tests need"
    if not CRDS.exists():
        return "no Agones CRDs beside the repository"
    if not _built() and not os.environ.get("ATELIER_TEST_NOTHING_LEFT_OUT"):
        return f"the cluster kit is not built: {_KIT.parent.name}/cluster build (minutes, once)"
    return None


async def needed() -> Path:
    """The running cluster's kubeconfig. Skips the test that asks where there is no cluster to be had."""
    if reason := lacking():
        pytest.skip(reason)
    return await asyncio.to_thread(joined)


@functools.cache
def joined() -> Path:
    """The running cluster's kubeconfig. This process uses the cluster from now until it ends."""
    FOLDER.mkdir(mode=0o700, exist_ok=True)
    fcntl.flock(_opened(USERS), fcntl.LOCK_SH)
    start = _opened(FOLDER / "start")
    fcntl.flock(start, fcntl.LOCK_EX)
    if (nobody := locked(KEEPER)) is not None:
        os.close(nobody)
        keeper = [sys.executable, "-m", "tests.agones.keeper"]
        done = subprocess.run(
            keeper, cwd=Path(__file__).parents[2], capture_output=True, text=True, timeout=_START_SECONDS, check=False
        )
        assert done.returncode == 0, f"no cluster: {done.stdout}{done.stderr}\n{LOG.read_text()[-2000:]}"
    os.close(start)
    return _kubeconfig()


def locked(path: Path) -> int | None:
    """An exclusive lock on it for as long as the descriptor is open; None when somebody else has one."""
    descriptor = _opened(path)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


def running() -> bool:
    return subprocess.run([_KIT, "status"], capture_output=True, check=False).returncode == 0


def up() -> Path:
    """Start what does not run yet. The kubeconfig."""
    _command("up", "--control-plane-only")
    return _kubeconfig()


def down() -> None:
    _command("down")


def serving_certificate(folder: Path, host: str) -> None:
    """`tls.crt`, `tls.key` and `ca.crt` in `folder`."""
    _command("serving-cert", str(folder), host)


def _command(*arguments: str) -> None:
    subprocess.run([_KIT, *arguments], check=True, stdout=subprocess.DEVNULL)


def _opened(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def _built() -> bool:
    cache = os.environ.get("CLUSTER_KIT_CACHE")
    folders = [Path(cache)] if cache else list(Path("~/.cache/cluster-kit").expanduser().glob("*"))
    return any((folder / "kube.stamp").exists() for folder in folders)


def _kubeconfig() -> Path:
    state = Path(os.environ.get("CLUSTER_KIT_STATE") or "~/.local/state/cluster-kit").expanduser()
    return state / "admin.kubeconfig"
