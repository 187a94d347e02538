"""The table of `docs/architecture.md`, "Gateway to pages", row by row."""

import json

import pytest

from allocator.gateway.answers import Answer
from allocator.gateway.heads import Request, parse_request
from allocator.gateway.rules import Decision, ToApp, ToWebUI, decide
from allocator.identity.base import Refused, User
from allocator.sessions.api import Route
from tests.unit.gateway.rig import ALICE
from tests.unit.gateway.rig import request as raw
from webuis.easel import WEBUI

ROUTE = Route("uid", "easel-1", "127.0.0.1", 7860, WEBUI)
NOBODY = Refused("Nobody is signed in.", page="sign-in", status=401)
BAD_NAME = Refused("'x!' is not a valid user.")
NAVIGATION = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: none")
FRAME = ("Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: iframe", "Sec-Fetch-Site: same-origin")
HANDSHAKE = (
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
)


def head(line: str, *fields: str) -> Request:
    return parse_request(raw(line, *fields, host="alice.localhost:8000")[:-2])


def location(decision: Decision) -> str:
    assert isinstance(decision, Answer)
    assert decision.status == 303
    assert b"vary: Sec-Fetch-Dest" in decision.fields
    assert b"\r\ncache-control: no-store\r\n" in decision.encode("GET", keep_alive=True)
    (found,) = [field for field in decision.fields if field.startswith(b"location: ")]
    return found.removeprefix(b"location: ").decode()


def error(decision: Decision) -> tuple[int, str]:
    assert isinstance(decision, Answer)
    content = json.loads(decision.body)["error"]
    assert content["message"].endswith(".")
    return decision.status, content["code"]


@pytest.mark.parametrize("fields", [NAVIGATION, ("Accept: text/html,*/*",)])
def test_a_navigation_of_nobody_goes_to_the_sign_in_page(fields: tuple[str, ...]) -> None:
    assert location(decide(head("GET /any?a=b", *fields), NOBODY, None)) == "/_atelier/sign-in"


def test_a_navigation_with_a_bad_name_goes_to_the_page_that_says_so() -> None:
    assert location(decide(head("GET /", *NAVIGATION), BAD_NAME, None)) == "/_atelier/refused"


def test_a_navigation_without_a_session_goes_to_the_waiting_room_and_names_the_way_back() -> None:
    decision = decide(head("GET /a/b?c=d&e=%26", *NAVIGATION), ALICE, None)
    assert location(decision) == "/_atelier/start?at=/a/b%3Fc%3Dd%26e%3D%2526"


def test_a_top_level_navigation_to_a_page_goes_to_the_desk() -> None:
    assert location(decide(head("GET /?__theme=dark", *NAVIGATION), ALICE, ROUTE)) == "/_atelier/desk?at=/%3F__theme%3Ddark"


@pytest.mark.parametrize("fields", [FRAME, ("Sec-Fetch-Mode: cors", "Sec-Fetch-Dest: empty"), ("Accept: text/html",)])
def test_a_page_in_the_desks_frame_or_for_a_script_comes_from_the_webui(fields: tuple[str, ...]) -> None:
    assert decide(head("GET /", *fields), ALICE, ROUTE) == ToWebUI(ALICE, ROUTE, "", page=True)


def test_a_top_level_navigation_to_a_file_comes_from_the_webui() -> None:
    assert decide(head("GET /file=a.png", *NAVIGATION), ALICE, ROUTE) == ToWebUI(ALICE, ROUTE, "", page=False)


@pytest.mark.parametrize(
    ("who", "expected"), [(NOBODY, (401, "not_signed_in")), (BAD_NAME, (403, "refused")), (ALICE, (409, "no_session"))]
)
@pytest.mark.parametrize(
    "line",
    [
        ("POST /sdapi/v1/txt2img",),
        ("GET /poll",),
        ("GET /ws", *HANDSHAKE),
        ("GET /", "Accept: text/html", "Sec-Fetch-Mode: cors"),
    ],
)
def test_anything_else_without_a_route_gets_json(line: tuple[str, ...], who: User | Refused, expected: tuple[int, str]) -> None:
    assert error(decide(head(*line), who, None)) == expected


def test_the_pages_get_their_own_paths_whatever_the_session() -> None:
    for route in (None, ROUTE):
        assert decide(head("GET /_atelier/desk?at=/", *NAVIGATION), ALICE, route) == ToApp(ALICE)
    assert decide(head("GET /_atelier"), ALICE, ROUTE) == ToApp(ALICE)


@pytest.mark.parametrize("path", ["healthz", "sign-in", "refused", "static/0123/a.css"])
def test_pages_that_need_no_identity(path: str) -> None:
    assert decide(head(f"GET /_atelier/{path}"), NOBODY, None) == ToApp(None, NOBODY.reason)
    assert decide(head(f"GET /_atelier/{path}"), BAD_NAME, None) == ToApp(None, BAD_NAME.reason)


@pytest.mark.parametrize("path", ["", "/", "/api/session", "/desk", "/healthz/x", "/healthzx", "/static"])
def test_pages_that_need_one(path: str) -> None:
    assert error(decide(head(f"GET /_atelier{path}"), NOBODY, None)) == (401, "not_signed_in")


@pytest.mark.parametrize(
    "target",
    [
        "//_atelier/api/session",
        "/%5fatelier/api/session",
        "/_Atelier/api/session",
        "/./_atelier/api/session",
        "/x/../_atelier/api/session",
        "/_atelierx",
        "/_atelier;x/api/session",
        "/_atelier%2fapi/session",
        "/_atelier\\api",
        "/?/_atelier/",
    ],
)
def test_what_only_looks_like_the_pages_goes_to_the_users_own_webui(target: str) -> None:
    assert isinstance(decide(head(f"GET {target}"), ALICE, ROUTE), ToWebUI)
    assert error(decide(head(f"GET {target}"), NOBODY, None)) == (401, "not_signed_in")


@pytest.mark.parametrize(
    "path",
    ["/../x", "/./x", "/static/../api/session", "/static/%2e%2e/api", "/a//b", "//", "/%00", "/a%2fb", "/.", "/a;b", "/.."],
)
def test_no_confusing_path_reaches_the_pages(path: str) -> None:
    for who in (ALICE, NOBODY):
        assert error(decide(head(f"GET /_atelier{path}"), who, ROUTE)) == (404, "not_found")


@pytest.mark.parametrize(
    "fields",
    [
        ("Sec-Fetch-Site: cross-site",),
        ("Sec-Fetch-Site: same-site",),
        ("Sec-Fetch-Site: strange",),
        ("Origin: http://evil.example",),
        ("Origin: null",),
        ("Origin: http://bob.localhost:8000",),
        ("Origin: http://alice.localhost:8001",),
        ("Sec-Fetch-Site: cross-site", "Origin: http://alice.localhost:8000"),
    ],
)
@pytest.mark.parametrize(
    "line",
    ["POST /sdapi/v1/txt2img", "DELETE /_atelier/api/session", "PUT /x", "GET /file=outputs/1.png", "OPTIONS /x", "websocket"],
)
def test_what_another_sites_page_sends_neither_changes_nor_reads_anything_here(line: str, fields: tuple[str, ...]) -> None:
    sent = head("GET /ws", *HANDSHAKE, *fields) if line == "websocket" else head(line, *fields)
    assert error(decide(sent, ALICE, ROUTE)) == (403, "cross_site")


@pytest.mark.parametrize(
    "fields",
    [
        (),
        ("Sec-Fetch-Site: same-origin", "Origin: http://alice.localhost:8000"),
        ("Sec-Fetch-Site: same-origin", "Origin: null"),
        ("Sec-Fetch-Site: none",),
        ("Origin: http://ALICE.localhost:8000",),
    ],
)
def test_what_this_origins_pages_and_scripts_send_passes(fields: tuple[str, ...]) -> None:
    assert isinstance(decide(head("POST /x", *fields), ALICE, ROUTE), ToWebUI)
    assert isinstance(decide(head("GET /ws", *HANDSHAKE, *fields), ALICE, ROUTE), ToWebUI)


def test_a_form_of_another_site_is_no_link() -> None:
    sent = head("POST /x", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: cross-site")
    assert error(decide(sent, ALICE, ROUTE)) == (403, "cross_site")


def test_a_link_from_another_site_may_be_followed() -> None:
    decision = decide(
        head("GET /", "Sec-Fetch-Mode: navigate", "Sec-Fetch-Dest: document", "Sec-Fetch-Site: cross-site"), ALICE, ROUTE
    )
    assert location(decision) == "/_atelier/desk?at=/"


@pytest.mark.parametrize("field", ["Service-Worker: script", "Sec-Fetch-Dest: serviceworker"])
def test_a_service_worker_is_refused(field: str) -> None:
    assert error(decide(head("GET /sw.js", field), ALICE, ROUTE)) == (403, "service_worker")


def test_only_what_a_person_causes_is_told_as_such() -> None:
    def kind(line: str) -> str:
        decision = decide(head(line), ALICE, ROUTE)
        assert isinstance(decision, ToWebUI)
        return decision.kind

    assert kind("POST /sdapi/v1/txt2img") == "generation"
    assert kind("GET /sdapi/v1/progress") == ""
    assert kind("GET /sdapi/v1/txt2img") == ""
