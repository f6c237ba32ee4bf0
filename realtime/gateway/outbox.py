"""What waits to be sent to one peer: bounded in messages and in bytes.

Within the bounds there is always room for one message more, however long: what a peer asks to be
shown may be. Who answers a peer's own questions waits for `room` before the next one: half of the
bounds, so that the answers to one question, and what comes unasked, still fit.
"""

from __future__ import annotations

import asyncio
from collections import deque

from realtime.errors import SlowPeer


class Outbox:
    """A queue that takes no more once it was full: what follows a gap would mislead the peer."""

    def __init__(self, *, messages: int, size: int) -> None:
        self.most = messages
        self.most_bytes = size
        self.waiting: deque[tuple[bytes | str, int]] = deque()
        self.bytes = 0
        self.overflowed = False
        self.sent = True
        """Nothing waits, and nothing is being sent."""
        self.ended = False
        self.news = asyncio.Event()
        self.taken = asyncio.Event()

    @property
    def crowded(self) -> bool:
        """Tell whether so much waits that no further questions should be answered."""
        return 2 * len(self.waiting) > self.most or 2 * self.bytes > self.most_bytes

    async def room(self, patience: float) -> None:
        """Wait until it is not crowded, or over; raise SlowPeer if nothing is taken for so long."""
        while self.crowded and not (self.ended or self.overflowed):
            self.taken.clear()
            try:
                async with asyncio.timeout(patience):
                    await self.taken.wait()
            except TimeoutError:
                raise SlowPeer(f"Nothing was taken for {patience:g} s.") from None

    def put(self, message: bytes | str) -> None:
        """Add a message; after the end, or once there was no room, it is dropped."""
        if self.ended or self.overflowed:
            return
        size = len(message) if isinstance(message, bytes) else len(message.encode())
        self.sent = False
        if len(self.waiting) >= self.most or self.bytes > self.most_bytes:
            self.overflowed = True
            return
        self.waiting.append((message, size))
        self.bytes += size
        self.news.set()

    def end(self) -> None:
        """Take no more; `get` gives None after what is here."""
        self.ended = True
        self.news.set()
        self.taken.set()

    async def get(self) -> bytes | str | None:
        """Wait for the next message."""
        while not self.waiting:
            if self.ended:
                return None
            self.news.clear()
            await self.news.wait()
        message, size = self.waiting.popleft()
        self.bytes -= size
        self.taken.set()
        return message
