"""Cases that only Agones and Kubernetes can have; those of both fleets are in `tests/contract/`."""

from collections.abc import AsyncIterator

import pytest

from tests.agones import kit
from tests.contract.agones_backend import AgonesTestBackend


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if "agones" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.timeout(180))  # the first one waits until a control plane is up


@pytest.fixture
async def agones() -> AsyncIterator[AgonesTestBackend]:
    async with AgonesTestBackend(await kit.needed()).running() as backend:
        yield backend
