"""The leak checks themselves can fail."""

import subprocess
import sys

import pytest

LEAKS = {
    "task": "import asyncio\nasync def test_it() -> None:\n    globals()['t'] = asyncio.ensure_future(asyncio.sleep(60))\n",
    "socket": "import socket\ndef test_it():\n    s = globals()['s'] = socket.socket()\n    s.bind(('127.0.0.1', 0)); s.listen()\n",
    "process": "import subprocess\ndef test_it():\n    globals()['p'] = subprocess.Popen(["sleep", "2"])\n",
}


@pytest.mark.parametrize("leak", LEAKS)
def test_a_test_that_leaks_fails(leak: str, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("leak")
    conftest = (request.config.rootpath / "tests" / "conftest.py").read_text().replace("_LEAK_DEADLINE = 5.0", "_LEAK_DEADLINE = 0.1")
    (folder / "conftest.py").write_text(conftest)
    (folder / "pytest.ini").write_text("[pytest]\nasyncio_mode = auto\n")
    (folder / "test_it.py").write_text(LEAKS[leak])
    run = subprocess.run([sys.executable, "-m", "pytest", "-q", str(folder)], capture_output=True, text=True, cwd=folder, timeout=30)
    assert "leaked" in run.stdout, run.stdout
    assert run.returncode == 1
