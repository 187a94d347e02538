"""`python -m webuis.easel`: serves Easel."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

from runtime.clock import SystemClock
from runtime.errors import UserError
from webuis.easel.failures import CRASH_CODE, Start
from webuis.easel.server import application

_STOP_SECONDS = 1.0
log = logging.getLogger("easel")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m webuis.easel",
        description="Easel, the demo WebUI: no model, no GPU. It speaks the HTTP API of AUTOMATIC1111's WebUI and paints "
        "landscapes; the same prompt, seed, size, steps and checkpoint give the same image.",
        epilog="Every flag can also be set by the environment, --step-seconds as EASEL_STEP_SECONDS. While Easel runs, "
        'POST /easel/fail {"how": "hang" | "crash" | "stop-answering" | "slow" | "none"} asks for a failure.',
    )
    failing = parser.add_argument_group("failures at the start, for tests")
    _flag(parser, "host", str, "127.0.0.1", "address to listen on")
    _flag(parser, "port", int, 7860, "port to listen on; 0 takes a free one")
    _flag(parser, "data", Path, Path(), "folder with outputs/, settings/ and models/")
    _flag(parser, "models", Path, None, "folder whose Stable-diffusion/ holds the checkpoints (default: DATA/models)")
    _flag(parser, "step-seconds", float, 0.08, "how long each sampling step takes; makes a generation long")
    _flag(failing, "start-seconds", float, 0.0, "answer 503 for so long before being ready")
    _flag(failing, "crash-after", float, 0.0, f"end with code {CRASH_CODE} after so many seconds; 0 is never")
    _flag(failing, "exit-at-once", int, None, "end with this code before listening")
    never = os.environ.get("EASEL_NEVER_READY", "") not in {"", "0"}
    failing.add_argument("--never-ready", action="store_true", default=never, help="answer 503 for ever")
    return parser.parse_args()


def _flag(group: argparse._ActionsContainer, name: str, kind: type, default: object, text: str) -> None:
    given = os.environ.get("EASEL_" + name.upper().replace("-", "_"), default)
    shown = "" if default is None else f" (default: {default})"
    group.add_argument(f"--{name}", type=kind, default=given, metavar=kind.__name__.upper(), help=text + shown)


async def _serve(given: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT. Raises `UserError` when the port or the folder cannot be had."""
    if not os.access(given.data, os.W_OK | os.X_OK):
        raise UserError(f"Easel cannot write to {given.data}.", "Name a folder with --data that exists and is yours.")
    start = Start(given.start_seconds, given.never_ready, given.crash_after)
    app = application(
        SystemClock(), given.data, given.models or given.data / "models", step_seconds=given.step_seconds, start=start
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=_STOP_SECONDS)
    ended = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, ended.set)
    try:
        await runner.setup()
        await web.TCPSite(runner, given.host, given.port).start()
        log.info("Easel serves on http://%s:%s (demo: no model, no GPU)", *runner.addresses[0][:2])
        await ended.wait()
    except OSError as error:
        problem = f"Easel cannot listen on {given.host}:{given.port}: {error.strerror}."
        raise UserError(problem, "Name a free port with --port.") from error
    finally:
        await runner.cleanup()


def main() -> int:
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    given = _arguments()
    if given.exit_at_once is not None:
        log.error("Easel ends at once with code %s, as --exit-at-once asks.", given.exit_at_once)
        return int(given.exit_at_once)
    try:
        asyncio.run(_serve(given))
    except UserError as error:
        log.error("%s", error)  # noqa: TRY400 - a person's mistake needs no traceback
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
