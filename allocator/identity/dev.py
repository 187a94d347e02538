"""Dev mode: whoever sits at this machine says who they are. Only for listeners on loopback.

The first label of `NAME.localhost` is the user; scripts may send `X-Atelier-Dev-User: NAME` to plain `localhost`.
"""

import ipaddress
import re

from allocator.identity.base import Headers, Refused, User, user_key
from runtime.errors import UserError

ISSUER = "dev"
HEADER = b"x-atelier-dev-user"
NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,38}[a-z0-9])?")
"""A valid user: what a host name's label may be, and not longer than a person would type."""
WHAT_IS_VALID = "A name has 1 to 40 letters a-z, digits and hyphens, and neither begins nor ends with a hyphen."
_KNOWN_LIMIT = 10_000


class DevVerifier:
    """Believes the host name. Implements `allocator.identity.base.Verifier`."""

    consumes_headers = frozenset({HEADER})
    consumes_cookies: frozenset[bytes] = frozenset()

    def __init__(self, secret: bytes) -> None:
        self._secret = secret
        self._users: dict[str, User] = {}

    def verify(self, headers: Headers, host: str, peer: str) -> User:
        """The user that the host name or the header names. Raises `Refused`."""
        if not _is_loopback(peer):
            raise Refused("Dev mode answers this machine only.")
        label = _label(host)
        named = [value for name, value in headers if name == HEADER]
        if len(named) > 1:
            raise Refused("More than one X-Atelier-Dev-User header.")
        if named and label:
            raise Refused("The host name and X-Atelier-Dev-User both name a user: send only one of them.")
        name = named[0].decode("latin-1") if named else label
        if not name:
            raise Refused("Nobody is signed in.", page="sign-in", status=401)
        return self._users.get(name) or self._learn(name)

    def _learn(self, name: str) -> User:
        if not NAME.fullmatch(name):
            raise Refused(f"{name[:60]!r} is not a valid user. {WHAT_IS_VALID}")
        if len(self._users) >= _KNOWN_LIMIT:
            self._users.clear()
        user = User(ISSUER, name, f"{name}@localhost", user_key(self._secret, ISSUER, name))
        self._users[name] = user
        return user


def _label(host: str) -> str:
    """The part of the host name before `.localhost`; empty for plain loopback names. Raises `Refused`.

    Any other host is refused: a page of another site may have pointed its own name at 127.0.0.1.
    """
    name = host.lower()
    name = name[: name.index("]") + 1] if name.startswith("[") and "]" in name else name.rsplit(":", 1)[0]
    if name in {"localhost", "127.0.0.1", "[::1]"}:
        return ""
    label, dot, rest = name.rpartition(".localhost")
    if not dot or rest:
        raise Refused("Dev mode answers localhost and NAME.localhost only.")
    if not NAME.fullmatch(label):
        raise Refused(f"{label[:60]!r} is not a valid user. {WHAT_IS_VALID}")
    return label


def _is_loopback(peer: str) -> bool:
    try:
        return ipaddress.ip_address(peer).is_loopback
    except ValueError:
        return False


def require_loopback(addresses: list[str]) -> None:
    """Dev mode trusts whoever connects, so every listener has to be on loopback. Raises `UserError`."""
    for address in addresses:
        host = address.rsplit(":", 1)[0].strip("[]")
        if host != "localhost" and not _is_loopback(host):
            raise UserError(
                f"Identity `dev` trusts whoever connects, and {address} is reachable from other machines.",
                "Listen on localhost, 127.0.0.1 or ::1.",
            )
