"""Opus packets to mono PCM at 48 kHz, one stream with all that it remembers (RFC 6716)."""

from __future__ import annotations

import av
import numpy as np

from realtime.audio.pcm import Pcm

RATE = 48_000
"""What is decoded to, whatever the encoder was given (RFC 7587 4.1)."""

NOTHING: Pcm = np.empty(0, np.int16)


class OpusDecoder:
    """Decode the packets of one stream; Opus itself mixes two channels."""

    def __init__(self) -> None:
        context = av.CodecContext.create("libopus", "r")
        assert isinstance(context, av.AudioCodecContext)
        context.format = "s16"
        context.layout = "mono"
        context.sample_rate = RATE
        self.context = context

    def decode(self, packet: bytes) -> Pcm:
        """Return the samples of a packet; none when it is no Opus."""
        if not packet:
            return NOTHING  # to the decoder it would be the end
        try:
            frames = self.context.decode(av.Packet(packet))
        except av.FFmpegError:
            return NOTHING
        return np.concatenate([NOTHING, *(frame.to_ndarray().reshape(-1) for frame in frames)])
