"""What every handler asks of a request: who sent it, from where, and what its body says."""

import json
from collections.abc import Collection, Mapping
from urllib.parse import parse_qsl, urlsplit

from aiohttp import web

from allocator.api.replies import ApiError
from allocator.identity.base import User

USER_HEADER = "X-Atelier-User"
"""Set by the gateway, and by nobody else: it removes what a browser sends under that name."""


def user_of(request: web.Request) -> User | None:
    """The verified user, or None when nobody is signed in."""
    encoded = request.headers.get(USER_HEADER)
    if encoded is None:
        return None
    try:
        return User.decode(encoded)
    except (ValueError, TypeError):
        return None


def require_user(request: web.Request) -> User:
    """The verified user. Raises `ApiError` 401."""
    user = user_of(request)
    if user is None:
        raise ApiError(401, "not_signed_in", "Nobody is signed in here. Reload the page to sign in.")
    return user


def require_same_origin(request: web.Request) -> None:
    """Refuse what another site's page made the browser send. Raises `ApiError` 403.

    A browser tells on every POST and DELETE where it comes from; a script tells nothing, and has no cookies to abuse.
    """
    site = request.headers.get("Sec-Fetch-Site")
    origin = request.headers.get("Origin")
    if (site is None or site == "same-origin") and (origin is None or _host_of(origin) == request.host.lower()):
        return
    raise ApiError(403, "cross_site", "This must come from a page of this address, not from another site.")


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


async def read_fields(request: web.Request, allowed: Collection[str]) -> Mapping[str, str]:
    """The body's text fields by name; an empty body has none. Raises `ApiError` that names what is wrong."""
    content = await _body(request)
    if not content:
        return {}
    if request.content_type != "application/json":
        raise ApiError(415, "not_json", "Send the body as JSON, with Content-Type: application/json.")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise ApiError(400, "not_json", f"The body is not JSON ({error}).") from None
    if not isinstance(body, dict):
        raise ApiError(400, "bad_body", "The body must be a JSON object.")
    for name, value in body.items():
        if name not in allowed:
            known = ", ".join(sorted(allowed)) or "none"
            raise ApiError(400, "unknown_field", f"Unknown field {name!r}. Fields here: {known}.")
        if not isinstance(value, str):
            raise ApiError(400, "bad_field", f"Field {name!r} must be text.")
    return body


async def read_form(request: web.Request) -> Mapping[str, str]:
    """A form's fields by name; what is no UTF-8 is replaced. Raises `ApiError` for a form that is none of our pages'."""
    content = await _body(request)
    if content and request.content_type != "application/x-www-form-urlencoded":
        raise ApiError(415, "not_form", "Send the form as the page does.")
    return dict(parse_qsl(content.decode(errors="replace")))


async def _body(request: web.Request) -> bytes:
    try:
        return await request.read()
    except web.RequestPayloadError:
        raise ApiError(400, "bad_body", "The body is not encoded as its Content-Encoding says.") from None
