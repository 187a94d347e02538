"""Secrets of an installation: files that only their owner can read."""

import contextlib
import os
import secrets
from pathlib import Path

from runtime.errors import UserError


def ensure_secret(file: Path) -> bytes:
    """The secret in `file`, made at the first call; 32 bytes as hexadecimal text, mode 0600. Raises `UserError`.

    Two processes that start at once agree: the file appears complete, and only once (hard link of a finished file).
    """
    if not file.exists():
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            _create(file)
        except OSError as error:
            raise UserError(f"Cannot write {file}: {error.strerror}.", "Choose a data folder that you may write to.") from None
    return read_secret(file)


def read_secret(file: Path) -> bytes:
    """The secret in `file`. Raises `UserError` when it is missing, broken, or readable by others."""
    try:
        mode = file.stat().st_mode
        text = file.read_text(encoding="ascii").strip()
        secret = bytes.fromhex(text)
    except OSError as error:
        raise UserError(f"Cannot read {file}: {error.strerror}.", "Is Atelier set up, and are you its owner?") from None
    except ValueError:
        raise UserError(f"{file} is not a secret made by Atelier.", "Restore it from its backup.") from None
    if mode & 0o077:
        raise UserError(f"{file} can be read by others.", f"chmod 600 {file}")
    if len(secret) < 32:
        raise UserError(f"{file} is too short for a secret.", "Restore it from its backup.")
    return secret


def _create(file: Path) -> None:
    draft = file.with_name(f".{file.name}.{os.getpid()}.{secrets.token_hex(4)}")
    with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as stream:
        stream.write(secrets.token_hex(32) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
    try:
        with contextlib.suppress(FileExistsError):
            os.link(draft, file)
    finally:
        draft.unlink()
