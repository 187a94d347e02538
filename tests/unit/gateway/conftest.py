"""Every test that needs a loop runs on asyncio's own and on uvloop."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping

import pytest
import uvloop

from tests.unit.gateway.rig import Rig


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    return {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}


@pytest.fixture
async def rig() -> AsyncIterator[Rig]:
    """A gateway on loopback, pages behind it, and a WebUI for `alice` and `bob` each, whose behaviour the test sets."""
    async with Rig() as rig:
        yield rig
