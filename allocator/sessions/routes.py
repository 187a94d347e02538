"""Where each user's requests go: a plain dictionary, kept up by what the informers see."""

import logging
from collections.abc import Callable

from allocator.policy.reconcile import ENDED_UNEXPECTEDLY, usable
from allocator.sessions.api import Route
from allocator.sessions.context import Context
from allocator.sessions.model import USABLE, Session
from fleet.base import WEBUI_PORT, GameServer
from runtime.names import NONCE_ANNOTATION, USER_LABEL

log = logging.getLogger(__name__)


class RouteTable:
    """`refresh` looks at one user again, after their Lease or their GameServer changed."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._routes: dict[str, Route] = {}
        self._on_end: list[Callable[[str, str], None]] = []

    def get(self, key: str) -> Route | None:
        return self._routes.get(key)

    def on_end(self, callback: Callable[[str, str], None]) -> None:
        self._on_end.append(callback)

    def refresh(self, key: str) -> None:
        session = self._context.sessions.get(key)
        old, new = self._routes.get(key), self._route(session)
        if new is None:
            self._routes.pop(key, None)
        else:
            self._routes[key] = new
        if old is not None and (new is None or new.uid != old.uid):
            reason = (session.reason if session else "") or ENDED_UNEXPECTEDLY
            for callback in self._on_end:
                try:
                    callback(old.uid, reason)
                except Exception:
                    log.exception("a route's end was not heard")

    def _route(self, session: Session | None) -> Route | None:
        if session is None or session.state not in USABLE:
            return None
        server = self._context.server(session)
        if server is None or not _is_theirs(server, session) or server.address is None:
            return None
        port = server.ports.get(WEBUI_PORT)
        if port is None:
            return None
        return Route(server.uid, server.name, server.address, port, self._context.webui(session))


def _is_theirs(server: GameServer, session: Session) -> bool:
    """Named by the Lease, and put under this user's name and nonce by the allocation: all must agree."""
    current = session.current
    return (
        current is not None
        and usable(server, current.uid)
        and server.labels.get(USER_LABEL) == session.key
        and server.annotations.get(NONCE_ANNOTATION) == current.nonce
    )
