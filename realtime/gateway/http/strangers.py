"""Connections that nobody has vouched for: bounded in all and by address; the oldest make room.

Anybody may connect before showing a key, so what is kept for them is bounded. Whoever is one too
many is let in all the same and the one that has been here longest goes: if newcomers were refused,
a few who stay would shut out everybody who has a key.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from ipaddress import IPv6Address, ip_address

from starlette.types import Scope

VOUCH = "realtime.vouch"
"""Where a request's state has what is called when it turns out that its peer may be here."""


def vouch(scope: Scope) -> None:
    """Say that the peer of a request may be here: the bounds of strangers are not for it."""
    if (vouched := scope.get("state", {}).get(VOUCH)) is not None:
        vouched()


class Stranger:
    """A connection of which it is not known yet whether it may be here."""

    def __init__(self, strangers: Strangers, address: str, drop: Callable[[], None]) -> None:
        self.strangers = strangers
        self.network = network(address)
        self.drop = drop
        """Ends the connection at once."""
        self.late: asyncio.TimerHandle | None = None

    def expire_after(self, seconds: float) -> None:
        """End the connection unless somebody vouches for it in time."""
        self.late = asyncio.get_running_loop().call_later(seconds, self.expire)

    def expire(self) -> None:
        """End the connection."""
        drop = self.drop
        self.leave()
        drop()

    def leave(self) -> None:
        """Be no stranger any more: somebody vouched for it, or it is gone."""
        self.strangers.remove(self)
        self.drop = nothing  # it leads to the transport, and that back here
        if self.late is not None:
            self.late.cancel()


class Strangers:
    """All strangers of one server."""

    def __init__(self, *, most: int, most_of_one: int) -> None:
        """Hold at most so many in all, and of one address that is not this machine's."""
        self.most = most
        self.most_of_one = most_of_one
        self.all: dict[Stranger, None] = {}  # the oldest first
        self.of: dict[str, dict[Stranger, None]] = {}

    def enter(self, address: str, drop: Callable[[], None]) -> Stranger:
        """Take a connection in; the oldest of its address, or of all, goes if there are too many.

        Addresses of this machine are not told apart: behind them is a proxy, or its operator.
        """
        stranger = Stranger(self, address, drop)
        self.all[stranger] = None
        if stranger.network:
            those = self.of.setdefault(stranger.network, {})
            those[stranger] = None
            while len(those) > self.most_of_one:
                next(iter(those)).expire()
        while len(self.all) > self.most:
            next(iter(self.all)).expire()
        return stranger

    def remove(self, stranger: Stranger) -> None:
        """Forget one, if it is here."""
        self.all.pop(stranger, None)
        if (those := self.of.get(stranger.network)) is not None:
            those.pop(stranger, None)
            if not those:
                del self.of[stranger.network]

    def make_room(self) -> None:
        """End the one that has been here longest."""
        if self.all:
            next(iter(self.all)).expire()


def network(address: str) -> str:
    """Give what stands for one household: the address, of IPv6 its /64; empty for this machine."""
    try:
        ip = ip_address(address.partition("%")[0])
    except ValueError:
        return address
    if isinstance(ip, IPv6Address):
        ip = ip.ipv4_mapped or ip
    if ip.is_loopback:
        return ""
    return str(ip) if ip.version == 4 else ip.exploded[:19]


def nothing() -> None:
    """Do nothing."""
