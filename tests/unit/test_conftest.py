"""The leak checks themselves can fail."""

import subprocess
import sys
from pathlib import Path

import pytest

LEAKS = {
    "task": "async def test_it():\n    import asyncio\n    globals()['kept'] = asyncio.ensure_future(asyncio.sleep(60))\n",
    "socket": "def test_it():\n    import socket\n    globals()['kept'] = socket.create_server(('127.0.0.1', 0))\n",
    "process": "def test_it():\n    import subprocess\n    globals()['kept'] = subprocess.Popen(['sleep', '2'])\n",
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_test_that_leaks_fails(leak: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    conftest = (request.config.rootpath / "tests" / "conftest.py").read_text()
    (tmp_path / "conftest.py").write_text(conftest.replace("_LEAK_DEADLINE = 5.0", "_LEAK_DEADLINE = 0.1"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    (tmp_path / "test_it.py").write_text(LEAKS[leak])
    command = [sys.executable, "-m", "pytest", "-q", str(tmp_path)]
    run = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, timeout=30)
    assert f"leaked {leak}" in run.stdout, run.stdout
    assert run.returncode == 1
