"""`python -m allocator`: one replica. It prints `serving` once browsers are answered."""

import argparse
import logging
import sys
from pathlib import Path

import uvloop

from allocator.app import serve
from allocator.settings import load
from runtime.errors import UserError, first_of


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m allocator", description=__doc__)
    parser.add_argument("--settings", type=Path, required=True, help="settings, a YAML file")
    parser.add_argument("--fleet-socket", type=Path, required=True, help="the local fleet's Unix socket")
    options = parser.parse_args()
    problem: UserError | None = None
    try:
        settings = load(options.settings, {})
        logging.basicConfig(level=settings.log_level.upper(), format="%(levelname)s %(name)s: %(message)s", stream=sys.stderr)
        uvloop.run(serve(settings, options.fleet_socket))
    except* UserError as errors:
        problem = first_of(errors)
    if problem is not None:
        sys.stderr.write(f"atelier: {problem}\n")
    return 1 if problem else 0


if __name__ == "__main__":
    sys.exit(main())
