"""The virtual environment of the gradio application, made when a test first needs it."""

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).parent
LOCK = FOLDER / "gradio_app" / "requirements.lock"
APP = FOLDER / "gradio_app" / "app.py"
ENVIRONMENT = FOLDER / ".gradio"


def python() -> Path:
    """Its interpreter; half a minute the first time, nothing afterwards."""
    interpreter, stamp = ENVIRONMENT / "bin" / "python", ENVIRONMENT / "lock"
    if not stamp.exists() or stamp.read_text() != LOCK.read_text():
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        pip = [str(interpreter), "-m", "pip", "--quiet", "--disable-pip-version-check"]
        subprocess.run([*pip, "install", "--require-hashes", "--requirement", str(LOCK)], check=True)
        stamp.write_text(LOCK.read_text())
    return interpreter
