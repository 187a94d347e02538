"""The event stream: what a page hears, and when it ends."""

import asyncio
import json
from typing import Any

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient, TestServer

from allocator.api.events import HEARTBEAT_SECONDS
from allocator.pages.app import make_app
from allocator.sessions.model import SessionState
from allocator.settings import Settings
from tests.fake_clock import FakeClock
from tests.fake_sessions import ALICE, BOB, FakeSessions

EVENTS = "/_atelier/api/events"
Client = TestClient[Any, Any]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def sessions(clock: FakeClock) -> FakeSessions:
    return FakeSessions(clock)


def connect(sessions: FakeSessions, clock: FakeClock) -> Client:
    return TestClient(TestServer(make_app(sessions, Settings(), clock)), headers={"X-Atelier-User": ALICE.encode().decode()})


async def event(reply: ClientResponse) -> tuple[str, dict[str, Any]]:
    """The next event with a name, and its data."""
    name = ""
    async with asyncio.timeout(5):
        async for line in reply.content:
            key, _, value = line.decode().strip().partition(": ")
            if key == "event":
                name = value
            elif key == "data":
                return name, json.loads(value)
    raise EOFError


async def until(condition: Any) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0)


async def test_a_page_hears_the_view_at_once_and_after_each_change(sessions: FakeSessions, clock: FakeClock) -> None:
    sessions.set(ALICE, SessionState.QUEUED, position=2)
    async with connect(sessions, clock) as client, client.get(EVENTS) as reply:
        assert reply.content_type == "text/event-stream"
        assert reply.headers["Cache-Control"] == "no-store"
        assert (await reply.content.readline()).startswith(b"retry: ")
        assert (await event(reply))[1]["position"] == 2
        sessions.change(ALICE, position=1)
        assert (await event(reply))[1]["position"] == 1
        sessions.set(BOB, SessionState.ACTIVE)
        sessions.set(ALICE, SessionState.ACTIVE)
        name, view = await event(reply)
        assert (name, view["state"]) == ("session", "active")


async def test_a_page_that_comes_back_hears_the_latest_state(sessions: FakeSessions, clock: FakeClock) -> None:
    async with connect(sessions, clock) as client:
        async with client.get(EVENTS) as reply:
            assert (await event(reply))[1]["state"] == "none"
        sessions.set(ALICE, SessionState.PREPARING)
        sessions.set(ALICE, SessionState.ACTIVE)
        async with client.get(EVENTS, headers={"Last-Event-ID": "7"}) as reply:
            assert (await event(reply))[1]["state"] == "active"


async def test_a_heartbeat_shows_that_the_stream_lives(sessions: FakeSessions, clock: FakeClock) -> None:
    async with connect(sessions, clock) as client, client.get(EVENTS) as reply:
        await event(reply)
        await until(lambda: clock.sleepers)
        await clock.advance(HEARTBEAT_SECONDS)
        assert await event(reply) == ("heartbeat", {})


async def test_an_open_page_keeps_its_place_in_the_queue(sessions: FakeSessions, clock: FakeClock) -> None:
    sessions.set(ALICE, SessionState.QUEUED)
    async with connect(sessions, clock) as client, client.get(EVENTS) as reply:
        await event(reply)
        for times in (1, 2, 3):
            await sessions.called("page_seen", times)
            await until(lambda: clock.sleepers)
            await clock.advance(HEARTBEAT_SECONDS)
        sessions.set(ALICE, SessionState.ACTIVE)
        seen = sum(call[0] == "page_seen" for call in sessions.calls)
        await clock.advance(3 * HEARTBEAT_SECONDS)
        assert sum(call[0] == "page_seen" for call in sessions.calls) == seen


async def test_the_stream_ends_when_the_server_stops(sessions: FakeSessions, clock: FakeClock) -> None:
    client = connect(sessions, clock)
    await client.start_server()
    reply = await client.get(EVENTS)
    await event(reply)
    async with asyncio.timeout(5):  # far less than the runner's patience with a handler that does not end
        await client.server.close()
    with pytest.raises(EOFError):
        await event(reply)
    assert sessions.listeners == 0
    await client.close()


async def test_a_page_that_is_gone_leaves_nothing_behind(sessions: FakeSessions, clock: FakeClock) -> None:
    async with connect(sessions, clock) as client:
        async with client.get(EVENTS) as reply:
            await event(reply)
            await until(lambda: clock.sleepers)
            reply.close()
        for _ in range(3):  # the heartbeat finds out
            await clock.advance(HEARTBEAT_SECONDS)
        await until(lambda: sessions.listeners == 0)


async def test_a_source_that_ends_ends_the_stream(
    sessions: FakeSessions, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def once(key: str) -> Any:
        yield sessions.view(key)

    monkeypatch.setattr(sessions, "changes", once)  # as a service that shuts down
    async with connect(sessions, clock) as client, client.get(EVENTS) as reply:
        await event(reply)
        with pytest.raises(EOFError):
            await event(reply)
