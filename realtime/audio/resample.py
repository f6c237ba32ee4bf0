"""Streaming conversion to 16 kHz; the output does not depend on how the input was cut.

soxr's int16 streams add dither that depends on the cuts; its float32 streams do not, so
samples pass through float32 and are rounded here.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import soxr

from realtime.audio.pcm import SAMPLE_RATE, Pcm
from realtime.errors import AudioError

RATES = range(8_000, 48_001)
FIXED = (44_100, 48_000)
"""Rates that take soxr's fixed-rate filter, which costs 0.36 ms of CPU per second of audio here. At
8 kHz it trails by 1,888 samples, which a telephone caller would hear as 118 ms, and at odd rates by
1,250; all others take the variable-rate filter, at a fixed rate, which would cost 2.6 ms here."""
LATENCY = {8_000: 480, 16_000: 0, 24_000: 160, 44_100: 643, 48_000: 585}
"""By how many samples at 16 kHz the output may trail the input at the usual rates (measured, and
held by a test); at any other by no more than at the worst of these."""


class Resampler:
    """Bring one stream of mono int16 from `rate` to 16 kHz."""

    def __init__(self, rate: int) -> None:
        if rate not in RATES:
            raise AudioError(f"a rate of {rate} Hz is not one from {RATES[0]} to {RATES[-1]} Hz")
        self.filter: soxr.ResampleStream | None = None
        if rate != SAMPLE_RATE:
            self.filter = soxr.ResampleStream(
                rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ", vr=rate not in FIXED
            )

    def push(self, samples: Pcm) -> Pcm:
        """Return what these samples complete."""
        return samples if self.filter is None else self.filtered(samples, last=False)

    def flush(self) -> Pcm:
        """Return the rest; nothing may be pushed afterwards."""
        rest = np.empty(0, np.int16)
        return rest if self.filter is None else self.filtered(rest, last=True)

    def filtered(self, samples: Pcm, *, last: bool) -> Pcm:
        """Filter, round and clip."""
        assert self.filter is not None
        resampled = self.filter.resample_chunk(samples.astype(np.float32), last=last)
        return rounded(resampled)


def resample(pcm: Pcm, rate: int, wanted: int) -> Pcm:
    """Bring a whole recording to another rate."""
    if rate == wanted or not pcm.size:
        return pcm
    return rounded(soxr.resample(pcm.astype(np.float32), rate, wanted, quality="HQ"))


def rounded(samples: npt.NDArray[np.float32]) -> Pcm:
    """Round to int16; what is too loud for it is clipped."""
    clipped: Pcm = np.clip(np.rint(samples), -32768, 32767).astype(np.int16)
    return clipped
