"""How the server listens, and how it stops."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """Where to listen, and how to stop; seconds."""

    host: str = "127.0.0.1"
    port: int = 8765
    """0 takes any free port."""
    drain_s: float = 30.0
    """How long answers under way may take when the server goes away."""
    ping_interval_s: float = 20.0
    """Between WebSocket pings; a peer from which nothing comes for as long is dropped."""
    unread_bytes: int = 256 << 20
    """Of messages, whole or not, that all peers together sent and that are not worked off yet."""
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    log_json: bool = False
    tls_certificate: str | None = None
    """A file in PEM: the certificate, and those up to the root behind it."""
    tls_key: str | None = None
    """A file in PEM: the certificate's private key, without a password."""
    tls_by_proxy: bool = False
    """A proxy before this server speaks TLS: that keys come here without it is no cause to warn."""
    strangers: int = 1_024
    """Connections that have shown no key (yet), in all; one more, and the oldest is closed. No
    more than a quarter of the descriptors that the system allows."""
    strangers_per_address: int = 128
    """The same of one address, or one /64 of IPv6. Those of this machine count in all only: every
    peer has such an address when a reverse proxy runs here; for one elsewhere, raise this."""

    def __post_init__(self) -> None:
        """Refuse what cannot be listened on; raise ValueError naming the field."""
        if not 0 <= self.port <= 65_535:
            raise ValueError(f"port must be 0 to 65535, not {self.port!r}")
        if not 0 <= self.drain_s <= 3_600:
            raise ValueError(f"drain_s must be 0 to 3600, not {self.drain_s!r}")
        if not 0 < self.ping_interval_s <= 3_600:
            raise ValueError(f"ping_interval_s must be 0 to 3600, not {self.ping_interval_s!r}")
        for name in ("strangers", "strangers_per_address"):
            if not 1 <= getattr(self, name) <= 1_000_000:
                raise ValueError(f"{name} must be 1 to 1000000, not {getattr(self, name)!r}")
        if not 1 << 20 <= self.unread_bytes <= 1 << 40:
            raise ValueError(f"unread_bytes must be 1 MiB to 1 TiB, not {self.unread_bytes!r}")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key belong together; one of them is missing")
