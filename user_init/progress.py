"""How far the preparation is, and the answer to those who wait for it."""

import asyncio
import hmac
from dataclasses import asdict, dataclass
from http import HTTPStatus

from user_init.poll import Answer

POLL_SECONDS = 25.0
"""A poll is answered after so long, and asked again: below the time-outs of whatever lies between."""
_WAITING = Answer(HTTPStatus.GATEWAY_TIMEOUT, {"state": "waiting"})


@dataclass(frozen=True, slots=True)
class Step:
    """Something that was done for the user, for the page that they waited on."""

    name: str
    seconds: float


class Progress:
    """Knows the nonce of the allocation, and the steps once its folders are in place."""

    def __init__(self, poll_seconds: float = POLL_SECONDS) -> None:
        self._poll_seconds = poll_seconds
        self._nonce: str | None = None
        self._steps: tuple[Step, ...] | None = None
        self._changed = asyncio.Event()

    def allocated(self, nonce: str) -> None:
        """The GameServer is allocated under this nonce."""
        if nonce != self._nonce:
            self._nonce, self._steps = nonce, None
            self._tell()

    def prepared(self, steps: tuple[Step, ...]) -> None:
        """All is in place for that nonce."""
        self._steps = steps
        self._tell()

    def is_prepared(self, nonce: str) -> bool:
        return self._nonce == nonce and self._steps is not None

    async def answer(self, nonce: str) -> Answer:
        """What to say to somebody who waits for `nonce`, as soon as it is known, or after `poll_seconds`."""
        try:
            async with asyncio.timeout(self._poll_seconds):
                while (answer := self._verdict(nonce)) is None:
                    await self._changed.wait()
        except TimeoutError:
            return _WAITING
        return answer

    def _verdict(self, nonce: str) -> Answer | None:
        if self._nonce is None:
            return None
        if not hmac.compare_digest(self._nonce.encode(), nonce.encode(errors="surrogateescape")):
            message = "The GameServer is allocated under another nonce."
            return Answer(HTTPStatus.CONFLICT, {"error": {"code": "other_nonce", "message": message}})
        if self._steps is None:
            return None
        return Answer(HTTPStatus.OK, {"nonce": nonce, "state": "prepared", "steps": [asdict(step) for step in self._steps]})

    def _tell(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
