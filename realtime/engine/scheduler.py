"""Which answer is worked on next; plain Python, no tensors, no clock.

One decode step per running answer in turn, so that peers talk at once; between two prefills every
running answer gets a step, so that a new turn never stalls those who talk. `next` gives the step
to run, `done` records it. A cancelled answer is in no later step.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

from realtime.errors import Busy


@dataclass(frozen=True, slots=True)
class Prefill:
    """Compute the prompt of an answer, and its first token."""

    serial: int


@dataclass(frozen=True, slots=True)
class Decode:
    """Compute one more token of each of these answers."""

    serials: tuple[int, ...]


Step = Prefill | Decode


@dataclass(frozen=True, slots=True)
class SchedulerConfig:
    """How many answers are worked on at once, and how many may wait."""

    slots: int = 8
    queue: int = 64

    def __post_init__(self) -> None:
        """Refuse a scheduler that could never run anything."""
        if self.slots < 1 or self.queue < 0:
            raise ValueError("slots must be at least 1 and queue at least 0")


class Scheduler:
    """Answers waiting (normal before low, then in order of arrival) and running (in rotation)."""

    def __init__(self, config: SchedulerConfig) -> None:
        self.config = config
        self.waiting: dict[bool, deque[int]] = {False: deque(), True: deque()}
        """Serials by `low`; together at most `queue` beyond the free slots."""
        self.running: deque[int] = deque()
        self.owed = 0
        """Decode steps that running answers get before the next prefill."""

    def add(self, serial: int, *, low: bool) -> None:
        """Take an answer; raise Busy when too many wait."""
        free = self.config.slots - len(self.running)
        waiting = sum(map(len, self.waiting.values()))
        if waiting >= free + self.config.queue:
            raise Busy(f"{waiting} answers are waiting already", retry_after=1.0)
        self.waiting[low].append(serial)

    def cancel(self, serial: int) -> None:
        """Forget an answer, whatever its state; unknown ones are ignored."""
        for serials in (*self.waiting.values(), self.running):
            if serial in serials:
                serials.remove(serial)

    def confirm(self, serial: int) -> None:
        """Serve an answer of low priority as a normal one; others are ignored."""
        if serial in self.waiting[True]:
            self.waiting[True].remove(serial)
            # Serials are in order of arrival.
            self.waiting[False] = deque(sorted({*self.waiting[False], serial}))

    def next(self) -> Step | None:
        """Give the step to run now; None when there is nothing to do."""
        self.owed = min(self.owed, len(self.running))
        queue = self.waiting[False] or self.waiting[True]
        if queue and len(self.running) < self.config.slots and not self.owed:
            return Prefill(queue[0])
        return Decode((self.running[0],)) if self.running else None

    def done(self, step: Step, ended: frozenset[int] = frozenset()) -> None:
        """Record that a step was run and which of its answers ended with it."""
        match step:
            case Prefill(serial):
                self.cancel(serial)
                self.owed = len(self.running)
                self.running.extend({serial} - ended)
            case Decode(serials):
                for serial in serials:
                    self.running.remove(serial)
                self.running.extend(serial for serial in serials if serial not in ended)
                self.owed = max(0, self.owed - len(serials))
