"""A verified user, and what verifies one."""

import base64
import hashlib
import hmac
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Protocol

Headers = Sequence[tuple[bytes, bytes]]
"""Names in lower case, values without surrounding blanks, in the order received."""


@dataclass(frozen=True, slots=True)
class User:
    """A verified identity. `key` is its HMAC under the installation's secret: label value, Lease name and folder name."""

    issuer: str
    subject: str
    email: str
    key: str

    @property
    def identity(self) -> str:
        """The raw identity, as annotations keep it."""
        return f"{self.issuer}|{self.subject}"

    def encode(self) -> bytes:
        """As the gateway tells it to the pages behind it, in a header that only the gateway can set."""
        return base64.urlsafe_b64encode(json.dumps(asdict(self)).encode())

    @classmethod
    def decode(cls, encoded: str) -> "User":
        """The reverse of `encode`. Raises `ValueError`."""
        fields = json.loads(base64.urlsafe_b64decode(encoded))
        return cls(**fields)


def user_key(secret: bytes, issuer: str, subject: str) -> str:
    """A name that tells nothing and collides with nobody: `u` and 40 hexadecimal digits of HMAC-SHA-256.

    The parts are length-prefixed, so that no two pairs make the same text.
    """
    text = f"{len(issuer)}:{issuer}{len(subject)}:{subject}"
    return "u" + hmac.new(secret, text.encode(), hashlib.sha256).hexdigest()[:40]


class Refused(Exception):
    """No verified identity. `page` names what a person is shown: `sign-in` (nobody yet) or `refused` (bad or not allowed)."""

    def __init__(self, reason: str, page: str = "refused", status: int = 403) -> None:
        super().__init__(reason)
        self.reason = reason
        self.page = page
        self.status = status


class Verifier(Protocol):
    """Finds the identity that a request proves. Called for every request, so it costs a dictionary lookup when warm."""

    consumes_headers: frozenset[bytes]
    """Headers that never reach a WebUI."""
    consumes_cookies: frozenset[bytes]

    def verify(self, headers: Headers, host: str, peer: str) -> User:
        """The user. `host` is the Host header's value, `peer` the connection's address. Raises `Refused`."""
        ...
