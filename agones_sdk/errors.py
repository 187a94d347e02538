"""How a call to the SDK server fails, in three words instead of gRPC's seventeen codes."""

from collections.abc import Iterator
from contextlib import contextmanager

import grpc
import grpc.aio


class SdkError(Exception):
    """A call failed. It says nothing about the GameServer; after a call that changes something, only the watch tells."""


class SdkUnavailable(SdkError):
    """The SDK server is not there, or went away before it answered."""


class SdkTimeout(SdkError):
    """The SDK server did not answer within the deadline."""


class SdkRefused(SdkError):
    """The SDK server answered with an error: asking again will not help."""


KINDS: dict[grpc.StatusCode, type[SdkError]] = {
    grpc.StatusCode.UNAVAILABLE: SdkUnavailable,
    grpc.StatusCode.CANCELLED: SdkUnavailable,  # by the server, as it stops; our own cancellation is a CancelledError
    grpc.StatusCode.DEADLINE_EXCEEDED: SdkTimeout,
}


@contextmanager
def translated(call: str) -> Iterator[None]:
    """Raise `SdkError` for what gRPC raises inside."""
    try:
        yield
    except grpc.aio.AioRpcError as error:
        kind = KINDS.get(error.code(), SdkRefused)
        raise kind(f"{call}: {error.details() or error.code().name}") from error
