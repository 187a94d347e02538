"""The REST API over a scripted `Sessions`."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from allocator.pages.app import make_app
from allocator.sessions.api import SessionRefused
from allocator.sessions.model import Activity, BusyView, SessionState
from allocator.settings import Settings
from tests.fake_sessions import A1111, ALICE, BOB, EASEL, FakeSessions

SESSION = "/_atelier/api/session"
EXTEND = "/_atelier/api/session/extend"
PRESENCE = "/_atelier/api/presence"
EVENTS = "/_atelier/api/events"
SIGNED_IN = {"X-Atelier-User": ALICE.encode().decode()}
Client = TestClient[Any, Any]


@pytest.fixture
def sessions() -> FakeSessions:
    return FakeSessions()


@pytest.fixture
async def client(sessions: FakeSessions) -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app(sessions, Settings())), headers=SIGNED_IN) as client:
        yield client


async def test_a_session_says_all_that_the_view_holds(client: Client, sessions: FakeSessions) -> None:
    sessions.set(
        ALICE,
        SessionState.ACTIVE,
        gameserver="easel-1",
        since=10.0,
        last_activity=Activity(20.0, "presence", "keyboard"),
        busy=BusyView("busy", 15.0, "txt2img"),
        releases_at=99.5,
        timeline=(("queued", 5.0), ("active", 10.0)),
    )
    reply = await client.get(SESSION)
    body = await reply.json()
    assert reply.status == 200
    assert reply.headers["Cache-Control"] == "no-store"
    assert body["state"] == "active"
    assert body["last_activity"] == {"at": 20.0, "kind": "presence", "source": "keyboard"}
    assert body["busy"] == {"state": "busy", "since": 15.0, "job": "txt2img"}
    assert body["timeline"] == [["queued", 5.0], ["active", 10.0]]
    assert {"profile", "gameserver", "position", "eta_seconds", "since", "releases_at", "reason", "now"} <= body.keys()


async def test_a_user_is_never_told_of_anothers_session(client: Client, sessions: FakeSessions) -> None:
    sessions.set(BOB, SessionState.ACTIVE, gameserver="bobs")
    assert (await (await client.get(SESSION)).json())["state"] == "none"


@pytest.mark.parametrize(
    "path", [SESSION, "/_atelier/api/profiles", "/_atelier/start", "/_atelier/desk", "/_atelier/unavailable"]
)
async def test_a_get_never_starts_a_session(client: Client, sessions: FakeSessions, path: str) -> None:
    await client.get(f"/_atelier/{path}", allow_redirects=False)
    assert "start" not in {method for method, _, _ in sessions.calls}
    assert sessions.view(ALICE.key).state is SessionState.NONE


async def test_a_post_starts_the_profile_that_it_names(client: Client, sessions: FakeSessions) -> None:
    reply = await client.post(SESSION, json={"profile": "sd15"})
    assert (reply.status, (await reply.json())["state"]) == (200, "queued")
    assert sessions.calls == [("start", ALICE.key, "sd15")]


async def test_a_post_without_a_body_starts_the_default_profile(client: Client, sessions: FakeSessions) -> None:
    assert (await client.post(SESSION)).status == 200
    assert sessions.calls == [("start", ALICE.key, "")]


async def test_a_delete_releases_and_may_be_repeated(client: Client, sessions: FakeSessions) -> None:
    sessions.set(ALICE, SessionState.ACTIVE)
    for _ in range(2):
        reply = await client.delete(SESSION)
        assert (await reply.json())["state"] == "ended"


async def test_extend_answers_with_the_new_view(client: Client, sessions: FakeSessions) -> None:
    sessions.set(ALICE, SessionState.ENDING)
    sessions.on_extend = {"state": SessionState.ACTIVE, "releases_at": 1800.0}
    body = await (await client.post(EXTEND)).json()
    assert (body["state"], body["releases_at"]) == ("active", 1800.0)


@pytest.mark.parametrize("source", ["pointer", "keyboard", "touch", "wheel"])
async def test_presence_passes_on_where_a_person_was_heard(client: Client, sessions: FakeSessions, source: str) -> None:
    assert (await client.post(PRESENCE, json={"source": source})).status == 204
    assert sessions.calls == [("presence", ALICE.key, source)]


async def test_profiles_are_those_that_the_user_may_have(client: Client, sessions: FakeSessions) -> None:
    sessions.offered = (EASEL, A1111)
    body = await (await client.get("/_atelier/api/profiles")).json()
    assert [profile["name"] for profile in body["profiles"]] == ["easel", "sd15"]
    assert body["profiles"][0]["idle_timeout_seconds"] == 1800.0


async def test_a_refusal_has_the_error_shape_and_says_when_to_come_back(client: Client, sessions: FakeSessions) -> None:
    sessions.refusal = SessionRefused("starting", "Try again in a moment.", 503, retry_after=2)
    reply = await client.post(SESSION)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "2")
    assert await reply.json() == {"error": {"code": "starting", "message": "Try again in a moment."}}


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/_atelier/api/nothing", 404, "not_found"),
        ("PUT", SESSION, 405, "method_not_allowed"),
        ("HEAD", SESSION, 405, ""),
    ],
)
async def test_errors_of_the_api_are_never_pages(client: Client, method: str, path: str, status: int, code: str) -> None:
    reply = await client.request(method, path)
    assert reply.status == status
    assert reply.content_type == "application/json"
    if code:
        assert (await reply.json())["error"]["code"] == code


async def test_a_failure_of_ours_is_told_without_its_details(
    client: Client, sessions: FakeSessions, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(key: str) -> None:
        raise RuntimeError(f"secret of {key}")

    monkeypatch.setattr(sessions, "view", broken)
    reply = await client.get(SESSION)
    assert reply.status == 500
    assert "secret" not in await reply.text()


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", SESSION),
        ("POST", SESSION),
        ("DELETE", SESSION),
        ("POST", EXTEND),
        ("POST", PRESENCE),
        ("GET", "/_atelier/api/events"),
    ],
)
async def test_without_a_verified_user_nothing_is_told_or_done(sessions: FakeSessions, method: str, path: str) -> None:
    async with TestClient(TestServer(make_app(sessions, Settings()))) as client:
        for header in (None, "", "bm90IGpzb24=", "!!!", "W10=", "e30="):
            reply = await client.request(method, path, headers={} if header is None else {"X-Atelier-User": header})
            assert reply.status == 401, header
            assert (await reply.json())["error"]["code"] == "not_signed_in"
    assert sessions.calls == []


FOREIGN = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": ""},
    {"Origin": "null"},
    {"Origin": "http://bob.localhost:8000"},
    {"Origin": "http://alice.localhost"},
    {"Origin": "http://[alice.localhost:8000"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "http://evil.example"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://alice.localhost:8000"},
]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", SESSION),
        ("DELETE", SESSION),
        ("POST", EXTEND),
        ("POST", PRESENCE),
        ("POST", "/_atelier/start"),
        ("POST", "/_atelier/release"),
        ("POST", "/_atelier/extend"),
    ],
)
async def test_another_sites_page_changes_nothing(client: Client, sessions: FakeSessions, method: str, path: str) -> None:
    for headers in FOREIGN:
        reply = await client.request(method, path, headers={"Host": "alice.localhost:8000", **headers}, allow_redirects=False)
        assert reply.status == 403, headers
    assert sessions.calls == []


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin"},
        {"Origin": "http://alice.localhost:8000"},
        {"Origin": "http://ALICE.localhost:8000", "Sec-Fetch-Site": "same-origin"},
    ],
)
async def test_our_own_pages_and_scripts_may(client: Client, sessions: FakeSessions, headers: dict[str, str]) -> None:
    reply = await client.post(SESSION, headers={"Host": "alice.localhost:8000", **headers})
    assert reply.status == 200


@pytest.mark.parametrize(
    ("body", "content_type", "status", "named"),
    [
        ('{"profile": "a", "gpu": "h100"}', "application/json", 400, "'gpu'"),
        ('{"profile": 7}', "application/json", 400, "'profile'"),
        ('{"profile": null}', "application/json", 400, "'profile'"),
        ('["easel"]', "application/json", 400, "object"),
        ("{", "application/json", 400, "JSON"),
        ("[" * 9000, "application/json", 400, "JSON"),
        ('{"profile": "a"}', "text/plain", 415, "application/json"),
        ("profile=a", "application/x-www-form-urlencoded", 415, "application/json"),
    ],
)
async def test_a_wrong_body_is_refused_by_name(
    client: Client, sessions: FakeSessions, body: str, content_type: str, status: int, named: str
) -> None:
    reply = await client.post(SESSION, data=body, headers={"Content-Type": content_type})
    assert reply.status == status
    assert named in (await reply.json())["error"]["message"]
    assert sessions.calls == []


async def test_a_huge_body_is_refused(client: Client, sessions: FakeSessions) -> None:
    reply = await client.post(SESSION, json={"profile": "a" * 100_000})
    assert (reply.status, (await reply.json())["error"]["code"]) == (413, "too_large")
    assert sessions.calls == []


@pytest.mark.parametrize("body", [{}, {"source": "robot"}, {"source": ""}])
async def test_presence_needs_a_known_source(client: Client, sessions: FakeSessions, body: dict[str, str]) -> None:
    reply = await client.post(PRESENCE, json=body)
    assert reply.status == 400
    assert "'source'" in (await reply.json())["error"]["message"]
    assert sessions.calls == []


@pytest.mark.parametrize(
    ("content", "headers", "status", "code"),
    [
        (b"\xff\xfe{", {}, 400, "not_json"),
        (b"notgzip", {"Content-Encoding": "gzip"}, 400, "bad_body"),
        (b"[" * 9000, {}, 400, "not_json"),
        (b"{}", {"Content-Type": "text/plain"}, 415, "not_json"),
    ],
)
async def test_a_body_that_nobody_can_read_is_the_senders_mistake_and_not_ours(
    client: Client, content: bytes, headers: dict[str, str], status: int, code: str
) -> None:
    sent = {"Content-Type": "application/json", **headers}
    async with client.post(SESSION, data=content, headers=sent) as reply:
        assert (reply.status, (await reply.json())["error"]["code"]) == (status, code)
