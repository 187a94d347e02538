"""The whole of Atelier, started as a user starts it."""

from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from tests.running_atelier import RunningAtelier, Up, short_folder


@pytest.fixture
def data() -> Iterator[Path]:
    """The data folder."""
    with short_folder() as folder:
        yield folder


@pytest.fixture
def up(data: Path) -> Up:
    """`async with up("--size", "2", EASEL_STEP_SECONDS="0.01") as atelier: ...`"""

    def make(*options: str, **environment: str) -> RunningAtelier:
        return RunningAtelier(data, options, environment)

    return make


@pytest.fixture
async def atelier(up: Up) -> AsyncIterator[RunningAtelier]:
    """Two easels, one of them warm, quick to draw."""
    async with AsyncExitStack() as stack:
        yield await stack.enter_async_context(up("--size", "2", EASEL_STEP_SECONDS="0.01"))
