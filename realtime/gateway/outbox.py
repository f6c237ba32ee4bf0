"""What waits to be sent to one peer: bounded in messages and in bytes."""

from __future__ import annotations

import asyncio
from collections import deque


class Outbox:
    """A queue that takes no more once it was full: what follows a gap would mislead the peer."""

    def __init__(self, *, messages: int, size: int) -> None:
        self.most = messages
        self.most_bytes = size
        self.waiting: deque[tuple[bytes | str, int]] = deque()
        self.bytes = 0
        self.overflowed = False
        self.ended = False
        self.news = asyncio.Event()

    def put(self, message: bytes | str) -> None:
        """Add a message; after the end, or once there was no room, it is dropped."""
        if self.ended or self.overflowed:
            return
        size = len(message) if isinstance(message, bytes) else len(message.encode())
        if len(self.waiting) >= self.most or self.bytes + size > self.most_bytes:
            self.overflowed = True
            return
        self.waiting.append((message, size))
        self.bytes += size
        self.news.set()

    def end(self) -> None:
        """Take no more; `get` gives None after what is here."""
        self.ended = True
        self.news.set()

    async def get(self) -> bytes | str | None:
        """Wait for the next message."""
        while not self.waiting:
            if self.ended:
                return None
            self.news.clear()
            await self.news.wait()
        message, size = self.waiting.popleft()
        self.bytes -= size
        return message
