"""From the allocation to the user's own WebUI: waits for it, prepares, tells, and watches for new models."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Iterable
from contextlib import aclosing
from functools import partial
from logging import getLogger
from typing import TypeVar

from agones_sdk.backoff import Backoff
from agones_sdk.client import Client
from agones_sdk.errors import SdkError
from agones_sdk.gameserver import GameServer
from agones_sdk.watch import Watch
from runtime.clock import Clock
from runtime.errors import UserError
from runtime.http import HttpError
from runtime.names import PREPARED_ANNOTATION, PREPARED_KEY, GameServerState
from user_init import arrivals, poll, webui
from user_init.assignment import Assignment, assigned
from user_init.layout import link_target, places
from user_init.poll import Answer
from user_init.prepare import prepare, read_settings, share_models
from user_init.progress import POLL_SECONDS, Progress, Step
from user_init.settings import Settings
from user_init.threads import in_thread
from webuis.base import Folder, FolderKind, Starts, WebUI

_LOG = getLogger(__name__)
T = TypeVar("T")
RECORD_SECONDS = 2.0
"""How long the record may take to appear before it is written again: Agones writes at most two annotations a second."""


class UserInit:
    """One GameServer's user_init. A GameServer is allocated once in its life, so this goes one way, from top to bottom."""

    def __init__(
        self, settings: Settings, description: WebUI, client: Client, clock: Clock, *, poll_seconds: float = POLL_SECONDS
    ) -> None:
        self._settings = settings
        self._webui = description
        self._places = places(description)
        self._client = client
        self._clock = clock
        self._watch = Watch(client, clock)
        self._progress = Progress(poll_seconds)

    async def run(self, listening: socket.socket) -> None:
        """Go on until cancelled, answering polls on `listening`. Raises `UserError` when it cannot even begin."""
        share = partial(share_models, self._places, self._settings.work, self._settings.shared)
        try:
            await in_thread(share, "share-models")
        except OSError as error:
            raise UserError(f"Cannot link the shared models in {self._settings.work}: {error}.") from error
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._watch.run(), name="watch")
            tasks.create_task(poll.serve(listening, self._answer), name="poll")
            gameserver, who = await self._allocation()
            self._progress.allocated(who.nonce)
            # On record: a user_init that was killed had done it all, and the WebUI is in use with the user's settings.
            again = gameserver.annotations.get(PREPARED_ANNOTATION) == who.nonce
            self._progress.prepared(await self._prepare(who, tasks, again=again))
            tasks.create_task(self._record(who.nonce), name="record")

    async def _answer(self, nonce: str) -> Answer:
        self._watch.poke()
        return await self._progress.answer(nonce)

    async def _allocation(self) -> tuple[GameServer, Assignment]:
        async with aclosing(self._watch.changes()) as changes:
            async for gameserver in changes:
                if who := assigned(gameserver):
                    return gameserver, who
                if gameserver.state == GameServerState.ALLOCATED:
                    _LOG.warning("allocated without a user, a nonce and a session: nothing is prepared for nobody")
        raise AssertionError("the watch never ends")

    async def _prepare(self, who: Assignment, tasks: asyncio.TaskGroup, *, again: bool) -> tuple[Step, ...]:
        steps: list[Step] = []
        filled = await self._insist(steps, "folders", partial(self._make_folders, who))
        begun = asyncio.Event()  # watched first, listed then: no model arrives in between
        tasks.create_task(self._watch_arrivals(who.key, begun), name="arrivals")
        await begun.wait()
        if self._webui.starts is Starts.AFTER_ALLOCATION:
            await self._insist(steps, "start", partial(webui.start, self._settings.launcher_socket))
        elif not again:
            await self._attempt(steps, "models", self._refresh(filled))
            await self._attempt(steps, "settings", self._apply_settings(who.key))
        return tuple(steps)

    async def _insist(self, steps: list[Step], name: str, work: Callable[[], Awaitable[T]]) -> T:
        """Do what nobody can go on without, as often as it takes."""
        backoff = Backoff(self._clock)
        while True:
            began = self._clock.monotonic()
            try:
                result = await work()
            except OSError as error:  # TimeoutError is one
                _LOG.warning("%s failed, trying again: %s", name, error)
                await backoff.pause()
            else:
                steps.append(Step(name, self._clock.monotonic() - began))
                return result

    async def _attempt(self, steps: list[Step], name: str, work: Awaitable[None]) -> None:
        """Do what is better done, but keeps nobody from their WebUI."""
        began = self._clock.monotonic()
        try:
            await work
        except (HttpError, OSError, ValueError) as error:
            _LOG.warning("%s failed: %s", name, error)
            name = f"{name} failed"
        steps.append(Step(name, self._clock.monotonic() - began))

    async def _make_folders(self, who: Assignment) -> tuple[Folder, ...]:
        work = partial(prepare, self._places, self._settings.users, self._settings.work, who, self._clock.time())
        return (await in_thread(work, "folders")).filled

    async def _refresh(self, folders: Iterable[Folder]) -> None:
        await webui.refresh(self._settings.webui_port, folders)

    async def _apply_settings(self, key: str) -> None:
        if self._webui.settings is None or not self._webui.settings_file:
            return
        read = partial(read_settings, self._settings.users, key, self._webui.settings_file)
        content = await in_thread(read, "settings")
        if content is not None:
            await webui.apply(self._settings.webui_port, self._webui.settings, content)

    async def _record(self, nonce: str) -> None:
        """Write the annotation until the GameServer has it: the SDK server only queues it, and may restart with its queue."""
        while (known := self._watch.current) is None or known.annotations.get(PREPARED_ANNOTATION) != nonce:
            try:
                await self._client.set_annotation(PREPARED_KEY, nonce)
            except SdkError as error:
                _LOG.warning("not on record yet: %s", error)
            await self._clock.sleep(RECORD_SECONDS)

    async def _watch_arrivals(self, key: str, begun: asyncio.Event) -> None:
        models = [place for place in self._places if place.folder.kind is FolderKind.MODELS and place.folder.refresh]
        folders = {link_target(self._settings.users, key, place): place.folder for place in models}
        try:
            async with arrivals.watching(folders) as arrived:
                begun.set()
                while True:
                    await self._refresh_quietly(folders[path] for path in await arrived.next(self._clock))
        except OSError as error:
            _LOG.warning("new models will not be listed by themselves: %s", error)
        finally:
            begun.set()

    async def _refresh_quietly(self, folders: Iterable[Folder]) -> None:
        try:
            await self._refresh(folders)
        except HttpError as error:
            _LOG.warning("the WebUI does not list new models yet: %s", error)
