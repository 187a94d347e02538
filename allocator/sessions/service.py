"""Sessions as one replica serves them: `SessionService` keeps the contracts `Sessions` and `Routes`."""

from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import TypeVar

from allocator.autoscaling import review as autoscaling
from allocator.identity.base import User
from allocator.sessions.activity import Recorder, touched
from allocator.sessions.api import Route, SessionRefused
from allocator.sessions.context import Context, HttpCall, Timing
from allocator.sessions.expiry import Expiry
from allocator.sessions.history import History
from allocator.sessions.lease import Unreadable
from allocator.sessions.model import USABLE, WAITING, Activity, ProfileView, Session, SessionState, SessionView
from allocator.sessions.opening import Opener
from allocator.sessions.routes import RouteTable
from allocator.sessions.runner import Runner
from allocator.sessions.starter import Starter
from allocator.sessions.stats import Stats, UserSession, stats
from allocator.sessions.store import SessionStore
from allocator.sessions.subscribers import Subscribers
from allocator.sessions.views import Views
from allocator.settings import Settings
from fleet.base import Fleet, FleetError, GameServer, LeaseStore, NotFound
from fleet.informer import Change, Informer
from runtime import http
from runtime.clock import Clock
from runtime.names import USER_LABEL

T = TypeVar("T")


class SessionService:
    """`run` must be running for anything to happen; `ready` says when it can be asked.

    `identity` names this process and must be new for every process, as client-go's identities are.
    """

    def __init__(
        self,
        settings: Settings,
        fleet: Fleet,
        leases: LeaseStore,
        clock: Clock,
        identity: str,
        *,
        call: HttpCall = http.call,
        timing: Timing | None = None,
    ) -> None:
        servers = Informer(fleet, clock)
        known = Informer(leases, clock)
        self._sessions = SessionStore(leases, known, clock)
        self._context = Context(
            identity, settings, timing or Timing(), clock, fleet, servers, self._sessions, call, Expiry(clock)
        )
        self._recorder = Recorder(self._context)
        self._starter = Starter(self._context)
        self._opener = Opener(self._context, self._starter)
        self._reviews: Counter[str] = Counter()
        self._runner = Runner(self._context, leases, known, self._starter, self._recorder, self._reviews.__getitem__)
        self._history = History(clock)
        self._views = Views(self._context, self._history)
        self._routes = RouteTable(self._context)
        self._subscribers = Subscribers()
        self._sessions.listen(self._session_changed)
        servers.on_change(self._server_changed)

    @property
    def ready(self) -> bool:
        """This replica knows the sessions and can serve them (/readyz)."""
        return self._runner.ready

    async def run(self) -> None:
        """Serve until cancelled."""
        await self._runner.run()

    def view(self, key: str) -> SessionView:
        return self._views.of(self._sessions.get(key))

    def profiles(self, user: User) -> tuple[ProfileView, ...]:  # noqa: ARG002 - the contract; which user may have what comes later
        return tuple(
            ProfileView(p.name, p.title or p.name, p.webui, p.idle_timeout, p.warm, p.size, p.description)
            for p in self._context.settings.profiles
        )

    async def start(self, user: User, profile: str = "") -> SessionView:
        wanted = self._context.settings.profile(profile)
        if wanted is None:
            raise SessionRefused("unknown_profile", f"There is no profile {profile!r}. Choose one of those offered.", 404)
        if not self.ready:
            raise SessionRefused("starting", "Atelier is starting. Try again in a moment.", 503, retry_after=1)
        session = await _answered(self._opener.open(user, wanted))
        self.page_seen(user.key)
        return self._views.of(session)

    async def extend(self, user: User) -> SessionView:
        session = await _answered(self._touch(user.key, "extend"))
        if session.state not in USABLE:
            raise no_session()
        return self._views.of(session)

    async def release(self, key: str, reason: str) -> SessionView:
        def end(session: Session) -> Session | None:
            if session.state in WAITING and session.current is None:
                return session.enter(SessionState.ENDED, self._context.clock.time(), reason)
            if session.state in WAITING | USABLE:
                return session.enter(SessionState.RELEASING, self._context.clock.time(), reason)
            return None

        try:
            return self._views.of(await _answered(self._sessions.step(key, end, fresh=True)))
        except NotFound:
            return self.view(key)

    async def presence(self, user: User, source: str) -> None:
        session = self._sessions.get(user.key)
        if session is None:
            return
        if session.state is SessionState.ENDING:
            await _answered(self._touch(user.key, "presence", source))
        elif session.state in USABLE:
            self._recorder.saw(user.key, "presence", source)

    def page_seen(self, key: str) -> None:
        session = self._sessions.get(key)
        if session is not None and session.state in WAITING:
            self._recorder.page_seen(key)

    async def changes(self, key: str) -> AsyncIterator[SessionView]:
        with self._subscribers.subscribed(key) as changed:
            told = None
            while True:
                changed.clear()
                view = self.view(key)
                if told is None or replace(view, now=told.now) != told:
                    told = view
                    yield view
                await changed.wait()

    def route(self, key: str) -> Route | None:
        return self._routes.get(key)

    def activity(self, key: str, kind: str) -> None:
        self._recorder.saw(key, kind)

    async def admit(self, key: str) -> bool:
        session = self._sessions.get(key)
        if session is None or session.state not in USABLE:
            return False
        if session.state is SessionState.ACTIVE:
            return True
        try:
            return (await self._touch(key, "generation")).state in USABLE
        except (FleetError, Unreadable):
            return False

    def on_end(self, callback: Callable[[str, str], None]) -> None:
        self._routes.on_end(callback)

    def review(self, review: object) -> dict[str, object] | None:
        """The answer to a FleetAutoscaleReview; None (HTTP 503) when memory cannot be believed. Raises `BadReview`."""
        if not self.ready:
            return None
        context, fleet = self._context, autoscaling.fleet_of(review)
        failures = self._history.failures(fleet)
        answer = autoscaling.answer(
            review, context.settings, self._sessions.all(), context.servers.items(), failures, context.clock.time()
        )
        self._reviews[fleet] += 1
        return answer

    def stats(self) -> Stats:
        """For /metrics."""
        return stats(self._context, self._history, leading=self._runner.leading, ready=self.ready)

    def everyone(self) -> tuple[UserSession, ...]:
        """All sessions, for operators."""
        sessions = sorted(self._sessions.all(), key=lambda session: session.enqueued_at)
        return tuple(UserSession(s.key, s.identity, s.email, self._views.of(s)) for s in sessions)

    async def _touch(self, key: str, kind: str, source: str = "") -> Session:
        """Activity written through. Raises `FleetError`, `Unreadable`; `SessionRefused` when there is no session."""
        activity = Activity(self._context.clock.time(), kind, source or self._context.identity)
        try:
            return await self._sessions.step(
                key, lambda session: touched(session, activity, self._context.profile(session)), fresh=True
            )
        except NotFound:
            raise no_session() from None

    def _session_changed(self, old: Session | None, new: Session | None) -> None:
        session = new or old
        if session is None:
            return
        self._history.session_changed(old, new)
        self._routes.refresh(session.key)
        self._subscribers.tell(session.key)
        if old is None or new is None or old.state is not new.state:
            self._tell_queue()
        self._context.wake()

    def _server_changed(self, change: Change[GameServer]) -> None:
        self._history.server_changed(change)
        keys = {server.labels.get(USER_LABEL) for server in (change.old, change.new) if server}
        for key in keys - {None}:
            assert key is not None
            self._routes.refresh(key)
            self._subscribers.tell(key)
        if change.old is None or change.new is None or change.old.state is not change.new.state:
            self._tell_queue()
        self._context.wake()

    def _tell_queue(self) -> None:
        """Places and expected times of everyone in a queue may have changed."""

        def queued(key: str) -> bool:
            session = self._sessions.get(key)
            return session is not None and session.state is SessionState.QUEUED

        self._subscribers.tell_all(queued)


async def _answered(act: Awaitable[T]) -> T:
    """What a store's troubles mean to a person. Raises `SessionRefused`; `NotFound` goes through."""
    try:
        return await act
    except NotFound:
        raise
    except Unreadable:
        message = "Your session was written by another version of Atelier. Ask whoever runs it."
        raise SessionRefused("unreadable_session", message, 503) from None
    except FleetError:
        message = "Sessions cannot be reached just now. Try again in a moment."
        raise SessionRefused("unavailable", message, 503, retry_after=2) from None


def no_session() -> SessionRefused:
    return SessionRefused("no_session", "You have no running WebUI. Start one first.", 409)
