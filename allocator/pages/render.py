"""Templates to responses, each with the strictest content security policy that it works under."""

from collections.abc import Mapping
from pathlib import Path

from aiohttp import web
from jinja2 import Environment, FileSystemLoader, StrictUndefined

from allocator.api.replies import encode
from allocator.pages.assets import Assets
from allocator.sessions.model import SessionState, SessionView

TEMPLATES = Path(__file__).parent / "templates"
POLICY: Mapping[str, str] = {
    "default-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
SECURITY_HEADERS: Mapping[str, str] = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}


def policy(changes: Mapping[str, str] | None = None) -> str:
    """The Content-Security-Policy, with the directives that a page needs otherwise."""
    return "; ".join(f"{name} {value}" for name, value in {**POLICY, **(changes or {})}.items())


async def secure(_: web.Request, response: web.StreamResponse) -> None:
    """Before any response leaves: what holds for every one of them, unless its page said otherwise."""
    response.headers.setdefault("Content-Security-Policy", policy())
    for name, value in SECURITY_HEADERS.items():
        response.headers.setdefault(name, value)


def about(seconds: float) -> str:
    """A length of time as people say it, rounded to what matters: `20 s`, `3 min`, `2 h 5 min`."""
    whole = max(0, round(seconds))
    if whole < 90:
        return f"{whole} s"
    minutes = round(whole / 60)
    if minutes < 90:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if rest else f"{hours} h"


def clock(seconds: float) -> str:
    """A running time: `0:07`, `12:30`, `1:02:03`."""
    minutes, rest = divmod(max(0, int(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def started_at(view: SessionView) -> float | None:
    """When the wait that is shown began: the first state entered, else the present one."""
    return view.timeline[0][1] if view.timeline else view.since


class Renderer:
    """All templates, with what each of them may use."""

    def __init__(self, assets: Assets) -> None:
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            auto_reload=False,
        )
        self._environment.globals.update(static=assets.url, State=SessionState, started_at=started_at)
        self._environment.filters.update(about=about, clock=clock, encoded=encode)

    def page(
        self,
        template: str,
        status: int = 200,
        *,
        policy_changes: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        **values: object,
    ) -> web.Response:
        """The page, kept by no cache. Raises jinja2's `UndefinedError` for a value that the template lacks."""
        return web.Response(
            text=self._environment.get_template(template).render(values),
            status=status,
            content_type="text/html",
            headers={
                "Cache-Control": "no-store",
                "Content-Security-Policy": policy(policy_changes),
                **(headers or {}),
            },
        )
