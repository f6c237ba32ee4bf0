"""Fakes that several tests share: a voice-activity model, sounds, and an in-memory peer."""

from __future__ import annotations

import asyncio
import json
import logging
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import structlog

from realtime.audio.pcm import Pcm, samples_of

GUARD_S = 20.0
"""How long a test waits for what must come; never how long it takes."""


@contextmanager
def undisturbed_logging() -> Iterator[None]:
    """Leave logging as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        yield
    finally:
        root.handlers = handlers
        root.setLevel(level)
        structlog.reset_defaults()


class LoudVad:
    """Call loud frames speech."""

    def __call__(self, frame: Pcm) -> bool:
        return bool(np.abs(frame.astype(np.int32)).max() > 1000)

    def reset(self) -> None:
        pass


def loud(ms: int) -> Pcm:
    """Make speech, as LoudVad hears it."""
    return np.where(np.arange(samples_of(ms)) % 40 < 20, 8000, -8000).astype(np.int16)


def quiet(ms: int) -> Pcm:
    """Make silence."""
    return np.zeros(samples_of(ms), np.int16)


def question(ms: int = 400) -> bytes:
    """Make an utterance with the silence that ends it."""
    return np.concatenate((quiet(100), loud(ms), quiet(800))).tobytes()


class MemoryPeer:
    """A Transport whose other end is the test: it says, reads, refuses to read, and vanishes."""

    def __init__(self) -> None:
        self.inbox: asyncio.Queue[bytes | str | None] = asyncio.Queue()
        self.got: list[dict] = []
        self.closed: tuple[int, str] | None = None
        self.left = False
        self.heard_at = -math.inf
        self.reading = asyncio.Event()
        self.reading.set()
        self.news = asyncio.Condition()

    # the connection's side

    async def receive(self) -> bytes | str | None:
        return await self.inbox.get()

    async def send(self, message: bytes | str) -> None:
        await self.reading.wait()
        self.got.append(json.loads(message))
        async with self.news:
            self.news.notify_all()

    async def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)
            self.inbox.put_nowait(None)

    # the test's side

    def say(self, *messages: bytes | str | dict) -> None:
        """Send messages; a dict goes as JSON."""
        for message in messages:
            self.inbox.put_nowait(json.dumps(message) if isinstance(message, dict) else message)

    def leave(self) -> None:
        """Close in order."""
        self.left = True
        self.inbox.put_nowait(None)

    def vanish(self) -> None:
        """Be gone."""
        self.inbox.put_nowait(None)

    def of(self, type: str) -> list[dict]:
        """Give the messages of one type that came so far."""
        return [message for message in self.got if message["type"] == type]

    @property
    def types(self) -> list[str]:
        """Give the types of all messages that came so far."""
        return [message["type"] for message in self.got]

    async def until(self, condition: Callable[[MemoryPeer], object]) -> None:
        """Wait until the condition holds."""
        async with asyncio.timeout(GUARD_S), self.news:
            await self.news.wait_for(lambda: condition(self))

    async def final(self, turn: int) -> dict:
        """Wait for the end of an answer."""
        await self.until(lambda peer: any(m["turn"] == turn for m in peer.of("final")))
        return next(m for m in self.of("final") if m["turn"] == turn)
