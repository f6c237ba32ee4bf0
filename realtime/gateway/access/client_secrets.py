"""Short-lived keys for browsers: issued for a holder of an API key, bound to a session's settings.

    ek_PAYLOAD.SIGNATURE    PAYLOAD is base64url of JSON, SIGNATURE of HMAC-SHA256 over PAYLOAD

The signature is compared as text: base64 has several spellings for the same bytes, and only one
of them is a key. Settings that would make a header too long stay here, known by their hash.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import msgspec

from realtime.errors import Busy, LimitReached
from realtime.gateway.access.keys import KEYLESS

PREFIX = "ek_"
DEFAULT_S, SHORTEST_S, LONGEST_S = 600, 10, 7_200
INLINE_BYTES = 2_048  # of JSON; as base64 that is well below the 8 KiB a header may commonly have
KEPT_BYTES = 16 << 20
KEPT_OF_ONE = KEPT_BYTES // 4
"""Bytes of one API key's sessions: none fills the store for the others."""
RETRY_S = 60.0


class Payload(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is signed."""

    exp: int
    """Seconds since 1970 at which the key ends."""
    key: str
    """Id of the API key that issued it; KEYLESS when none was needed."""
    nonce: str
    session: dict[str, Any] | None = None
    kept: str | None = None
    """Hash of a session that is kept here."""


@dataclass(frozen=True, slots=True)
class IssuedToken:
    """A short-lived key that holds."""

    id: str
    """Its own."""
    key: str
    """Id of the API key that issued it."""
    session: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Kept:
    """A session that is kept for its short-lived keys."""

    key: str
    """Id of the API key that issued them."""
    expires_at: int
    session: bytes
    """JSON."""


class TokenIssuer:
    """Makes short-lived keys and tells whether one holds."""

    def __init__(self, secret: str, clock: Callable[[], float]) -> None:
        self.secret = secret.encode() or secrets.token_bytes(32)
        self.clock = clock
        self.kept: dict[str, Kept] = {}
        """Sessions too long for a header by the hash of key and session."""

    def issue(self, key: str, session: dict[str, Any], seconds: int) -> tuple[str, int]:
        """Make a key for so many seconds; give it and when it ends; raises Busy, LimitReached."""
        expires_at = int(self.clock()) + seconds
        text = msgspec.json.encode(session)
        nonce = secrets.token_urlsafe(12)
        if len(text) <= INLINE_BYTES:
            payload = Payload(expires_at, key, nonce, session=session)
        else:
            payload = Payload(expires_at, key, nonce, kept=self.keep(key, text, expires_at))
        signed = encoded(msgspec.json.encode(payload))
        return f"{PREFIX}{signed}.{self.sign(signed)}", expires_at

    def check(self, value: str) -> IssuedToken | None:
        """Give what a key is for; None when it is not ours, was changed, or has ended."""
        signed, _, signature = value.removeprefix(PREFIX).partition(".")
        given = signature.encode("utf-8", "replace")
        genuine = hmac.compare_digest(self.sign(signed).encode(), given)
        if not (value.startswith(PREFIX) and genuine):
            return None
        payload = msgspec.json.decode(decoded(signed), type=Payload)
        if payload.exp <= self.clock():
            return None
        session = payload.session
        if payload.kept is not None and payload.kept in self.kept:
            session = msgspec.json.decode(self.kept[payload.kept].session)
        return None if session is None else IssuedToken(payload.nonce, payload.key, session)

    def sign(self, signed: str) -> str:
        """Give the signature of a payload."""
        return encoded(hmac.digest(self.secret, signed.encode("utf-8", "replace"), "sha256"))

    def keep(self, key: str, text: bytes, expires_at: int) -> str:
        """Keep a session until its keys have ended; give its hash. Raises Busy, LimitReached."""
        now = self.clock()
        self.kept = {name: held for name, held in self.kept.items() if held.expires_at > now}
        name = hashlib.sha256(key.encode() + b" " + text).hexdigest()
        if name in self.kept:
            expires_at = max(expires_at, self.kept[name].expires_at)
        else:
            self.check_room(key, len(text))
        self.kept[name] = Kept(key, expires_at, text)
        return name

    def check_room(self, key: str, size: int) -> None:
        """Raise when a session of this size is one too many, for its key or for all."""
        sizes = [(held.key == key, len(held.session)) for held in self.kept.values()]
        if key != KEYLESS and sum(size for ours, size in sizes if ours) + size > KEPT_OF_ONE:
            message = "Too many long sessions of this key wait for their short-lived keys."
            raise LimitReached(message, retry_after=RETRY_S)
        if sum(size for _, size in sizes) + size > KEPT_BYTES:
            message = "Too many long sessions wait for their short-lived keys."
            raise Busy(message, retry_after=RETRY_S)


def looks_issued(value: str) -> bool:
    """Tell whether somebody takes this for a key of ours, right or wrong."""
    return value.startswith(PREFIX) and "." in value


def encoded(data: bytes) -> str:
    """Write base64url without padding (RFC 4648 5): it may stand in a list of subprotocols."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def decoded(text: str) -> bytes:
    """Read base64url without padding."""
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
