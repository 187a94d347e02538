"""Answers a FleetAutoscaleReview, as Agones' FleetAutoscaler of type Webhook sends it."""

from collections.abc import Collection

from allocator.policy.scaling import Failures, desired
from allocator.sessions.model import Session
from allocator.settings import Settings
from fleet.base import GameServer


class BadReview(Exception):
    """The body is no review, or of a Fleet that belongs to no profile (HTTP 400)."""


def answer(
    review: object,
    settings: Settings,
    sessions: Collection[Session],
    servers: Collection[GameServer],
    failures: Failures,
    now: float,
) -> dict[str, object]:
    """The review with its response: how many replicas its Fleet should have. Raises `BadReview`.

    To be called with synced caches only: without them nothing is known, and the answer is HTTP 503.
    """
    request = _request(review)
    fleet, status = request.get("name"), request.get("status")
    profile = next((profile for profile in settings.profiles if profile.fleet == fleet), None)
    if profile is None:
        raise BadReview(f"Fleet {fleet!r} holds no profile's GameServers.")
    wanted = desired(profile, sessions, servers, failures, now)
    has = status.get("replicas") if isinstance(status, dict) else None
    response = {"uid": request.get("uid", ""), "scale": wanted.replicas != has, "replicas": wanted.replicas}
    return {"request": request, "response": response}


def fleet_of(review: object) -> str:
    """The name of the Fleet that asks. Raises `BadReview`."""
    return str(_request(review).get("name", ""))


def _request(review: object) -> dict[str, object]:
    request = review.get("request") if isinstance(review, dict) else None
    if not isinstance(request, dict):
        raise BadReview("A FleetAutoscaleReview with a `request` is needed.")
    return {str(name): value for name, value in request.items()}
