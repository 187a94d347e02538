"""What a person sees: rich on a terminal, plain lines elsewhere."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table
from rich.text import Text

from runtime.errors import UserError

_out = Console(highlight=False, soft_wrap=True)
_err = Console(stderr=True, highlight=False, soft_wrap=True)


def plain(text: str) -> str:
    """Without control characters: a WebUI's words, or a name that somebody sent, must not steer the terminal."""
    return "".join(letter if letter.isprintable() else " " for letter in text)


def say(text: str) -> None:
    """One plain line, at once: whoever waits for it may read through a pipe."""
    with suppress(OSError):  # the terminal is gone; what is under way goes on
        _out.print(text, markup=False)


def title(text: str) -> None:
    """A line that stands out on a terminal."""
    with suppress(OSError):
        _out.print(text, style="bold", markup=False)


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """On a terminal the sentence is there, and moves, for as long as the wait lasts; elsewhere nothing is said."""
    if not _out.is_terminal:
        yield
        return
    with _out.status(text):
        yield


def fields(rows: Sequence[tuple[str, str]]) -> None:
    """Names and values in two columns."""
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        say(f"  {name:<{width}}  {value}")


def fail(error: UserError) -> None:
    """The problem and its remedy on the error stream, one line each."""
    _err.print(f"atelier: {plain(error.problem)}", style="red", markup=False)
    if error.remedy:
        _err.print(f"         {plain(error.remedy)}", markup=False)


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table on a terminal; columns padded with blanks elsewhere, so that `awk` reads them."""
    rows = [[plain(cell) for cell in row] for row in rows]
    if _out.is_terminal:
        drawn = Table(*columns, box=None, header_style="dim", pad_edge=False)
        for row in rows:
            drawn.add_row(*(Text(cell) for cell in row))
        _out.print(drawn)
        return
    widths = [max(len(cell) for cell in column) for column in zip(columns, *rows, strict=True)]
    for row in (columns, *rows):
        say("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())


@dataclass(frozen=True, slots=True)
class Finding:
    """What `atelier doctor` found: `verdict` is ok, note or fault; only a fault makes the exit code non-zero."""

    verdict: str
    subject: str
    detail: str
    remedy: str = ""


_MARKS = {"ok": ("+", "green"), "note": ("~", "yellow"), "fault": ("x", "red")}


def finding(found: Finding) -> None:
    mark, style = _MARKS[found.verdict]
    _out.print(plain(f"{mark} {found.subject}: {found.detail}"), style=style, markup=False)
    if found.remedy:
        say(f"    {plain(found.remedy)}")


def duration(seconds: float) -> str:
    """As people say it: 45 s, 12 min, 3 h 5 min."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60} min"
