"""RTP packets in the order in which they were sent, with no delay beyond what order needs.

Nobody plays this audio, so there is no playout clock: a packet leaves as soon as all before it
have left. Only a gap holds its successors back, until what is missing comes or is given up.
"""

from __future__ import annotations

from dataclasses import dataclass

CLOCK = 48_000
"""Ticks of an Opus RTP timestamp per second (RFC 7587 4.1), whatever the audio's rate."""

HOLD_S = 0.08
"""How long a gap is waited for, in seconds. Packets that are sent in bursts and delayed by up to
60 ms, each by its own time, then come before they are given up."""

MOST_HELD = 64  # packets; 20 ms ones come 4 in HOLD_S
FAR = 1_000  # packets: a jump in the sequence beyond it is a sender that began anew


@dataclass(frozen=True, slots=True)
class Packet:
    """One RTP packet of audio; `sequence` and `timestamp` as on the wire (RFC 3550 5.1)."""

    source: int
    sequence: int
    timestamp: int
    payload: bytes


class JitterBuffer:
    """Sort packets; drop copies, and what comes after it was given up."""

    def __init__(self) -> None:
        self.source: int | None = None
        self.held: dict[int, tuple[Packet, float]] = {}
        """By sequence number, with the time at which each came."""
        self.due = 0
        """The sequence number that leaves next, mod 2**16."""

    def push(self, packet: Packet, at: float) -> list[Packet]:
        """Return the packets whose turn it is now; `at` is when this one came, in seconds."""
        ready = []
        ahead = signed(packet.sequence - self.due, 16)
        if packet.source != self.source or abs(ahead) > FAR:
            ready = self.drain()
            self.source, self.due = packet.source, packet.sequence
        elif ahead < 0:
            return []
        self.held.setdefault(packet.sequence, (packet, at))
        ready += self.run()
        while self.held and self.too_late(at):
            self.due = min(self.held, key=self.ahead)
            ready += self.run()
        return ready

    def too_late(self, now: float) -> bool:
        """Tell whether what is missing has been waited for long enough."""
        since = min(at for _, at in self.held.values())
        return now - since >= HOLD_S or len(self.held) > MOST_HELD

    def ahead(self, sequence: int) -> int:
        """Count how far a number that is held is from the one that is due."""
        return (sequence - self.due) % (1 << 16)

    def run(self) -> list[Packet]:
        """Return the packets that follow without a gap."""
        ready = []
        while (found := self.held.pop(self.due, None)) is not None:
            ready.append(found[0])
            self.due = (self.due + 1) % (1 << 16)
        return ready

    def drain(self) -> list[Packet]:
        """Return all that is held, gaps or not."""
        rest = [self.held[number][0] for number in sorted(self.held, key=self.ahead)]
        self.held.clear()
        if rest:
            self.due = (rest[-1].sequence + 1) % (1 << 16)
        return rest


def signed(difference: int, bits: int) -> int:
    """Read the difference of two counters that wrap: the nearer way round."""
    half = 1 << (bits - 1)
    return (difference + half) % (1 << bits) - half
