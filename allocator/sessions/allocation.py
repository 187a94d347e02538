"""Getting a user exactly one GameServer out of a store whose replies may be lost or late."""

import secrets

from allocator.sessions.context import Context
from allocator.sessions.model import Session
from allocator.settings import Profile
from fleet.base import AllocationRequest, AllocationState, GameServer, Uncertain
from runtime.names import (
    EMAIL_ANNOTATION,
    IDENTITY_ANNOTATION,
    LEASE_UID_ANNOTATION,
    NONCE_ANNOTATION,
    USER_LABEL,
    GameServerState,
)

TRIES = 6


async def allocate(context: Context, session: Session, profile: Profile, *, first: bool) -> GameServer | None:
    """A GameServer that carries the user's label and this Lease's uid; None when no server is Ready.

    Unless this is the `first` attempt for this Lease, an earlier one may have succeeded unheard: so the user's servers
    are listed first, and again after each answer that leaves it open. Raises `Uncertain` when it stays open.
    """
    request = AllocationRequest(
        fleet=profile.fleet,
        labels={USER_LABEL: session.key},
        annotations={
            IDENTITY_ANNOTATION: session.identity,
            EMAIL_ANNOTATION: session.email,
            NONCE_ANNOTATION: secrets.token_hex(16),
            LEASE_UID_ANNOTATION: session.uid,
        },
    )
    for attempt in range(TRIES):
        if attempt:
            await context.clock.sleep(context.timing.retry * attempt)
        try:
            if (attempt or not first) and (server := await _earlier(context, session, profile)):
                return server
            allocation = await context.fleet.allocate(request)
        except Uncertain:
            continue
        if allocation.state is AllocationState.UNALLOCATED:
            return None
        if allocation.state is AllocationState.ALLOCATED and allocation.gameserver:
            return allocation.gameserver
    raise Uncertain(f"no clear answer to the allocation for {session.key}")


async def _earlier(context: Context, session: Session, profile: Profile) -> GameServer | None:
    """The oldest server that an earlier attempt for this Lease got."""
    servers = [
        server
        for server in await context.servers_of(session.key)
        if server.state is GameServerState.ALLOCATED
        and not server.deleting
        and server.fleet == profile.fleet
        and server.annotations.get(LEASE_UID_ANNOTATION) == session.uid
    ]
    return min(servers, key=lambda server: (server.created_at, server.name), default=None)
