"""Opus over RTP as mono at 16 kHz, in which sample positions never drift.

Audio that was lost comes as silence of its own length, measured by the RTP timestamps; so the
milliseconds that a peer is told are those of its own clock, however bad the network.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from realtime.audio.opus import OpusDecoder
from realtime.audio.pcm import Pcm
from realtime.audio.resample import Resampler
from realtime.transports.webrtc.jitter import CLOCK, JitterBuffer, Packet, signed

FRAME = CLOCK // 50  # 20 ms

CREDIT = CLOCK
MOST_CREDIT = 10 * CLOCK
"""Silence that timestamps may ask for, in ticks: as much as time has passed, and some at first."""

MUTE_S = 3.0
"""A sender that has sent nothing for so long, in seconds, is not late but mute: some stop sending
when the button for talking is let go, and what was said until then is to be answered."""

MOST_MUTE = 10 * CLOCK


class RtpAudio:
    """Turn one peer's RTP packets into audio."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self.jitter = JitterBuffer()
        self.decoder = OpusDecoder()
        self.resampler = Resampler(CLOCK)
        self.source: int | None = None
        self.due = 0
        """The timestamp of the sample that follows what was heard."""
        self.credit = CREDIT
        self.credited_at = clock()
        self.heard_at = clock()
        self.mute = 0
        """Silence heard in the name of a mute sender, in ticks."""

    def push(self, packet: Packet) -> Pcm:
        """Return the audio that this packet completes, at 16 kHz."""
        self.heard_at, self.mute = self.clock(), 0
        return self.resampled(
            [self.hear(ready) for ready in self.jitter.push(packet, self.heard_at)]
        )

    def rest(self) -> Pcm:
        """Return a second of silence if the sender is mute; to be called once a second."""
        silent = self.clock() - self.heard_at
        if self.source is None or silent < MUTE_S or self.mute >= MOST_MUTE:
            return np.empty(0, np.int16)
        pieces = [self.hear(ready) for ready in self.jitter.drain()]
        self.mute += CLOCK
        self.due += CLOCK  # when packets come again, this much of their gap is heard already
        return self.resampled([*pieces, np.zeros(CLOCK, np.int16)])

    def resampled(self, pieces: list[Pcm]) -> Pcm:
        """Bring what was decoded to 16 kHz, 20 ms at a time: soxr keeps room for the longest."""
        heard = np.concatenate([np.empty(0, np.int16), *pieces])
        parts = [heard[at : at + FRAME] for at in range(0, heard.size, FRAME)]
        return np.concatenate([np.empty(0, np.int16), *map(self.resampler.push, parts)])

    def hear(self, packet: Packet) -> Pcm:
        """Decode a packet whose turn it is; put silence where something is missing before it."""
        samples = self.decoder.decode(packet.payload)
        missing = self.missing(packet)
        self.source = packet.source
        self.due = packet.timestamp + samples.size
        return np.concatenate((np.zeros(missing, np.int16), samples))

    def missing(self, packet: Packet) -> int:
        """Count the samples between what was heard and this packet; 0 if its clock jumped.

        Timestamps that run ahead of time would make a few bytes hours of audio.
        """
        now = self.clock()
        passed = int((now - self.credited_at) * CLOCK)
        self.credit = min(self.credit + passed, MOST_CREDIT)
        self.credited_at = now
        gap = signed(packet.timestamp - self.due, 32)
        if packet.source != self.source or not 0 < gap <= self.credit:
            return 0
        self.credit -= gap
        return gap
