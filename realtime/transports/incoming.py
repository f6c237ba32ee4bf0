"""What has come from peers and is not worked off yet: counted, bounded, and taken in slices.

Nobody who sends much may keep the others waiting: after a slice of time spent on one peer the loop
goes on to the next, however much of the first is left.
"""

from __future__ import annotations

SLICE_S = 0.001
"""Of work for one peer before the others have their turn."""
SMALL = 128
"""Bytes; what is smaller costs more by being one more than by what it says. 20 ms of a telephone's
audio have 160, and who replays a recording faster than it was recorded may send many of them."""
OVERHEAD = 64  # bytes that a message takes beside what it says
EXEMPT = 64 << 10  # bytes that any peer may have here, whatever the others have


def cost(message: bytes | str) -> int:
    """Give the bytes that a message takes, at most; empty ones take some, too."""
    narrow = isinstance(message, bytes) or message.isascii()
    return OVERHEAD + len(message) * (1 if narrow else 4)


class Incoming:
    """The bytes that all peers of a server together have sent and that it has not worked off."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.bytes = 0

    def change(self, before: int, after: int) -> bool:
        """Count what one peer has here; False: it adds to what is too much already."""
        self.bytes += after - before
        return self.bytes <= self.most or after <= max(before, EXEMPT)
