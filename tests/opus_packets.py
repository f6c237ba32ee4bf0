"""Opus as a peer would send it."""

from __future__ import annotations

import fractions

import av
import numpy as np

TICKS = 960  # 20 ms at 48 kHz


def encode(samples: np.ndarray, layout: str = "mono") -> list[bytes]:
    """Encode int16 at 48 kHz, all channels in turn, to packets of 20 ms."""
    encoder = av.CodecContext.create("libopus", "w")
    encoder.format, encoder.layout, encoder.sample_rate = "s16", layout, 48_000
    encoder.time_base = fractions.Fraction(1, 48_000)
    size = TICKS * (2 if layout == "stereo" else 1)
    packets = []
    for at in range(0, len(samples), size):
        frame = av.AudioFrame.from_ndarray(samples[None, at : at + size], "s16", layout)
        frame.sample_rate, frame.pts = 48_000, at
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets


def tone(frames: int) -> np.ndarray:
    """Make a tone of 500 Hz."""
    t = np.arange(frames * TICKS) / 48_000
    return (8000 * np.sin(2 * np.pi * 500 * t)).astype(np.int16)
