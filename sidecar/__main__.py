"""`python -m sidecar`."""

import asyncio
import logging
import os
import signal
import sys

from agones_sdk.client import Client
from runtime.clock import SystemClock
from runtime.errors import UserError
from sidecar.controller import Controller
from sidecar.options import Options, parse


async def run(options: Options) -> None:
    """Be the sidecar until SIGTERM or SIGINT."""
    loop = asyncio.get_running_loop()
    async with Client(options.sdk_port) as client, asyncio.TaskGroup() as tasks:
        work = tasks.create_task(Controller(options, client, SystemClock()).run())
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, work.cancel)


def main() -> int:
    try:
        options = parse(sys.argv[1:], os.environ)
    except UserError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    logging.basicConfig(level=options.log_level, format="sidecar: %(message)s")
    asyncio.run(run(options))
    return 0


if __name__ == "__main__":
    sys.exit(main())
