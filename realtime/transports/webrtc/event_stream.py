"""A session's messages for peers that have no data channel: kept for a while, read as they come.

Nobody is waited for: who reads too slowly, or comes late, misses the oldest.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator

KEPT = 256
"""Messages of one session; each is one event of a conversation, tens to thousands of bytes."""

MOST_READERS = 4
COMMENT_S = 15.0
"""Between signs of life, which keep proxies from cutting a quiet stream."""


class EventStream:
    """The last messages of a session, numbered from 1."""

    def __init__(self) -> None:
        self.kept: deque[str] = deque(maxlen=KEPT)
        self.count = 0
        self.readers = 0
        self.ended = False
        self.news = asyncio.Event()

    def add(self, message: str) -> None:
        """Add a message; the oldest may have to go."""
        self.kept.append(message)
        self.count += 1
        self.wake()

    def end(self) -> None:
        """Let all readers finish."""
        self.ended = True
        self.wake()

    def wake(self) -> None:
        """Tell all that wait; each waits for an event that is set once."""
        self.news.set()
        self.news = asyncio.Event()

    def since(self, number: int) -> list[tuple[int, str]]:
        """Give the messages after this number that are still here, with theirs."""
        first = self.count - len(self.kept) + 1
        return [(at, text) for at, text in enumerate(self.kept, first) if at > number]

    async def follow(self, number: int) -> AsyncIterator[str]:
        """Give what comes after a number as server-sent events (WHATWG HTML 9.2.6)."""
        self.readers += 1
        try:
            while True:
                news, ended = self.news, self.ended
                for at, text in self.since(number):
                    yield sent_event(at, text)
                    number = at
                if ended:
                    return
                try:
                    async with asyncio.timeout(COMMENT_S):
                        await news.wait()
                except TimeoutError:
                    yield ":\n\n"
        finally:
            self.readers -= 1


def sent_event(number: int, text: str) -> str:
    """Write one event."""
    data = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
    return f"id: {number}\n{data}\n"
