"""A session as a Lease, and back.

The schema version is an annotation. This version and the one before are understood: a field that an older version did
not write has a default. What another version wrote and this one does not know is carried along untouched.
"""

import json
from dataclasses import replace

from allocator.sessions.model import Activity, GameServerRef, Session, SessionState, Timeline
from fleet.base import Lease

SCHEMA = 1
PREFIX = "atelier.dev/"
KIND_LABEL = PREFIX + "kind"
SESSION_KIND = {KIND_LABEL: "session"}


class Unreadable(Exception):
    """A Lease of another schema, or a broken one: its session is neither used nor touched."""


def decode(lease: Lease) -> Session:
    """The session that a Lease keeps. Raises `Unreadable`."""
    notes = {name.removeprefix(PREFIX): value for name, value in lease.annotations.items() if name.startswith(PREFIX) and value}
    try:
        if int(notes.get("schema", "0")) not in {SCHEMA - 1, SCHEMA}:
            raise Unreadable(f"Lease {lease.name} has schema {notes['schema']}, this version understands {SCHEMA}")
        enqueued_at = float(notes.get("enqueued-at", lease.created_at))
        state = SessionState(notes["state"])
        return Session(
            key=lease.name,
            state=state,
            profile=notes["profile"],
            enqueued_at=enqueued_at,
            timeline=_timeline(notes.get("timeline", "[]")) or ((state, enqueued_at),),
            identity=notes.get("identity", ""),
            email=notes.get("email", ""),
            priority=int(notes.get("priority", "0")),
            attempt=notes.get("attempt", ""),
            current=_gameserver(notes.get("current")),
            next=_gameserver(notes.get("next")),
            activity=_activity(notes.get("activity")),
            page_seen=_seconds(notes.get("page-seen")),
            not_idle_at=_seconds(notes.get("not-idle-at")),
            failures=int(notes.get("failures", "0")),
            reason=notes.get("reason", ""),
            holder=lease.holder,
            renew_time=lease.renew_time,
            duration_seconds=lease.duration_seconds,
            uid=lease.uid,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise Unreadable(f"Lease {lease.name} is no session that can be read: {error!r}") from error


def encode(session: Session, lease: Lease | None = None) -> Lease:
    """`session` written over the Lease that was read, or a new Lease."""
    lease = lease or Lease(session.key)
    current, following, activity = session.current, session.next, session.activity
    notes = {
        "schema": str(SCHEMA),
        "state": session.state.value,
        "profile": session.profile,
        "enqueued-at": repr(session.enqueued_at),
        "timeline": json.dumps([[state.value, at] for state, at in session.timeline]),
        "identity": session.identity,
        "email": session.email,
        "priority": str(session.priority),
        "attempt": session.attempt,
        "current": json.dumps([current.name, current.uid, current.nonce]) if current else "",
        "next": json.dumps([following.name, following.uid, following.nonce]) if following else "",
        "activity": json.dumps([activity.at, activity.kind, activity.source]) if activity else "",
        "page-seen": "" if session.page_seen is None else repr(session.page_seen),
        "not-idle-at": "" if session.not_idle_at is None else repr(session.not_idle_at),
        "failures": str(session.failures),
        "reason": session.reason,
    }
    return replace(
        lease,
        holder=session.holder,
        renew_time=session.renew_time,
        duration_seconds=session.duration_seconds,
        labels={**lease.labels, **SESSION_KIND},
        annotations={**lease.annotations, **{PREFIX + name: value for name, value in notes.items()}},
    )


def _timeline(text: str) -> Timeline:
    return tuple((SessionState(state), float(at)) for state, at in json.loads(text))


def _gameserver(text: str | None) -> GameServerRef | None:
    if text is None:
        return None
    name, uid, nonce = json.loads(text)
    return GameServerRef(str(name), str(uid), str(nonce))


def _activity(text: str | None) -> Activity | None:
    if text is None:
        return None
    at, kind, source = json.loads(text)
    return Activity(float(at), str(kind), str(source))


def _seconds(text: str | None) -> float | None:
    return None if text is None else float(text)
