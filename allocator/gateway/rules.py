"""What becomes of a request: plain functions from its head, who sent it and their route to a decision.

The table in `docs/architecture.md`, "Gateway to pages", is the contract.
"""

import re
from dataclasses import dataclass
from urllib.parse import quote

from allocator.gateway.answers import Answer, problem, redirect
from allocator.gateway.heads import Request
from allocator.identity.base import Refused, User
from allocator.sessions.api import Route

APP = "/_atelier"
OPEN = re.compile(r"/_atelier/(?:healthz|sign-in|refused|static/.+)")
"""Paths of the pages that need no identity."""
UNAVAILABLE_PATH = b"/_atelier/unavailable"
_APP_PATH = re.compile(r"/_atelier(?:/(?!\.{1,2}(?:/|$))[A-Za-z0-9._~@:-]+)*/?")
"""The pages' own paths need no escapes, no empty and no dot segments: what has one means to confuse somebody."""
_SAFE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class ToApp:
    """To the pages. `refused` says why nobody is signed in. `target` replaces the request's."""

    user: User | None
    refused: str = ""
    target: bytes | None = None


@dataclass(frozen=True, slots=True)
class ToWebUI:
    """To the user's WebUI. `kind` of a request that only a person causes, or empty; `page`: a top-level page's path."""

    user: User
    route: Route
    kind: str
    page: bool


Decision = ToApp | ToWebUI | Answer


def decide(head: Request, who: User | Refused, route: Route | None) -> Decision:
    """Where the request goes. `route` is that of `who`, if they are a user and their session is usable."""
    if forbidden := _forbidden(head):
        return forbidden
    user, refused = (None, who) if isinstance(who, Refused) else (who, None)
    for_app = head.path == APP or head.path.startswith(APP + "/")
    if for_app and _APP_PATH.fullmatch(head.path) is None:
        return problem(404, "not_found", "There is no such page.")
    if refused and not (for_app and OPEN.fullmatch(head.path)):
        return _refuse(head, refused)
    if for_app:
        return ToApp(user, refused.reason if refused else "")
    assert user is not None
    if route is None:
        if is_navigation(head):
            return _redirect_with_target("start", head)
        return problem(409, "no_session", f"There is no WebUI for you now. Start a session at {APP}/start.")
    page = head.method in ("GET", "HEAD") and route.webui.is_page(head.path)
    if page and is_navigation(head) and head.deciding.get(b"sec-fetch-dest") == b"document":
        return _redirect_with_target("desk", head)
    return ToWebUI(user, route, route.webui.person_request(head.method, head.path), page)


def is_navigation(head: Request) -> bool:
    """Whether a browser shows the reply to a person as a page."""
    mode = head.deciding.get(b"sec-fetch-mode")
    if mode is not None:
        return mode == b"navigate"
    return head.method == "GET" and any(name == b"accept" and b"text/html" in value for name, value in head.fields)


def _forbidden(head: Request) -> Answer | None:
    if b"service-worker" in head.deciding or head.deciding.get(b"sec-fetch-dest") == b"serviceworker":
        message = "A service worker would answer for the pages around the WebUI too: none can be registered here."
        return problem(403, "service_worker", message)
    if _cross_site(head) and not (head.method in _SAFE and head.deciding.get(b"sec-fetch-mode") == b"navigate"):
        message = "This request comes from another site's page: it may neither change nor read anything here."
        return problem(403, "cross_site", message)
    return None


def _cross_site(head: Request) -> bool:
    """Whether another origin's page sent this. No script can forge these fields; a client that is no browser has none.

    A WebUI may allow every origin to read its replies (gradio 3 does), and an identity in the host name, or in a cookie, comes
    along with whatever page asks. So only a person who follows a link may come from elsewhere.
    """
    site = head.deciding.get(b"sec-fetch-site")
    if site is not None:
        return site not in (b"same-origin", b"none")
    origin = head.deciding.get(b"origin")
    return origin is not None and origin.partition(b"://")[2].lower() != head.host.lower()


def _redirect_with_target(page: str, head: Request) -> Answer:
    return redirect(f"{APP}/{page}?at={quote(head.target, safe='/')}")


def _refuse(head: Request, refused: Refused) -> Answer:
    if is_navigation(head):
        return redirect(f"{APP}/{refused.page}")
    if refused.page == "sign-in":
        return problem(401, "not_signed_in", f"{refused.reason} Sign in at {APP}/sign-in.")
    return problem(refused.status, "refused", refused.reason)
