"""A scripted `Sessions`: a test sets the view and sees what was asked."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

from allocator.identity.base import User
from allocator.sessions.api import SessionRefused
from allocator.sessions.model import ProfileView, SessionState, SessionView
from runtime.clock import Clock, SystemClock

ALICE = User("dev", "alice", "", "u" + "a" * 40)
BOB = User("dev", "bob", "", "u" + "b" * 40)
EASEL = ProfileView("easel", "Easel (demo)", "easel", 1800.0, 1, 4, "Draws without a model or a GPU.")
A1111 = ProfileView("sd15", "Stable Diffusion 1.5", "a1111", 1800.0, 0, 2, "AUTOMATIC1111's WebUI on one GPU.")


class FakeSessions:
    """Implements `allocator.sessions.api.Sessions`. `calls` are (method, key, argument) in the order in which they came."""

    def __init__(self, clock: Clock | None = None) -> None:
        self.clock = clock or SystemClock()
        self.calls: list[tuple[str, str, str]] = []
        self.offered: tuple[ProfileView, ...] = (EASEL,)
        self.refusal: SessionRefused | None = None
        self.on_start: dict[str, Any] = {"state": SessionState.QUEUED, "step": "Looking for a WebUI."}
        """What the view becomes when a session is started."""
        self.on_extend: dict[str, Any] = {}
        self.on_presence: dict[str, Any] = {}
        self.listeners = 0
        self._views: dict[str, SessionView] = {}
        self._changed: dict[str, asyncio.Event] = {}
        self._called = asyncio.Event()

    def set(self, user: User, state: SessionState, **fields: Any) -> None:
        """The user's session is now this; all who follow it hear."""
        given = {"profile": EASEL.name, "profile_title": EASEL.title} | fields if state is not SessionState.NONE else fields
        self._views[user.key] = SessionView(state, **given)
        self._changed.pop(user.key, asyncio.Event()).set()

    def change(self, user: User, **fields: Any) -> None:
        """The same with some fields changed."""
        self._views[user.key] = replace(self.view(user.key), **fields)
        self._changed.pop(user.key, asyncio.Event()).set()

    async def called(self, method: str, times: int = 1) -> None:
        """Return when `method` has been called so often."""
        async with asyncio.timeout(20):
            while sum(call[0] == method for call in self.calls) < times:
                await self._called.wait()

    def view(self, key: str) -> SessionView:
        return replace(self._views.get(key, SessionView(SessionState.NONE)), now=self.clock.time())

    def profiles(self, user: User) -> tuple[ProfileView, ...]:
        return self.offered

    async def start(self, user: User, profile: str = "") -> SessionView:
        return self._call(
            "start", user, profile, {"profile": profile or "easel", "profile_title": EASEL.title, **self.on_start}
        )

    async def extend(self, user: User) -> SessionView:
        return self._call("extend", user, "", self.on_extend)

    async def presence(self, user: User, source: str) -> None:
        self._call("presence", user, source, self.on_presence)

    async def release(self, key: str, reason: str) -> SessionView:
        user = User("", "", "", key)
        return self._call("release", user, reason, {"state": SessionState.ENDED, "reason": reason})

    def page_seen(self, key: str) -> None:
        self._record("page_seen", key, "")

    async def changes(self, key: str) -> AsyncIterator[SessionView]:
        self.listeners += 1
        self._record("changes", key, "")
        try:
            while True:
                changed = self._changed.setdefault(key, asyncio.Event())
                yield self.view(key)
                await changed.wait()
        finally:
            self.listeners -= 1

    def _record(self, method: str, key: str, argument: str) -> None:
        self.calls.append((method, key, argument))
        self._called.set()
        self._called = asyncio.Event()

    def _call(self, method: str, user: User, argument: str, fields: dict[str, Any]) -> SessionView:
        self._record(method, user.key, argument)
        if self.refusal is not None:
            raise self.refusal
        if fields:
            self.change(user, **fields)
        return self.view(user.key)
