"""Who comes in: where from, with which key, and what that allows.

A key is taken from the first of these that is there; its value is never told, logged or echoed.

    Authorization: Bearer KEY                   everybody but browsers
    subprotocol openai-insecure-api-key.KEY     browsers, whose WebSockets have no headers
    api-key: KEY                                clients made for Azure

KEY is an API key, or a short-lived one (ek_...) that was issued with one. Where no key is
configured, whatever a client sends is welcome, for many cannot send nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from realtime.errors import ConfigError, Refused
from realtime.gateway.access.client_secrets import IssuedToken, TokenIssuer, looks_issued
from realtime.gateway.access.keys import KEYLESS, Keyring
from realtime.gateway.access.limits import Allowance, Allowances
from realtime.gateway.access.origins import Origins
from realtime.gateway.access.settings import AuthConfig, LimitsConfig

IN_SUBPROTOCOL = "openai-insecure-api-key."
SUBPROTOCOL = "realtime"

NO_KEY = (
    "You sent no API key. Send one in a header, Authorization: Bearer KEY, or from a browser as "
    f"the subprotocol {IN_SUBPROTOCOL}KEY beside {SUBPROTOCOL}."
)
WRONG_KEY = "The API key you sent is not one of this server's, or it has ended."
GONE_KEY = "The API key by which this was opened is not one of this server's any more."


@dataclass(frozen=True, slots=True)
class Grant:
    """What a peer that came in may have."""

    key: str
    """Id of the API key, also behind a short-lived one; KEYLESS where none is needed."""
    allowance: Allowance
    session: dict[str, Any] | None = None
    """Settings of the session (OpenAI's session object) to which a short-lived key is bound."""
    issued: str = ""
    """Id of the short-lived key, if it is one."""

    @property
    def short_lived(self) -> bool:
        """Tell whether it is by a short-lived key, which opens the session it is bound to alone."""
        return self.session is not None

    def owns(self, other: Grant) -> bool:
        """Tell whether what was opened by another grant is ours: a key has what it issued, too."""
        return self.key == other.key and (not self.short_lived or self.issued == other.issued)

    def need_whole(self, message: str) -> None:
        """Raise Refused, with what can be done, unless it is by an API key (or none is needed)."""
        if self.short_lived:
            raise Refused(403, "insufficient_permissions", message)


class Authenticator:
    """Lets peers in."""

    def __init__(
        self,
        auth: AuthConfig,
        limits: LimitsConfig,
        *,
        host: str,
        tls: bool,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self.keyring = Keyring(auth)
        self.issuer = TokenIssuer(auth.secret, wall)
        self.origins = Origins(
            auth.origins,
            keyless=not self.keyring.required,
            tls=tls,
            name=host,
        )
        self.allowances = Allowances(limits, clock)

    def reload(self, auth: AuthConfig, limits: LimitsConfig) -> None:
        """Take other settings up, all of them or, raising ConfigError, none; the secret stays."""
        keyring = Keyring(auth)
        if keyring.required != self.keyring.required:
            raise ConfigError("Whether a key is needed cannot change while the server runs.")
        self.keyring = keyring
        self.origins.allow(auth.origins)
        self.allowances.reload(limits)

    def gone(self, keys: Iterable[str]) -> set[str]:
        """Give those of some keys (ids) that let nobody in any more."""
        return set(keys) - self.keyring.ids() if self.keyring.required else set()

    def authorise(self, headers: Mapping[str, str], subprotocols: Iterable[str] = ()) -> Grant:
        """Let a peer in by the headers (names in small letters) of its request; raises Refused."""
        self.origins.check(headers)
        key = credential(headers, subprotocols)
        if key is not None and (issued := self.issuer.check(key)) is not None:
            return self.grant_issued(issued)
        if not self.keyring.required:
            # Only a key of ours that has ended matters: its session would not be what was meant.
            if key is not None and looks_issued(key):
                raise Refused(401, "invalid_api_key", WRONG_KEY)
            return Grant(KEYLESS, self.allowances.of(KEYLESS))
        if key is None:
            raise Refused(401, "missing_api_key", NO_KEY)
        if (found := self.keyring.find(key)) is None:
            raise Refused(401, "invalid_api_key", WRONG_KEY)
        return Grant(found.id, self.allowances.of(found.id))

    def grant_issued(self, issued: IssuedToken) -> Grant:
        """Let a holder of a short-lived key in, while the key that issued it is here."""
        if not self.keyring.required:
            return Grant(KEYLESS, self.allowances.of(KEYLESS), issued.session, issued.id)
        if self.gone({issued.key}):
            raise Refused(401, "invalid_api_key", WRONG_KEY)
        return Grant(issued.key, self.allowances.of(issued.key), issued.session, issued.id)


def credential(headers: Mapping[str, str], subprotocols: Iterable[str]) -> str | None:
    """Find the key that a peer sent."""
    scheme, _, bearer = headers.get("authorization", "").strip().partition(" ")
    if scheme.lower() == "bearer" and (key := bearer.strip()):
        return key
    for offered in subprotocols:
        if offered.startswith(IN_SUBPROTOCOL) and (key := offered.removeprefix(IN_SUBPROTOCOL)):
            return key
    return headers.get("api-key", "").strip() or None


def answer_to(subprotocols: Iterable[str]) -> str | None:
    """Choose the subprotocol to answer with: never the one that holds a key."""
    return SUBPROTOCOL if SUBPROTOCOL in subprotocols else None
