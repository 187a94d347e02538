"""Runs the WebUI's process, restarts it when it dies, and lets the sidecars control it: the first process of its container.

A container's process cannot be restarted by another container, so this one is and stays the container's process, and
the WebUI is its child. It is one file of nothing but the standard library, for Python 3.8 or later, because the WebUI's
own Python runs it. What to run is on its command line.

Control is a Unix stream socket (0600) with one JSON object a line. Requests are {"do": "status"}, "start", "restart",
"stop" and "watch"; the reply, and after "watch" one more for every change, is

    {"state": "waiting" | "running" | "backoff" | "stopping" | "stopped", "pid": number or null, "restarts": starts
     after the first, "since": epoch seconds of this state, "exit": how it last ended (-N: by signal N; 127: could
     not be run) or null, "error": why it could not be run or ended, or null}

A reply says what is so now; what becomes of the request shows on the watch. What is no request is answered
{"error": text}. The connection's end means that the launcher is dead.
"""

from __future__ import annotations  # this file runs on Python 3.8

import argparse
import asyncio
import contextlib
import ctypes
import functools
import json
import logging
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

log = logging.getLogger("launcher")

KILL_SECONDS = 5.0
"""How long the kernel may take to end what was sent SIGKILL (it cannot end what hangs in a driver)."""
WATCHER_BYTES = 1 << 16
"""A watcher that leaves so much unread is disconnected."""


class Launcher:
    """The WebUI's process: what is so (`status`), what is asked (`ask`), and the one task that brings it about."""

    def __init__(self, options: argparse.Namespace, command: Sequence[str]) -> None:
        self._options = options
        self._command = command
        self._output = options.log.open("ab") if options.log else None
        self._wanted = not options.wait
        self._closing = False
        self._requests = 0
        self._changed = asyncio.Event()
        self._watchers: set[asyncio.StreamWriter] = set()
        self._process: subprocess.Popen[bytes] | None = None
        self._starts = 0
        self._exit: int | None = None
        self._error: str | None = None
        self._state, self._since = "waiting", time.time()

    def status(self) -> dict[str, object]:
        return {
            "state": self._state,
            "pid": self._process.pid if self._process else None,
            "restarts": max(0, self._starts - 1),
            "since": round(self._since, 3),
            "exit": self._exit,
            "error": self._error,
        }

    def ask(self, request: str) -> None:
        """Take a request; `supervise` carries it out."""
        if request in ("start", "restart"):
            self._wanted = True
        if request == "stop":
            self._wanted = False
        if request == "stop" or (request == "restart" and self._process):
            self._show("stopping" if self._process else "stopped")
        self._requests += 1
        self._changed.set()

    def close(self) -> None:
        """Stop the WebUI for good; `supervise` then returns."""
        self._closing = True
        self.ask("stop")

    def reap(self) -> None:
        """Collect every child that has ended, adopted orphans too (SIGCHLD)."""
        with contextlib.suppress(ChildProcessError):
            while True:
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid == 0:
                    break
                if self._process and pid == self._process.pid:
                    self._exit = -os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)
                    self._process.returncode = self._exit  # it is waited for here, not by Popen
                    self._process = None
                    self._show("backoff" if self._state == "running" else self._state)
        self._changed.set()

    async def supervise(self) -> None:
        """Keep the process as it is wanted, until `close`. Only this starts and ends it."""
        pause = self._options.backoff
        while await self._wait(lambda: self._wanted or self._closing) and not self._closing:
            started = time.monotonic()
            self._spawn()
            await self._wait(lambda: not self._process or self._state == "stopping")
            requests = self._requests
            await self._end()
            if self._state != "backoff" or time.monotonic() - started >= self._options.steady:
                pause = self._options.backoff
            if self._state == "backoff":
                log.warning("%s; starting again in %g s", self._error or f"it ended with code {self._exit}", pause)
                await self._wait(functools.partial(self._asked_since, requests), pause)
                pause = min(2 * pause, self._options.backoff_limit)
            elif not self._wanted:
                self._show("stopped")

    def _spawn(self) -> None:
        self._starts += 1
        self._error = None
        try:
            self._process = subprocess.Popen(
                self._command,
                cwd=self._options.work,
                stdin=subprocess.DEVNULL,
                stdout=self._output,
                stderr=self._output,
                start_new_session=True,
            )
        except OSError as error:
            self._exit, self._error = 127, f"cannot run {error.filename or self._command[0]}: {error.strerror}"
            self._show("backoff")
        else:
            self._show("running")
            log.info("started %s as process %d", self._command[0], self._process.pid)

    async def _end(self) -> None:
        """End everything that the WebUI started and has left: SIGTERM, and SIGKILL when that did not do."""
        for number, seconds in ((signal.SIGTERM, self._options.stop_seconds), (signal.SIGKILL, KILL_SECONDS)):
            told: set[int] = set()
            if await self._wait(functools.partial(self._tell, number, told), seconds):
                return
            log.warning("processes %s did not end on %s", sorted(told), number.name)
        self._error = "processes of the WebUI cannot be ended"

    def _tell(self, number: int, told: set[int]) -> bool:
        """Send the signal once to each process of the WebUI; whether there is none any more."""
        left = descendants(os.getpid())
        for pid in left - told:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, number)
        told |= left
        return not left

    async def _wait(self, condition: Callable[[], bool], seconds: float | None = None) -> bool:
        """Wait until the condition holds, at most so long; it is looked at after every request and every end of a child."""

        async def holds() -> None:
            while not condition():
                self._changed.clear()
                await self._changed.wait()

        try:
            await asyncio.wait_for(holds(), seconds)
        except asyncio.TimeoutError:  # noqa: UP041 - another class before Python 3.11
            return condition()
        return True

    def _asked_since(self, requests: int) -> bool:
        return self._requests != requests

    def _show(self, state: str) -> None:
        self._state, self._since = state, time.time()
        for writer in list(self._watchers):
            writer.write(encode(self.status()))
            if writer.transport.get_write_buffer_size() > WATCHER_BYTES:
                writer.transport.abort()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer one client of the control socket until it goes."""
        try:
            async for line in reader:
                writer.write(encode(self._answer(line, writer)))
                await writer.drain()
        except ValueError:
            writer.write(encode({"error": "the line is too long"}))
        except (ConnectionError, asyncio.CancelledError):
            pass  # one of the two is going, and the connection's end says so
        finally:
            self._watchers.discard(writer)
            writer.close()

    def _answer(self, line: bytes, writer: asyncio.StreamWriter) -> dict[str, object]:
        try:
            request = json.loads(line)["do"]
        except (ValueError, TypeError, KeyError, RecursionError):
            request = None
        if request == "watch":
            self._watchers.add(writer)
        elif request in ("start", "restart", "stop"):
            self.ask(request)
        elif request != "status":
            return {"error": 'one of {"do": "status" | "start" | "restart" | "stop" | "watch"} is needed'}
        return self.status()


def encode(message: dict[str, object]) -> bytes:
    return json.dumps(message).encode() + b"\n"


def descendants(root: int) -> set[int]:
    """Every living process below `root`. One that adopts orphans keeps all of its own, however they forked."""
    parents = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):  # it ended meanwhile
            state, parent = stat.read_text(errors="replace").rpartition(")")[2].split()[:2]
            if state not in "ZX":
                parents[int(stat.parent.name)] = int(parent)
    found: set[int] = set()
    above = {root}
    while above:
        above = {pid for pid, parent in parents.items() if parent in above} - found
        found |= above
    return found


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent ends, as a container's process 1 is without asking."""
    set_child_subreaper = 36  # linux/prctl.h
    ctypes.CDLL(None).prctl(set_child_subreaper, 1, 0, 0, 0)


def listen(path: str) -> socket.socket:
    """A listening Unix socket of mode 0600 in place of one left by a dead launcher. Raises `OSError`."""
    listener = socket.socket(socket.AF_UNIX)
    try:
        listener.connect(path)
    except (FileNotFoundError, ConnectionRefusedError):
        Path(path).unlink(missing_ok=True)
    else:
        raise OSError(None, "another launcher listens there", path)
    before = os.umask(0o177)
    try:
        listener.bind(path)
    finally:
        os.umask(before)
    listener.listen()
    return listener


def parse(arguments: Sequence[str]) -> tuple[argparse.Namespace, Sequence[str]]:
    parser = argparse.ArgumentParser(usage="launcher.py [options] -- COMMAND...", description=__doc__.partition("\n")[0])
    add, env = parser.add_argument, os.environ.get
    add("--socket", default=env("ATELIER_LAUNCHER_SOCKET"), help="control socket ($ATELIER_LAUNCHER_SOCKET)")
    add("--work", type=Path, default=env("ATELIER_WORK"), help="where COMMAND runs ($ATELIER_WORK; default: here)")
    add("--wait", action="store_true", help="do not start before `start` or `restart` is asked for")
    add("--log", type=Path, help="file to append COMMAND's output to (default: this process's own output)")
    add("--stop-seconds", type=float, default=10.0, help="from SIGTERM to SIGKILL (default: %(default)s)")
    add("--backoff", type=float, default=1.0, help="seconds before a restart, doubled each time (default: %(default)s)")
    add("--backoff-limit", type=float, default=30.0, help="but no more than this (default: %(default)s)")
    add("--steady", type=float, default=60.0, help="having lived so long, it begins anew (default: %(default)s)")
    split = list(arguments).index("--") if "--" in arguments else len(arguments)
    options, command = parser.parse_args(arguments[:split]), arguments[split + 1 :]
    if not options.socket or not command:
        parser.error("--socket PATH and -- COMMAND are needed")
    return options, command


async def run(options: argparse.Namespace, command: Sequence[str], listener: socket.socket) -> None:
    """Serve and supervise until SIGTERM or SIGINT."""
    launcher = Launcher(options, command)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGCHLD, launcher.reap)
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, launcher.close)
    server = await asyncio.start_unix_server(launcher.serve, sock=listener)
    await launcher.supervise()
    server.close()


def main() -> int:
    options, command = parse(sys.argv[1:])
    logging.basicConfig(level=logging.INFO, format="launcher: %(message)s")
    adopt_orphans()
    try:
        with listen(options.socket) as listener:
            asyncio.run(run(options, command, listener))
            Path(options.socket).unlink(missing_ok=True)
    except OSError as error:
        log.error("%s: %s", error.filename or options.socket, error.strerror or error)  # noqa: TRY400 - for a person
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
