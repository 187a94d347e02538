"""What user_init asks of the WebUI and of its launcher. Nothing here may keep a user from their WebUI but `start`."""

import asyncio
import json
from collections.abc import Iterable, Mapping

from runtime.http import HttpError, call
from webuis.base import Call, Folder

REFRESH_SECONDS = 10.0
SETTINGS_SECONDS = 30.0
"""A setting may make the WebUI load another model before it answers."""
LAUNCHER_SECONDS = 5.0
_HOST = "127.0.0.1"


def payload(defaults: object, content: bytes) -> Mapping[str, object]:
    """The user's settings file over the description's own. Raises `ValueError` when it is not a JSON object."""
    try:
        settings = json.loads(content)
    except RecursionError:
        raise ValueError("the settings are nested too deeply") from None
    if not isinstance(settings, dict):
        raise ValueError("the settings are not a JSON object")  # noqa: TRY004 - the value is wrong, not its type
    return {**(defaults if isinstance(defaults, dict) else {}), **settings}


async def apply(port: int, how: Call, content: bytes) -> None:
    """Apply the user's settings through the WebUI's API. Raises `HttpError`, `ValueError`."""
    await _ask(port, Call(how.method, how.path, payload(how.payload, content)), SETTINGS_SECONDS)


async def refresh(port: int, folders: Iterable[Folder]) -> None:
    """Make the WebUI read these folders anew, each of their calls once. Raises `HttpError`."""
    calls = {(one.method, one.path): one for folder in folders for one in folder.refresh}
    for one in calls.values():
        await _ask(port, one, REFRESH_SECONDS)


async def start(launcher: str) -> None:
    """Let go a WebUI that waited for its user; one that runs already goes on. Raises `OSError`."""
    async with asyncio.timeout(LAUNCHER_SECONDS):
        reader, writer = await asyncio.open_unix_connection(launcher)
        try:
            writer.write(b'{"do": "start"}\n')
            if not await reader.readline():
                raise ConnectionResetError("the launcher hung up")
        finally:
            writer.transport.abort()


async def _ask(port: int, one: Call, timeout: float) -> None:
    reply = await call(_HOST, port, one.method, one.path, payload=one.payload, timeout=timeout)
    if reply.status != 200:
        raise HttpError(f"{one.method} {one.path} on port {port}: status {reply.status}")
