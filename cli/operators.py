"""`atelier status` and `atelier release`: questions to the operators' listener of a running Atelier."""

import asyncio
import json
import time
from http import HTTPStatus
from pathlib import Path
from typing import cast
from urllib.parse import quote

from allocator.identity.secret import read_secret
from allocator.settings import split_address
from cli import output
from runtime import http
from runtime.errors import UserError

TOKEN_FILE = "operator.token"  # noqa: S105 - the name of the file, not what is in it


def ask(address: str, data: Path, method: str, path: str) -> object:
    """The JSON answer of the operators' listener at `address` (host:port). Raises `UserError`."""
    host, port = split_address(address)
    token = read_secret(data / TOKEN_FILE).hex()
    try:
        reply = asyncio.run(http.call(host, port, method, path, headers={"Authorization": f"Bearer {token}"}, timeout=15.0))
        answer = reply.json() if reply.body else {}
    except http.HttpError as error:
        raise UserError(f"No answer from Atelier at {address} ({error}).", "Is it running? Start it with: atelier up") from None
    if reply.status == HTTPStatus.UNAUTHORIZED:
        problem = f"The Atelier at {address} does not know the token in {data / TOKEN_FILE}."
        raise UserError(problem, "Name the data folder that it was started with: --data FOLDER")
    if reply.status >= 400:
        raise UserError(_message(answer, reply.status), "")
    return answer


def _message(answer: object, status: int) -> str:
    error = answer.get("error") if isinstance(answer, dict) else None
    message = error.get("message") if isinstance(error, dict) else None
    return str(message) if message else f"Atelier answered with status {status}."


def status(address: str, data: Path, *, as_json: bool) -> None:
    """Print who holds what, since when, and why it is still alive."""
    answer = ask(address, data, "GET", "/sessions")
    if as_json:
        output.say(json.dumps(answer, indent=2))
        return
    sessions = cast("list[dict[str, object]]", answer["sessions"] if isinstance(answer, dict) else [])
    if not sessions:
        output.say("Nobody has a session.")
        return
    columns = ("USER", "STATE", "PROFILE", "GAMESERVER", "FOR", "LAST ACTIVITY", "BUSY", "WHY")
    output.table(columns, [_row(session, time.time()) for session in sessions])


def _row(session: dict[str, object], now: float) -> tuple[str, ...]:
    activity = cast("dict[str, object]", session.get("last_activity") or {})
    busy = cast("dict[str, object]", session.get("busy") or {})
    since, at = session.get("since"), activity.get("at")
    return (
        str(session.get("user", "")),
        str(session.get("state", "")),
        str(session.get("profile", "")),
        str(session.get("gameserver") or "-"),
        output.duration(now - since) if isinstance(since, int | float) else "-",
        f"{output.duration(now - at)} ago, {activity.get('kind')}" if isinstance(at, int | float) else "-",
        str(busy.get("state") or "-"),
        str(session.get("alive_because") or session.get("step") or session.get("reason") or ""),
    )


def release(address: str, data: Path, user: str) -> None:
    """End that user's session, named as `status` names them."""
    if not user:
        raise UserError("No user is named.", "`atelier status` lists those who have a session.")
    ask(address, data, "DELETE", f"/sessions/{quote(user, safe='')}")
    output.say(f"Released {user}. Their files stay where they are.")
