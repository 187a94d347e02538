"""The `atelier` command."""

import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import ParamSpec, Unpack

import click

from cli import doctor as doctor_command
from cli import operators, output
from cli.compose import Flags, Place, settings_at, settings_from_flags
from runtime.errors import UserError

P = ParamSpec("P")
SETTINGS_ENV = "ATELIER_SETTINGS"


def _shared(command: Callable[P, None]) -> Callable[P, None]:
    """Options that every command knows, so that all of them find the same Atelier."""
    options = (
        click.option(
            "--settings", "settings_file", type=click.Path(path_type=Path), envvar=SETTINGS_ENV, help="Settings, a YAML file."
        ),
        click.option("--data", type=click.Path(path_type=Path), help="Users' files and shared models.  [default: ~/atelier]"),
        click.option("--port", type=int, help="For browsers; operators get the next one.  [default: 8000]"),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _profiles(command: Callable[P, None]) -> Callable[P, None]:
    """Options that say which WebUIs there are."""
    options = (
        click.option("--webui", help="Which WebUI: easel (a demo that needs no GPU) or a1111.  [default: easel]"),
        click.option(
            "--command", help="How it starts, instead of its description's command; {port} {work} {shared} are filled in."
        ),
        click.option("--size", type=int, help="At most so many WebUIs at once.  [default: 4, or one a GPU]"),
        click.option("--warm", type=int, help="So many are kept ready for the next user.  [default: 1]"),
        click.option(
            "--idle-timeout", help="A WebUI is taken back after so long without anybody, such as 30m.  [default: 30m]"
        ),
        click.option("--profile-file", type=click.Path(path_type=Path), help="Several profiles, a YAML file."),
    )
    for option in reversed(options):
        command = option(command)
    return command


def _one_line_errors(command: Callable[P, None]) -> Callable[P, None]:
    @wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except UserError as error:
            output.fail(error)
            sys.exit(1)

    return run


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(package_name="webui-atelier", prog_name="atelier")
def main() -> None:
    """A Stable Diffusion WebUI of their own for every user, on a GPU that is given back when they are done.

    \b
    atelier up                       serve on http://localhost:8000, stop with Ctrl-C
    atelier status                   who holds which WebUI, since when, and why it is still alive
    atelier release alice  take it back; the files stay
    atelier doctor                   what is missing on this machine, and how to mend it

    Settings come from a YAML file (--settings), then the environment (ATELIER_LISTEN, ATELIER_DATA, ...), then options.
    """


@main.command()
@_shared
@_profiles
@_one_line_errors
def up(**flags: Unpack[Flags]) -> None:
    """Serve the local edition until Ctrl-C or SIGTERM; then everything that it started is stopped.

    Every name is a user: http://alice.localhost:8000 is Alice's WebUI, http://bob.localhost:8000 Bob's. Their images are in
    folders of their own below --data. Users are kept from each other's mistakes, not from each other's code.
    """
    from cli.up import serve

    sys.exit(serve(settings_from_flags(flags)))


@main.command()
@_shared
@click.option("--json", "as_json", is_flag=True, help="For programs.")
@_one_line_errors
def status(*, as_json: bool, **place: Unpack[Place]) -> None:
    """Who holds which WebUI, since when, and why it is still alive."""
    settings = settings_at(place)
    operators.status(settings.operators, settings.data.expanduser(), as_json=as_json)


@main.command()
@click.argument("user")
@_shared
@_one_line_errors
def release(user: str, **place: Unpack[Place]) -> None:
    """Take USER's WebUI back, named as `atelier status` names them. Their files stay."""
    settings = settings_at(place)
    operators.release(settings.operators, settings.data.expanduser(), user)


@main.command()
@_shared
@_profiles
@_one_line_errors
def doctor(**flags: Unpack[Flags]) -> None:
    """What is missing on this machine, and how to mend it. Takes the options of `up`; changes nothing but the data folder."""
    sys.exit(doctor_command.run(settings_from_flags(flags)))


if __name__ == "__main__":
    main()
