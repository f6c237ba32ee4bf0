"""Streaming conversion to 16 kHz; the output does not depend on how the input was cut.

soxr's int16 streams add dither that depends on the cuts; its float32 streams do not, so
samples pass through float32 and are rounded here.
"""

from __future__ import annotations

import numpy as np
import soxr

from realtime.audio.pcm import SAMPLE_RATE, Pcm
from realtime.errors import AudioError

# By how many samples at 16 kHz the output may trail the input, per input rate (measured, and
# held by a test). soxr's fixed-rate filter trails by 1,888 at 8 kHz, which a telephone caller
# would hear as 118 ms; its variable-rate filter, used here at a fixed rate, does not. At 44.1
# and 48 kHz that one costs 2.6 ms of CPU per second of audio against 0.36.
LATENCY = {8_000: 480, 16_000: 0, 24_000: 160, 44_100: 643, 48_000: 585}
VARIABLE = (8_000, 24_000)


class Resampler:
    """Bring one stream of mono int16 from `rate` to 16 kHz."""

    def __init__(self, rate: int) -> None:
        if rate not in LATENCY:
            raise AudioError(f"a rate of {rate} Hz is not one of {', '.join(map(str, LATENCY))}")
        self.filter: soxr.ResampleStream | None = None
        if rate != SAMPLE_RATE:
            self.filter = soxr.ResampleStream(
                rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ", vr=rate in VARIABLE
            )

    def push(self, samples: Pcm) -> Pcm:
        """Return what these samples complete."""
        return self.pass_through(samples, last=False)

    def flush(self) -> Pcm:
        """Return the rest; nothing may be pushed afterwards."""
        return self.pass_through(np.empty(0, np.int16), last=True)

    def pass_through(self, samples: Pcm, *, last: bool) -> Pcm:
        """Filter, round and clip."""
        if self.filter is None:
            return samples
        resampled = self.filter.resample_chunk(samples.astype(np.float32), last=last)
        rounded: Pcm = np.clip(np.rint(resampled), -32768, 32767).astype(np.int16)
        return rounded
