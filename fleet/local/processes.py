"""Processes found by a mark in their environment, and ended. Standard library only: the guard is made of it.

A mark is inherited by whatever a program starts, however it forks or detaches; a child of a marked process that has
cleaned its environment counts as marked too.
"""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_LOOK_SECONDS = 0.02


class Process(NamedTuple):
    """A process for good: its start time (clock ticks since boot) tells it from a later one with the same pid."""

    pid: int
    started: int


class _Stat(NamedTuple):
    state: bytes
    parent: int
    started: int


def find(mark: str) -> set[Process]:
    """Processes whose environment has `mark` (NAME=value), and their descendants; never this one, and no zombies."""
    wanted = b"\0" + mark.encode() + b"\0"
    stats: dict[int, _Stat] = {}
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            pid = int(entry.name)
            with suppress(OSError):
                stats[pid] = _stat(pid)
                if wanted in b"\0" + (entry / "environ").read_bytes() + b"\0":
                    found.add(pid)
    while children := {pid for pid, stat in stats.items() if stat.parent in found} - found:
        found |= children
    return {Process(pid, stats[pid].started) for pid in found - {os.getpid()} if stats[pid].state not in (b"Z", b"X")}


def end(mark: str, seconds: float) -> set[Process]:
    """SIGKILL all that carry `mark`, and look again until two looks in a row find none.

    Blocks. Returns who is left after `seconds`: they sleep in the kernel and cannot be killed now.
    """
    deadline = time.monotonic() + seconds
    clean = 0
    while True:
        found = find(mark)
        clean = 0 if found else clean + 1
        if clean == 2 or (found and time.monotonic() > deadline):
            return found
        for process in found:
            _kill(process)
        time.sleep(_LOOK_SECONDS)


def _kill(process: Process) -> None:
    """By pidfd: once it is open and the start time still fits, the pid cannot become another process's."""
    with suppress(OSError):
        handle = os.pidfd_open(process.pid)
        try:
            if _stat(process.pid).started == process.started:
                signal.pidfd_send_signal(handle, signal.SIGKILL)
        finally:
            os.close(handle)


def _stat(pid: int) -> _Stat:
    """From proc_pid_stat(5); the name in parentheses may hold anything, so what follows the last one is read."""
    fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
    return _Stat(fields[0], int(fields[1]), int(fields[19]))
