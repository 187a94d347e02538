"""`python -m user_init`: prepares the user's folders once the GameServer is theirs."""

import asyncio
import logging
import os
import signal
import socket
import sys
from contextlib import suppress

from agones_sdk.client import Client
from runtime.clock import SystemClock
from runtime.errors import UserError
from user_init.service import UserInit
from user_init.settings import Settings, parse
from webuis import registry


def main() -> int:
    """Run until SIGTERM. The exit code: 0 when told to stop, 2 for what a person has to mend."""
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    try:
        settings = parse(sys.argv[1:], os.environ)
        with _listen(settings) as listening:
            asyncio.run(_run(settings, listening))
    except UserError as error:
        print(f"user_init: {error}", file=sys.stderr)  # noqa: T201 - for the person who started it
        return 2
    return 0


def _listen(settings: Settings) -> socket.socket:
    try:
        return socket.create_server((settings.bind, settings.port))
    except OSError as error:
        problem = f"Cannot listen on {settings.bind} port {settings.port}: {os.strerror(error.errno or 0)}."
        raise UserError(problem, "Choose another with --port or --bind.") from error


async def _run(settings: Settings, listening: socket.socket) -> None:
    loop, me = asyncio.get_running_loop(), asyncio.current_task()
    assert me is not None
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, me.cancel)
    async with Client(settings.sdk_port) as client:
        user_init = UserInit(settings, registry.get(settings.webui), client, SystemClock())
        with suppress(asyncio.CancelledError):
            await user_init.run(listening)


if __name__ == "__main__":
    sys.exit(main())
