"""The backends that run the cases. A new one is a new name here and a file that implements `Backend`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.backend import Backend
from tests.contract.local_backend import LocalTestBackend


@pytest.fixture(params=["local"])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    assert request.param == "local"
    async with LocalTestBackend(tmp_path).running() as running:
        yield running
