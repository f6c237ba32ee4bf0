"""How often answers end; what one who finds no room is told to wait."""

from __future__ import annotations

WEIGHT = 0.2
"""Of the newest answer in the average."""
LEAST, MOST = 0.1, 60.0
"""Seconds; what may be told at all."""


class RetryAfter:
    """The mean time between two ends, by Little's law: the time that each takes over their number.

    Unlike the ends themselves it says nothing wrong after a time in which nobody asked.
    """

    def __init__(self, otherwise: float) -> None:
        """Tell `otherwise`, in seconds, until the first answer has ended."""
        self.interval = otherwise
        self.known = False

    def ended(self, seconds: float, live: int) -> None:
        """Take in an answer that took so long, while there were so many (itself included)."""
        interval = seconds / max(1, live)
        weight = WEIGHT if self.known else 1.0
        self.interval += weight * (interval - self.interval)
        self.known = True

    @property
    def seconds(self) -> float:
        """Tell after how many seconds the next place is free."""
        return min(max(self.interval, LEAST), MOST)
