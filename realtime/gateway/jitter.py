"""RTP packets in the order in which they were sent, with no delay beyond what order needs.

Nobody plays this audio, so there is no playout clock: a packet leaves as soon as all before it
have left. Only a gap holds its successors back, until what is missing comes or is given up.
"""

from __future__ import annotations

from dataclasses import dataclass

CLOCK = 48_000
"""Ticks of an Opus RTP timestamp per second (RFC 7587 4.1), whatever the audio's rate."""

HOLD = CLOCK * 60 // 1000
"""How much newer than the first that waits the newest packet may be, in ticks. What is delayed by
up to 60 ms, each packet by its own time, then always comes before it is given up."""

MOST_HELD = 64  # packets; HOLD is 24 of the shortest that Opus has
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
        self.held: dict[int, Packet] = {}
        self.due = 0
        """The sequence number that leaves next, mod 2**16."""

    def push(self, packet: Packet) -> list[Packet]:
        """Return the packets whose turn it is now."""
        ahead = signed(packet.sequence - self.due, 16)
        if packet.source != self.source or abs(ahead) > FAR:
            rest = self.drain()
            self.source, self.due = packet.source, packet.sequence
            return rest + self.keep(packet)
        if ahead < 0:
            return []
        return self.keep(packet)

    def keep(self, packet: Packet) -> list[Packet]:
        """Hold a packet; return what has become due, or waits no longer for what is missing."""
        self.held.setdefault(packet.sequence, packet)
        ready = self.run()
        while self.held and self.too_late(packet):
            self.due = min(self.held, key=lambda number: (number - self.due) % (1 << 16))
            ready += self.run()
        return ready

    def too_late(self, newest: Packet) -> bool:
        """Tell whether what is missing has been waited for long enough."""
        first = min(self.held, key=lambda number: (number - self.due) % (1 << 16))
        age = signed(newest.timestamp - self.held[first].timestamp, 32)
        return age >= HOLD or len(self.held) > MOST_HELD

    def run(self) -> list[Packet]:
        """Return the packets that follow without a gap."""
        ready = []
        while (packet := self.held.pop(self.due, None)) is not None:
            ready.append(packet)
            self.due = (self.due + 1) % (1 << 16)
        return ready

    def drain(self) -> list[Packet]:
        """Return all that is held, gaps or not."""
        rest = sorted(self.held.items(), key=lambda item: (item[0] - self.due) % (1 << 16))
        self.held.clear()
        return [packet for _, packet in rest]


def signed(difference: int, bits: int) -> int:
    """Read the difference of two counters that wrap: the nearer way round."""
    half = 1 << (bits - 1)
    return (difference + half) % (1 << bits) - half
