"""How many calls there may be, and what they need to be reached."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from ipaddress import ip_address

ICE_URL = re.compile(r"(stuns?:[^\s?]+|turns?:[^\s?]+(\?transport=(udp|tcp))?)")  # RFC 7064, 7065


@dataclass(frozen=True, slots=True)
class WebRtcConfig:
    """Calls over WebRTC: how many, and by which ICE servers; none unless told."""

    peers: int = 100
    opening: int = 32
    """Calls that are not connected yet; each has a place and a port until then. One key may have
    half of them."""
    connect_s: float = 15.0
    """Seconds that a call may take to connect."""
    ice_servers: str = ""
    """Addresses like stun:example.org:3478 or turn:example.org?transport=udp, between spaces."""
    ice_username: str = ""
    ice_credential: str = field(default="", repr=False)
    """Of the TURN servers; peers are told them too."""
    public_address: str = ""
    """The IP address by which peers reach this machine, if it is not one of its own."""

    def __post_init__(self) -> None:
        """Refuse what cannot be meant; raise ValueError naming the field."""
        for name in ("peers", "opening"):
            if not 1 <= getattr(self, name) <= 10_000:
                raise ValueError(f"{name} must be 1 to 10000, not {getattr(self, name)!r}")
        if not 0 < self.connect_s <= 300:
            raise ValueError(f"connect_s must be above 0, at most 300, not {self.connect_s!r}")
        for url in self.ice_urls:
            if not ICE_URL.fullmatch(url):
                raise ValueError(f"ice_servers must be stun: and turn: addresses, not {url!r}")
        if self.public_address:
            ip_address(self.public_address)  # its ValueError says what is wrong

    @property
    def opening_of_one(self) -> int:
        """Give how many of the calls that are not connected yet may be one key's: half of them."""
        return max(1, self.opening // 2)

    @property
    def ice_urls(self) -> tuple[str, ...]:
        """Give the addresses of the ICE servers."""
        return tuple(self.ice_servers.split())
