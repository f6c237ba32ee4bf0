"""When a peer that says nothing is asked whether it is there, and when left. No timer here."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Look:
    """What to do about a silence."""

    again_in: float
    """Seconds until the next look."""
    question: str = ""
    """What to ask the peer now, if anything."""


class Silence:
    """How long nothing came from one peer."""

    def __init__(self, idle_s: float, grace_s: float, now: float) -> None:
        self.idle_s = idle_s
        self.grace_s = grace_s
        self.heard_at = now
        self.asked_after: float | None = None
        """When it was heard last before it was asked."""

    def heard(self, at: float) -> None:
        """Note when something came."""
        self.heard_at = max(self.heard_at, at)

    def look(self, now: float, *, busy: bool) -> Look | None:
        """Say what is to be done; None: it was asked, nothing came, and it is to be left.

        Who waits for an answer (`busy`) may be silent.
        """
        silent = now - self.heard_at
        if busy:
            return Look(self.idle_s)
        if silent < self.idle_s:
            return Look(self.idle_s - silent)
        if self.asked_after == self.heard_at:
            return None
        self.asked_after = self.heard_at
        said = f"Nothing came for {silent:.0f} s; without a sign the connection is closed."
        return Look(self.grace_s, said)
