"""Keeps the cluster up, and Agones' stand-in in it, while a test process uses it: `python -m tests.agones.keeper`.

The command returns when both serve; what serves is its child, which outlives it. A cluster that ran before goes on
running, without what was added to it; any other is taken down.
"""

import asyncio
import os
import signal
import sys

from fleet.agones.client import ApiServer
from fleet.agones.transport import Access, transport
from tests.agones import kit
from tests.agones.stand_in import StandIn

_LOOK_SECONDS = 0.5
_OURS = kit.FOLDER / "started"
"""There while the cluster is one that a keeper started, even a keeper that was killed."""


def main() -> None:
    lock = kit.locked(kit.KEEPER)
    if lock is None:
        sys.exit("another keeper is at work")
    reader, writer = os.pipe()
    if os.fork():
        os.close(writer)
        sys.exit(None if os.read(reader, 1) else "the keeper ended before the cluster was up")
    os.close(reader)
    os.setsid()
    log = os.open(kit.LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    for stream in (0, 1, 2):
        os.dup2(log, stream)
    _keep(writer)


def _keep(ready: int) -> None:
    if kit.running() and not _OURS.exists():
        asyncio.run(_serve(ready, leave_clean=True))
        return
    _OURS.touch()
    try:
        asyncio.run(_serve(ready, leave_clean=False))
    finally:
        kit.down()
        _OURS.unlink()


async def _serve(ready: int, *, leave_clean: bool) -> None:
    kubeconfig = await asyncio.to_thread(kit.up)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with transport(Access(str(kubeconfig))) as way:
        stand_in = StandIn(ApiServer(way, call_seconds=30))
        await stand_in.install()
        async with stand_in.serving():
            os.write(ready, b"1")
            os.close(ready)
            await _until_unused(stop)
        if leave_clean:
            await stand_in.remove()


async def _until_unused(stop: asyncio.Event) -> None:
    """Return with the users' lock held: whoever comes now waits until this process has ended."""
    while not stop.is_set() and kit.locked(kit.USERS) is None:
        await asyncio.sleep(_LOOK_SECONDS)


if __name__ == "__main__":
    main()
