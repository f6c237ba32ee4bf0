"""The one audio format inside, and the ways into it.

Mono int16 at 16 kHz everywhere between codec and engine; time is a count of samples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from realtime.errors import AudioError

SAMPLE_RATE = 16_000
FRAME_MS = 20
FRAME = SAMPLE_RATE * FRAME_MS // 1000  # 320 samples

Pcm = npt.NDArray[np.int16]


def samples_of(ms: float) -> int:
    """Convert milliseconds to samples at 16 kHz, rounded to the nearest."""
    return round(ms * SAMPLE_RATE / 1000)


def ms_of(samples: int) -> int:
    """Convert samples at 16 kHz to whole milliseconds, rounded down."""
    return samples * 1000 // SAMPLE_RATE


def from_bytes(data: bytes | bytearray | memoryview) -> Pcm:
    """Read little-endian 16-bit samples; an odd number of bytes is an error."""
    if len(data) % 2:
        raise AudioError(f"16-bit audio needs an even number of bytes, got {len(data)}")
    return np.frombuffer(data, "<i2").astype(np.int16)


def to_bytes(samples: Pcm) -> bytes:
    """Write samples as little-endian 16-bit."""
    return np.asarray(samples, "<i2").tobytes()


def from_float(samples: npt.NDArray[np.floating]) -> Pcm:
    """Convert full scale +-1.0 to int16: clipped outside, an error where not finite."""
    if not np.isfinite(samples).all():
        at = int(np.flatnonzero(~np.isfinite(samples))[0])
        raise AudioError(f"sample {at} is {samples.flat[at]}, not a number that can be heard")
    clipped: Pcm = np.clip(np.rint(np.clip(samples, -1.0, 1.0) * 32768.0), None, 32767).astype(
        np.int16
    )
    return clipped


class ByteJoiner:
    """Turn byte strings cut anywhere into samples; an odd last byte waits for its other half."""

    def __init__(self) -> None:
        self.odd = b""

    def push(self, data: bytes) -> Pcm:
        """Return every sample completed by these bytes."""
        if self.odd:
            data = self.odd + data
        whole = len(data) - len(data) % 2
        self.odd = bytes(data[whole:])
        return from_bytes(memoryview(data)[:whole])
