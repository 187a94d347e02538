"""Whose GameServer this is. Pure."""

import re
from dataclasses import dataclass

from agones_sdk.gameserver import GameServer
from runtime.names import (
    EMAIL_ANNOTATION,
    IDENTITY_ANNOTATION,
    LEASE_UID_ANNOTATION,
    NONCE_ANNOTATION,
    USER_LABEL,
    GameServerState,
)

_KEY = re.compile(r"u[0-9a-f]{40}")  # it names a folder
_NONCE = re.compile(r"[!-~]{1,128}")


@dataclass(frozen=True, slots=True)
class Assignment:
    """The user's key and the attempt that allocated the GameServer to them. `identity` and `email` are for people to read."""

    key: str
    nonce: str
    identity: str
    email: str = ""


def assigned(gameserver: GameServer) -> Assignment | None:
    """Whose it is; None while it is nobody's: not Allocated, ending, or without all that an allocation writes.

    What runs in the pod can make it Allocated but cannot write these: its labels and annotations get a prefix.
    """
    if gameserver.state != GameServerState.ALLOCATED or gameserver.deleted_at is not None:
        return None
    key = gameserver.labels.get(USER_LABEL, "")
    nonce = gameserver.annotations.get(NONCE_ANNOTATION, "")
    if not (_KEY.fullmatch(key) and _NONCE.fullmatch(nonce) and gameserver.annotations.get(LEASE_UID_ANNOTATION)):
        return None
    identity, email = (gameserver.annotations.get(name, "") for name in (IDENTITY_ANNOTATION, EMAIL_ANNOTATION))
    return Assignment(key, nonce, identity, email)
