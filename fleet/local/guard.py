"""`python -m fleet.local.guard ATELIER_INSTANCE=<id>`: ends what carries the mark once its standard input closes.

The command holds the other end of that pipe. However the command ends, kill -9 included, the kernel closes it. Standard
library only, in a session of its own, deaf to what a terminal sends.
"""

import os
import signal
import sys

from fleet.local import processes

_ROUND_SECONDS = 60.0


def main(mark: str) -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    os.write(1, b"guarding\n")
    while os.read(0, 4096):
        pass
    while processes.end(mark, _ROUND_SECONDS):
        pass


if __name__ == "__main__":
    main(sys.argv[1])
