"""Who may come in, and how much a key may have."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, fields

ORIGIN = re.compile(r"https?://[a-z0-9.\-\[\]:]+")
"""RFC 6454 6.2: a scheme and a host, no path; browsers write them in small letters."""


@dataclass(frozen=True, slots=True)
class AuthConfig:
    """Who may come in; without any key everybody on this machine, and nobody else."""

    keys: tuple[str, ...] = field(default=(), repr=False)
    """API keys, each as it is or as `sha256:HEX`."""
    key_file: str | None = None
    """A file of API keys, hashed; `realtime key new FILE` adds one."""
    secret: str = field(default="", repr=False)
    """What short-lived keys are signed with; else each start of the server makes one."""
    origins: tuple[str, ...] = ()
    """Pages of other addresses that may connect, such as https://example.org; * is every one."""

    def __post_init__(self) -> None:
        """Refuse what protects nothing; raise ValueError naming the field and telling no secret."""
        if self.secret and len(self.secret) < 32:
            raise ValueError("secret must have at least 32 characters")
        for origin in self.origins:
            if origin not in ("*", "null") and not ORIGIN.fullmatch(origin):
                raise ValueError(f"origins must be like https://example.org, not {origin!r}")


@dataclass(frozen=True, slots=True)
class LimitsConfig:
    """What one key may have, all its sessions together; without keys, all peers; 0 is no limit."""

    sessions: int = 0
    """Open at once."""
    sessions_per_minute: int = 0
    """Opened."""
    responses_per_minute: int = 0
    audio_seconds_per_minute: int = 0
    """Of audio received; a microphone sends 60."""
    mints_per_minute: int = 600
    """Short-lived keys (`ek_`) made."""

    def __post_init__(self) -> None:
        """Refuse limits that mean nothing; raise ValueError naming the field."""
        for item in fields(self):
            if not 0 <= getattr(self, item.name) <= 1_000_000_000:
                raise ValueError(f"{item.name} must be 0 to 1000000000")
