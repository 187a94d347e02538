"""The backends that run the cases. A new one is a new name here and a file that implements `Backend`."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.agones import kit
from tests.contract.agones_backend import AgonesTestBackend
from tests.contract.backend import Backend
from tests.contract.local_backend import LocalTestBackend

AGONES = pytest.param("agones", marks=pytest.mark.timeout(180))  # the first one waits until a control plane is up


@pytest.fixture(params=["local", AGONES])
async def backend(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Backend]:
    if request.param == "local":
        async with LocalTestBackend(tmp_path).running() as local:
            yield local
        return
    async with AgonesTestBackend(await kit.needed()).running() as agones:
        yield agones
