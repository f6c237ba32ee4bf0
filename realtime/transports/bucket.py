"""How much per minute: a token bucket, for frames, messages, answers and seconds of audio alike."""

from __future__ import annotations

from collections.abc import Callable

MINUTE = 60.0


class Bucket:
    """So much per minute, a minute's worth at once; a limit of 0 is none."""

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        self.size = per_minute
        self.clock = clock
        self.level = float(per_minute)
        self.seen_at = clock()

    def fill(self) -> float:
        """Let in what has come since last time; give what is there."""
        now = self.clock()
        self.level = min(self.size, self.level + (now - self.seen_at) * self.size / MINUTE)
        self.seen_at = now
        return self.level

    def take(self, amount: float) -> bool:
        """Take all of an amount, or nothing."""
        if not self.size:
            return True
        if self.fill() < amount:
            return False
        self.level -= amount
        return True

    def owe(self, amount: float, *, leaving: float = 0.0) -> float:
        """Take an amount that cannot be refused any more; what is missing is paid by waiting.

        Gives the seconds until so much is left.
        """
        if not self.size:
            return 0.0
        self.level = self.fill() - amount
        return max(0.0, leaving - self.level) * MINUTE / self.size

    def resize(self, per_minute: float) -> None:
        """Change the limit; what was used stays used, where there was one."""
        self.level = min(self.fill(), per_minute) if self.size else float(per_minute)
        self.size = per_minute

    def wait(self, amount: float) -> float:
        """Tell in how many seconds so much will be there, if no more is taken."""
        missing = min(amount, self.size) - self.fill()
        return max(0.0, missing) * MINUTE / self.size if self.size else 0.0
