"""Opus over RTP as mono at 16 kHz, in which sample positions never drift.

Audio that was lost comes as silence of its own length, measured by the RTP timestamps; so the
milliseconds that a peer is told are those of its own clock, however bad the network.
"""

from __future__ import annotations

from collections.abc import Callable

import av
import numpy as np

from realtime.audio.pcm import Pcm
from realtime.audio.resample import Resampler
from realtime.gateway.jitter import CLOCK, JitterBuffer, Packet, signed

CREDIT = CLOCK
MOST_CREDIT = 10 * CLOCK
"""Silence that timestamps may ask for, in ticks: as much as time has passed, and some at first."""


class OpusDecoder:
    """Decode the packets of one stream to mono at 48 kHz; Opus itself mixes two channels."""

    def __init__(self) -> None:
        context = av.CodecContext.create("libopus", "r")
        assert isinstance(context, av.AudioCodecContext)
        context.format = "s16"
        context.layout = "mono"
        context.sample_rate = CLOCK
        self.context = context

    def decode(self, payload: bytes) -> Pcm:
        """Return the samples of a packet; none when it is no Opus."""
        if not payload:
            return np.empty(0, np.int16)  # to the decoder it would be the end
        try:
            frames = self.context.decode(av.Packet(payload))
        except av.FFmpegError:
            return np.empty(0, np.int16)
        pieces = [frame.to_ndarray().reshape(-1) for frame in frames]
        return np.concatenate(pieces) if pieces else np.empty(0, np.int16)


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

    def push(self, packet: Packet) -> Pcm:
        """Return the audio that this packet completes, at 16 kHz."""
        pieces = [self.hear(ready) for ready in self.jitter.push(packet, self.clock())]
        if not pieces:
            return np.empty(0, np.int16)
        return self.resampler.push(np.concatenate(pieces))

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
