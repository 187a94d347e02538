"""Every page as the server renders it: before any script runs it is whole, and it trusts nobody's text."""

import re
from collections.abc import AsyncIterator
from html.parser import HTMLParser
from typing import Any

import pytest
from aiohttp.test_utils import TestClient, TestServer

from allocator.pages.app import make_app
from allocator.sessions.api import SessionRefused
from allocator.sessions.model import Activity, BusyView, SessionState
from allocator.settings import Settings
from tests.fake_sessions import A1111, ALICE, EASEL, FakeSessions
from webuis import registry

HOSTILE = "<script>alert(1)</script>\"'&{{7*7}}"
VOID = {"meta", "link", "img", "input", "br"}
ALL_STATES = list(SessionState)
Client = TestClient[Any, Any]


class Strict(HTMLParser):
    """Fails on what is not balanced, on an id that occurs twice, and on anything inline. `shown` is what is not hidden."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.shown = ""
        self._open: list[tuple[str, bool]] = []
        self._ids: set[str] = set()
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert len(given) == len(attrs), f"an attribute twice in {tag}"
        assert "style" not in given
        assert not any(name.startswith("on") for name in given)
        assert tag != "style"
        if tag == "script":
            assert given["src"]
        if name := given.get("id"):
            assert name not in self._ids, f"id {name} twice"
            self._ids.add(name)
        if tag not in VOID:
            self._open.append((tag, "hidden" in given or tag in ("dialog", "head")))

    def handle_endtag(self, tag: str) -> None:
        assert self._open, f"</{tag}> closes nothing"
        assert self._open.pop()[0] == tag

    def handle_data(self, data: str) -> None:
        if not any(hidden for _, hidden in self._open):
            self.shown = " ".join(f"{self.shown} {data}".split())


def shown(text: str) -> str:
    """What a person is shown, or is read to, before a script runs."""
    return Strict(text).shown


@pytest.fixture
def sessions() -> FakeSessions:
    return FakeSessions()


@pytest.fixture
async def anyone(sessions: FakeSessions) -> AsyncIterator[Client]:
    async with TestClient(TestServer(make_app(sessions, Settings()))) as client:
        yield client


@pytest.fixture
async def client(anyone: Client) -> Client:
    anyone.session.headers["X-Atelier-User"] = ALICE.encode().decode()
    return anyone


async def page(client: Client, path: str, status: int = 200, **options: Any) -> str:
    """The page's text, after what holds for every page."""
    reply = await client.get(path, allow_redirects=False, **options)
    text = await reply.text()
    assert reply.status == status, text
    assert reply.content_type == "text/html"
    assert reply.headers["Cache-Control"] == "no-store"
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Referrer-Policy"] == "same-origin"
    policy = dict(part.split(" ", 1) for part in reply.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert policy["frame-ancestors"] == ("'self'" if "unavailable" in path else "'none'")
    Strict(text)
    return text


@pytest.mark.parametrize("state", ALL_STATES)
async def test_the_start_page_tells_every_state_in_words(client: Client, sessions: FakeSessions, state: SessionState) -> None:
    sessions.set(ALICE, state, reason="The reason.", step="The step.", timeline=(("queued", 1.0),))
    if state in (SessionState.ACTIVE, SessionState.ENDING):
        reply = await client.get("/_atelier/start?at=/?a%3D1", allow_redirects=False)
        assert (reply.status, reply.headers["Location"]) == (303, "/?a=1")
        return
    told = shown(await page(client, "/_atelier/start?at=/"))
    expected = {
        SessionState.NONE: ("Open Easel (demo)", "Start"),
        SessionState.QUEUED: ("Opening Easel (demo)", "The step.", "Waiting", "In line for a WebUI", "Cancel"),
        SessionState.ALLOCATING: ("The step.", "A WebUI is made yours"),
        SessionState.PREPARING: ("The step.", "Your folders are put in place"),
        SessionState.RELEASING: ("is being released", "The reason.", "safe"),
        SessionState.ENDED: ("was released", "The reason.", "safe in your folder", "Start again"),
        SessionState.FAILED: ("did not start", "The reason.", "Start again"),
    }[state]
    for words in expected:
        assert words in told
    assert told.count("Start again") == (state in (SessionState.ENDED, SessionState.FAILED))


@pytest.mark.parametrize(("state", "done"), [("queued", 0), ("allocating", 1), ("preparing", 2)])
async def test_steps_are_marked_as_far_as_the_session_is(client: Client, sessions: FakeSessions, state: str, done: int) -> None:
    sessions.set(ALICE, SessionState(state))
    text = await page(client, "/_atelier/start")
    assert re.findall(r'data-step="\w+" data-is="(\w+)"', text) == ["done"] * done + ["now"] + ["next"] * (3 - done)
    assert f'data-step="{state}" data-is="now" aria-current="step"' in text


async def test_a_wait_says_place_and_expected_time(client: Client, sessions: FakeSessions) -> None:
    now = sessions.clock.time()
    sessions.set(ALICE, SessionState.QUEUED, position=3, eta_seconds=140.0, timeline=(("queued", now - 75),))
    told = shown(await page(client, "/_atelier/start"))
    assert "place 3 in line" in told
    assert "about 2 min more" in told
    assert "Waiting 1:15" in told


async def test_looking_at_the_waiting_room_keeps_the_place(client: Client, sessions: FakeSessions) -> None:
    sessions.set(ALICE, SessionState.QUEUED)
    await page(client, "/_atelier/start")
    assert sessions.calls == [("page_seen", ALICE.key, "")]


async def test_several_profiles_are_a_choice(client: Client, sessions: FakeSessions) -> None:
    sessions.offered = (EASEL, A1111)
    text = await page(client, "/_atelier/start")
    assert 'name="profile" value="easel"' in text
    assert 'name="profile" value="sd15"' in text
    assert "Stable Diffusion 1.5" in shown(text)


async def test_hostile_text_stays_text(client: Client, sessions: FakeSessions) -> None:
    for state in ALL_STATES:
        sessions.set(
            ALICE,
            state,
            profile_title=HOSTILE,
            reason=HOSTILE,
            step=HOSTILE,
            alive_because=HOSTILE,
            gameserver=HOSTILE,
            busy=BusyView(HOSTILE, job=HOSTILE),
            last_activity=Activity(0.0, HOSTILE),
        )
        path = "/_atelier/desk" if state in (SessionState.ACTIVE, SessionState.ENDING) else "/_atelier/start"
        text = await page(client, path)
        assert "<script>" not in text
        assert "{{7*7}}" in shown(text) or state is SessionState.NONE
        Strict(await page(client, "/_atelier/unavailable", 503))


@pytest.mark.parametrize("state", [SessionState.ACTIVE, SessionState.ENDING])
async def test_the_desk_frames_the_path_that_was_asked_for(client: Client, sessions: FakeSessions, state: SessionState) -> None:
    sessions.set(
        ALICE, state, busy=BusyView("idle"), releases_at=sessions.clock.time() + 600, alive_because="You were just here."
    )
    text = await page(client, "/_atelier/desk?at=/%3F__theme%3Ddark")
    assert '<iframe id="frame" src="/?__theme=dark" title="Easel (demo)"' in text
    assert "10 min left" in shown(text)
    assert "You were just here." in shown(text)


async def test_only_the_desk_may_frame(client: Client, sessions: FakeSessions) -> None:
    sessions.set(ALICE, SessionState.ACTIVE)
    desk = await client.get("/_atelier/desk")
    assert "frame-src 'self'" in desk.headers["Content-Security-Policy"]
    other = await client.get("/_atelier/sign-in")
    assert "frame-src" not in other.headers["Content-Security-Policy"]


@pytest.mark.parametrize("state", [s for s in ALL_STATES if s not in (SessionState.ACTIVE, SessionState.ENDING)])
async def test_a_desk_without_a_usable_session_leads_to_the_start(
    client: Client, sessions: FakeSessions, state: SessionState
) -> None:
    sessions.set(ALICE, state)
    reply = await client.get("/_atelier/desk?at=/x%3Fy", allow_redirects=False)
    assert (reply.status, reply.headers["Location"]) == (303, "/_atelier/start?at=%2Fx%3Fy")


@pytest.mark.parametrize("path", ["/_atelier/start", "/_atelier/desk"])
async def test_a_foreign_destination_is_dropped(client: Client, sessions: FakeSessions, path: str) -> None:
    sessions.set(ALICE, SessionState.ACTIVE)
    reply = await client.get(f"{path}?at=//evil.example/", allow_redirects=False)
    assert "evil" not in (reply.headers.get("Location") or "") + await reply.text()


async def test_the_forms_work_without_script(client: Client, sessions: FakeSessions) -> None:
    mine = {"Origin": f"http://{client.host}:{client.port}", "Sec-Fetch-Site": "same-origin"}
    for form, leads_to in (("start", "start"), ("extend", "desk"), ("release", "start")):
        reply = await client.post(f"/_atelier/{form}?at=/x", data={"profile": "easel"}, headers=mine, allow_redirects=False)
        assert (reply.status, reply.headers["Location"]) == (303, f"/_atelier/{leads_to}?at=%2Fx")
    assert [call[0] for call in sessions.calls] == ["start", "extend", "release"]
    assert sessions.calls[0] == ("start", ALICE.key, "easel")


async def test_a_refused_form_says_why_on_a_page(client: Client, sessions: FakeSessions) -> None:
    sessions.refusal = SessionRefused("starting", "Atelier is starting.", 503, retry_after=2)
    reply = await client.post("/_atelier/start")
    assert (reply.status, reply.headers["Retry-After"]) == (503, "2")
    assert "Atelier is starting." in shown(await reply.text())


async def test_unavailable_is_a_503_that_says_when_to_come_back(client: Client, sessions: FakeSessions) -> None:
    sessions.set(ALICE, SessionState.ACTIVE)
    assert "being restarted" in shown(await page(client, "/_atelier/unavailable", 503))
    assert "Retry-After" in (await client.get("/_atelier/unavailable")).headers


@pytest.mark.parametrize(("name", "label"), [("al", "al"), ("%20Alice%20", "alice"), ("a-1", "a-1"), ("a" * 40, "a" * 40)])
async def test_a_valid_name_leads_to_that_users_address(anyone: Client, name: str, label: str) -> None:
    for host, port in (("localhost:8000", ":8000"), ("127.0.0.1:9", ":9"), ("[::1]:8000", ":8000"), ("localhost", "")):
        reply = await anyone.get(f"/_atelier/sign-in?name={name}", headers={"Host": host}, allow_redirects=False)
        assert (reply.status, reply.headers["Location"]) == (303, f"http://{label}.localhost{port}/")


INVALID = ["", "%20", "-a", "a-", "a.b", "a_b", "a" * 41, "al%20ice", "%C3%BC", "a%0d%0ab", "evil.example%23", "a%0ab"]


@pytest.mark.parametrize("name", INVALID)
async def test_an_invalid_name_is_asked_for_again(anyone: Client, name: str) -> None:
    assert 'aria-invalid="true"' in await page(anyone, f"/_atelier/sign-in?name={name}", 400)


async def test_sign_in_asks_for_a_name_and_says_that_there_are_no_passwords(anyone: Client) -> None:
    text = shown(await page(anyone, "/_atelier/sign-in", headers={"Host": "localhost:8000"}))
    assert "No passwords here" in text
    assert "name .localhost:8000" in text


async def test_the_refused_page_says_why_and_escapes_it(anyone: Client) -> None:
    text = await page(anyone, "/_atelier/refused", 403, headers={"X-Atelier-Refused": "%3Cscript%3Ebad%20%C3%BC%FF"})
    assert "&lt;script&gt;bad ü" in text
    assert "This address names no user." in shown(await page(anyone, "/_atelier/refused", 403))


@pytest.mark.parametrize("path", ["/_atelier/start", "/_atelier/desk", "/_atelier/unavailable"])
async def test_pages_of_a_user_lead_to_the_sign_in_without_one(anyone: Client, path: str) -> None:
    reply = await anyone.get(path, allow_redirects=False)
    assert (reply.status, reply.headers["Location"]) == (303, "/_atelier/sign-in")


async def test_an_unknown_address_is_a_page_that_leads_on(client: Client) -> None:
    assert "Go to my WebUI" in shown(await page(client, "/_atelier/nothing/here", 404))


async def test_healthz_is_plain(anyone: Client) -> None:
    reply = await anyone.get("/_atelier/healthz")
    assert (reply.status, await reply.text()) == (200, "ok\n")


async def test_static_files_are_kept_for_ever_under_their_digest_only(anyone: Client) -> None:
    text = await page(anyone, "/_atelier/sign-in")
    found = re.search(r'href="(/_atelier/static/([0-9a-f]+)/atelier\.css)"', text)
    assert found is not None
    current = await anyone.get(found[1])
    assert (current.status, current.content_type) == (200, "text/css")
    assert "immutable" in current.headers["Cache-Control"]
    stale = await anyone.get(found[1].replace(found[2], "0123456789abcdef"))
    assert (stale.status, stale.headers["Cache-Control"]) == (200, "no-cache")
    for name in ("nothing.css", "..%2fapp.py", "%2e%2e%2fapp.py"):
        assert (await anyone.get(f"/_atelier/static/{found[2]}/{name}")).status == 404


@pytest.mark.parametrize("name", registry.NAMES)
def test_the_patterns_of_a_webuis_pages_mean_the_same_to_a_script(name: str) -> None:
    for pattern in registry.get(name).pages:
        assert not pattern.flags & re.VERBOSE
        assert not re.search(r"\(\?(?![:=!])|\\[AZzGQE]|\+\+|\*\+", pattern.pattern)
