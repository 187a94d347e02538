"""Unix sockets that only their owner can connect to."""

import os
import socket
from pathlib import Path


def bind_private(path: Path) -> socket.socket:
    """Listen at `path`, mode 0600, instead of whatever an earlier process left there. Raises `OSError`."""
    path.unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # the socket must never be there for others, not even for a moment
    try:
        listener.bind(str(path))
        listener.listen(128)
    except OSError:
        listener.close()
        raise
    finally:
        os.umask(before)
    return listener
