"""Names that both sides of a GameServer write and read: the allocator and its pod.

The SDK server prefixes every label and annotation key that it is given, so what runs in the pod names the key when it
writes and the whole annotation when it reads.
"""

from enum import StrEnum
from typing import Final

USER_LABEL: Final = "atelier.dev/user"
"""Label that an allocation puts on a GameServer: the user's key. A server carries it from then on, for its whole life."""
IDENTITY_ANNOTATION: Final = "atelier.dev/identity"
"""Who the user is: issuer and subject, as `User.identity` has them. Put on by the allocation."""
EMAIL_ANNOTATION: Final = "atelier.dev/email"
"""The user's e-mail, for people to read; it may change, and may be missing."""
NONCE_ANNOTATION: Final = "atelier.dev/nonce"
"""The attempt's nonce: whoever claims to have prepared this GameServer must name it."""
LEASE_UID_ANNOTATION: Final = "atelier.dev/lease-uid"
"""Uid of the session's Lease. An Allocated server without it was adopted by nobody (the dead-man's switch)."""

SDK_PREFIX: Final = "agones.dev/sdk-"
"""The SDK server prefixes every label and annotation key with this. All of it is the word of what runs in the pod."""
BUSY_KEY: Final = "atelier-busy"
PREPARED_KEY: Final = "atelier-prepared"
BUSY_ANNOTATION: Final = SDK_PREFIX + BUSY_KEY
"""The sidecar's report as JSON: {"state": "busy" | "idle" | "unknown", "since": epoch seconds, "job": text,
"answering": whether the WebUI answers at all}."""
PREPARED_ANNOTATION: Final = SDK_PREFIX + PREPARED_KEY
"""user_init's record: the nonce for which the folders are in place."""


class GameServerState(StrEnum):
    """Agones' states (pkg/apis/agones/v1/gameserver.go), in the order of a server's life."""

    PORT_ALLOCATION = "PortAllocation"
    CREATING = "Creating"
    STARTING = "Starting"
    SCHEDULED = "Scheduled"
    REQUEST_READY = "RequestReady"
    READY = "Ready"
    RESERVED = "Reserved"
    ALLOCATED = "Allocated"
    UNHEALTHY = "Unhealthy"
    ERROR = "Error"
    SHUTDOWN = "Shutdown"


BEFORE_READY: Final = frozenset(
    {
        GameServerState.PORT_ALLOCATION,
        GameServerState.CREATING,
        GameServerState.STARTING,
        GameServerState.SCHEDULED,
        GameServerState.REQUEST_READY,
    }
)
"""The states from which the SDK's Ready moves forward; from any other it would take a user's GameServer away."""
TERMINAL: Final = frozenset({GameServerState.UNHEALTHY, GameServerState.ERROR, GameServerState.SHUTDOWN})
"""No way leads out of these: a Fleet replaces the server."""
