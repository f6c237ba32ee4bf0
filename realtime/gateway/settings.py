"""What the gateway is set by: what connections may hold, who finds room, and what its parts have.

Settings stand beside the code that they set; no module of settings imports a server, so that
reading them costs nothing.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from realtime.audio.endpoint import EndpointConfig
from realtime.gateway.access.settings import AuthConfig, LimitsConfig
from realtime.gateway.http.settings import ServerConfig
from realtime.session.settings import SessionConfig
from realtime.transports.webrtc.settings import WebRtcConfig


@dataclass(frozen=True, slots=True)
class ConnectionConfig:
    """What a connection may hold, and how long it waits; seconds and bytes."""

    outbox_messages: int = 1_024
    outbox_bytes: int = 2 << 20
    messages_per_minute: int = 120_000
    """A minute's worth may come at once; above, long ones wait, short ones end it; 0: any."""
    frames_per_minute: int = 120_000
    """Of WebSocket, pings and pieces of messages included, if they are short; the same holds."""
    stall_s: float = 60.0
    """A peer that takes nothing of what waits for it for so long, while it sends, is left."""
    idle_s: float = 120.0
    """If nothing comes for so long, the peer is asked whether it is there."""
    idle_grace_s: float = 30.0
    """How long it may take to show that it is."""
    flush_s: float = 5.0
    """How long a connection that ends may take to send what it has for the peer."""
    lifetime_s: float = 3_600.0
    """How long a connection of /v1/realtime may last; its silence is no matter."""

    def __post_init__(self) -> None:
        """Refuse bounds that mean nothing; raise ValueError naming the field."""
        for name, most in (("outbox_messages", 1 << 20), ("outbox_bytes", 1 << 30)):
            if not 1 <= getattr(self, name) <= most:
                raise ValueError(f"{name} must be 1 to {most}, not {getattr(self, name)!r}")
        for name in ("messages_per_minute", "frames_per_minute"):
            if not 0 <= getattr(self, name) <= 1_000_000_000:
                raise ValueError(f"{name} must be 0 to 1000000000, not {getattr(self, name)!r}")
        for name in ("stall_s", "idle_s", "idle_grace_s", "flush_s", "lifetime_s"):
            if not 0 < getattr(self, name) <= 86_400:
                raise ValueError(f"{name} must be above 0, at most 86400")


@dataclass(frozen=True, slots=True)
class AdmissionConfig:
    """How many peers may be in, and how many conversations are kept for those who left."""

    sessions: int = 200
    parked: int = 1_000
    """Conversations without a connection; the one that was left longest ago goes first."""
    parked_bytes: int = 512 << 20
    """Of audio in those conversations; a full one has about 8 MB."""
    parked_s: float = 600.0
    """Seconds until a conversation without a connection is forgotten."""
    retry_after_s: float = 5.0
    """What a peer that finds no room is told to wait."""

    def __post_init__(self) -> None:
        """Refuse limits that mean nothing; raise ValueError naming the field."""
        if not 1 <= self.sessions <= 100_000:
            raise ValueError(f"sessions must be 1 to 100000, not {self.sessions!r}")
        if not 0 <= self.parked <= 1_000_000:
            raise ValueError(f"parked must be 0 to 1000000, not {self.parked!r}")
        if self.parked_bytes < 0:
            raise ValueError(f"parked_bytes must be 0 or more, not {self.parked_bytes!r}")
        if not 0 <= self.parked_s <= 604_800:
            raise ValueError(f"parked_s must be 0 to 604800 (a week), not {self.parked_s!r}")
        if not 0 < self.retry_after_s <= 3_600:
            raise ValueError(
                f"retry_after_s must be above 0, at most 3600, not {self.retry_after_s!r}"
            )


@dataclass(frozen=True, slots=True)
class GatewaySettings:
    """All that sets the gateway; each section is for the part that has it."""

    server: ServerConfig = field(default_factory=ServerConfig)
    connection: ConnectionConfig = field(default_factory=ConnectionConfig)
    admission: AdmissionConfig = field(default_factory=AdmissionConfig)
    auth: AuthConfig = field(default_factory=AuthConfig)
    limits: LimitsConfig = field(default_factory=LimitsConfig)
    webrtc: WebRtcConfig = field(default_factory=WebRtcConfig)
    endpoint: EndpointConfig = field(default_factory=EndpointConfig)
    session: SessionConfig = field(default_factory=SessionConfig)
