"""From blocks of any rate and any number of channels to one channel at 16 kHz.

Rule: what can be heard in some channel can be heard afterwards.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from realtime.audio.pcm import SAMPLE_RATE, Pcm, from_float
from realtime.errors import AudioError

RATES = range(4_000, 384_001)
CANCELLED = 0.5
"""Of the power that channels which have nothing in common mix down to; less: they cancel out."""
LOUDER = 2.0
"""How many times the power another channel must have to be taken instead."""

Floats = npt.NDArray[np.float32]


class Mixdown:
    """Takes decoded audio of at most `max_s` seconds, block after block; full scale is +-1."""

    def __init__(self, max_s: float) -> None:
        self.max_s = max_s
        self.seconds = 0.0
        self.samples = 0
        """Of each channel, so far."""
        self.rate = 0
        self.resampler: soxr.ResampleStream | None = None
        self.channel = 0
        """The one that is heard where the channels cancel each other out."""
        self.parts: list[Pcm] = []

    def push(self, block: Floats, rate: int) -> None:
        """Take samples, one row each of all channels."""
        if not self.rate or rate != self.rate:
            self.tune(rate)
        if not np.isfinite(block).all():
            at = self.samples + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
            raise AudioError(f"sample {at} is not a finite number: the file is damaged")
        self.samples += len(block)
        self.seconds += len(block) / rate
        check_duration(self.seconds, self.max_s)
        mono = self.mono(block)
        if self.resampler is not None:
            mono = self.resampler.resample_chunk(mono)
        self.parts.append(from_float(mono))

    def finish(self) -> Pcm:
        """Give everything, rounded and clipped."""
        self.flush()
        samples = np.concatenate(self.parts) if self.parts else np.empty(0, np.int16)
        if not samples.size:
            raise AudioError("the file holds no audio")
        return samples

    def tune(self, rate: int) -> None:
        """Expect another rate from now on: parts that were joined may differ."""
        check_rate(rate)
        self.flush()
        self.rate = rate
        if rate != SAMPLE_RATE:
            self.resampler = soxr.ResampleStream(rate, SAMPLE_RATE, 1, "float32", quality="HQ")

    def flush(self) -> None:
        """Take what the resampler still holds."""
        if self.resampler is not None:
            rest = self.resampler.resample_chunk(np.empty(0, np.float32), last=True)
            self.parts.append(from_float(rest))
        self.resampler = None

    def mono(self, block: Floats) -> Floats:
        """Mix the channels evenly, or take the loudest where that would leave next to nothing."""
        mixed: Floats = block.mean(axis=1, dtype=np.float32)
        channels = block.shape[1]
        if channels == 1 or not len(block):
            return mixed
        powers = np.square(block, dtype=np.float64).mean(axis=0)
        unrelated = powers.mean() / channels
        if np.square(mixed, dtype=np.float64).mean() >= CANCELLED * unrelated:
            return mixed
        if self.channel >= channels or powers[self.channel] * LOUDER < powers.max():
            self.channel = int(powers.argmax())
        return block[:, self.channel]


def check_rate(rate: int) -> None:
    """Refuse what is no rate of speech."""
    if rate not in RATES:
        raise AudioError(f"a rate of {rate} Hz is not one of speech")


def check_duration(seconds: float, max_s: float) -> None:
    """Refuse what is too long."""
    if seconds > max_s:
        raise AudioError(f"the audio lasts {seconds:.0f} s or more; at most {max_s:.0f} s are read")
