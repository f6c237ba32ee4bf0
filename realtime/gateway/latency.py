"""How long answers take, from when they are due to their first piece and to their end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from realtime.metrics import Metrics
from realtime.session.events import Final, Notice, Partial, ResponseStarted


@dataclass(slots=True)
class Due:
    """When an answer was asked for, and when the first piece of it was told."""

    at: float
    first_at: float | None = None


class Latency:
    """One connection's answers that are due or under way."""

    def __init__(self, metrics: Metrics, clock: Callable[[], float]) -> None:
        self.metrics = metrics
        self.clock = clock
        self.due: dict[str, Due] = {}

    def timed(self, notice: Notice) -> Notice:
        """Note when the peer is told the first and the last of an answer, and tell it that too."""
        match notice:
            case ResponseStarted(response):
                self.due[response] = Due(self.clock())
            case Partial(seq=0, response=response):
                due = self.due[response]
                due.first_at = self.clock()
                self.metrics.first_token.observe(due.first_at - due.at)
            case Final():
                return self.ended(notice)
        return notice

    def ended(self, final: Final) -> Final:
        """Give the end of an answer with what it took, in milliseconds."""
        now = self.clock()
        due = self.due.pop(final.response)
        if final.finish != "interrupted":
            self.metrics.total.observe(now - due.at)
        first = (now if due.first_at is None else due.first_at) - due.at
        taken = (("first_token", first * 1e3), ("total", (now - due.at) * 1e3))
        return replace(final, ms=(*taken, *final.ms))
