"""One live answer: what was asked, what has come, what its consumer has not taken yet."""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import replace

from realtime.engine.api import Delta, Request
from realtime.engine.worker import messages

PENDING = 64
"""Deltas kept apart for a consumer that lags."""


class LiveRequest:
    """An answer that somebody waits for, across deaths of the worker."""

    def __init__(self, serial: int, request: Request) -> None:
        self.serial = serial
        self.request = request
        self.clips = messages.clips_of(request)
        self.received: list[int] = []
        self.deaths = 0
        """Deaths of the worker while at this answer, since the last token."""
        self.asked = 0
        """How often the present worker was asked; 0 means that it does not know of this answer."""
        self.begun = False
        """Whether the present worker is at it and has brought no token of it yet."""
        self.suspect = False
        """Whether a worker died at this answer or at another that it was at, too."""
        self.pending: deque[Delta] = deque()
        self.error: Exception | None = None
        self.over = False
        """Nothing more will come: it finished or failed."""
        self.news = asyncio.Event()

    def rest(self) -> Request:
        """Give the request for what has not come yet."""
        return replace(self.request, prefix=(*self.request.prefix, *self.received))

    def push(self, delta: Delta) -> None:
        """Keep a delta for the consumer, joined to the last one when many wait."""
        if delta.tokens:
            self.received.extend(delta.tokens)
            self.deaths, self.begun, self.suspect = 0, False, False
        elif not delta.finish:
            return
        self.over = delta.finish is not None
        if len(self.pending) >= PENDING:
            last = self.pending.pop()
            delta = replace(
                delta,
                tokens=last.tokens + delta.tokens,
                text=last.text + delta.text,
                logprobs=last.logprobs + delta.logprobs,
            )
        self.pending.append(delta)
        self.news.set()

    def fail(self, error: Exception) -> None:
        """End with an error, which the consumer gets after what is pending."""
        if not self.over:
            self.error, self.over = error, True
            self.news.set()

    async def take(self) -> Delta:
        """Give the next delta, or raise what ended the answer."""
        while not self.pending:
            if self.error:
                raise self.error
            self.news.clear()
            await self.news.wait()
        return self.pending.popleft()
