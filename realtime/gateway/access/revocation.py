"""Keys that are taken back: what they opened is closed, on every route, within a second.

A key must be missing twice, a while apart: who edits a file of keys may empty it first.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

LOOK_S = 0.3
"""Between two looks: a key that is deleted is noticed within two of them."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True, eq=False)
class Opened:
    """Something that a key opened, and what ends it."""

    key: str
    end: Callable[[], None]


class Revocation:
    """Ends what was opened by keys that are gone; it looks while anything is open."""

    def __init__(self, gone: Callable[[Iterable[str]], set[str]]) -> None:
        """`gone` gives those of some keys, by their ids, that are not here any more."""
        self.gone = gone
        self.opened: set[Opened] = set()
        self.missing: set[str] = set()
        """Keys that were not here when we looked last."""
        self.looking: asyncio.TimerHandle | None = None

    @contextmanager
    def ending(self, key: str, end: Callable[[], None]) -> Generator[None, None, None]:
        """Call `end`, once, when the key is gone before the block is over."""
        opened = Opened(key, end)
        self.opened.add(opened)
        if self.looking is None:
            self.wait()
        try:
            yield
        finally:
            self.opened.discard(opened)
            if not self.opened and self.looking is not None:
                self.looking.cancel()
                self.looking = None

    def wait(self) -> None:
        """Look in a while."""
        self.looking = asyncio.get_running_loop().call_later(LOOK_S, self.look)

    def look(self) -> None:
        """See whose keys are gone, and end what they opened."""
        missing = self.gone({opened.key for opened in self.opened})
        ended = {opened for opened in self.opened if opened.key in missing & self.missing}
        self.missing = missing
        self.opened -= ended
        self.looking = None
        if self.opened:
            self.wait()
        if ended:
            log.info("keys are gone; what they opened ends", opened=len(ended))
        for opened in ended:
            opened.end()
