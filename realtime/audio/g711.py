"""G.711, the telephone's two 8-bit encodings, as tables computed from the standard.

ITU-T G.711 (11/88), tables 1 (A-law) and 2 (mu-law); the order of steps in the encoders is
that of the reference code in ITU-T G.191 (STL). The rate is the caller's: 8 kHz on every
telephone line.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from realtime.audio.pcm import Pcm

Codes = npt.NDArray[np.uint8]

MULAW_BIAS = 33  # G.711 table 2, at 14 bits: segments begin at 33 * 2**n - 33
MULAW_CLIP = 8158  # the last decision value at 14 bits, less one


def mulaw_expanded() -> Pcm:
    """Compute the 16-bit value of every mu-law code."""
    code = ~np.arange(256) & 0xFF  # the standard inverts all bits on the line
    segment, step = code >> 4 & 7, code & 15
    magnitude = ((2 * step + MULAW_BIAS << segment) - MULAW_BIAS) << 2
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def alaw_expanded() -> Pcm:
    """Compute the 16-bit value of every A-law code."""
    code = np.arange(256) ^ 0x55  # the standard inverts the even bits on the line
    segment, step = code >> 4 & 7, code & 15
    # Segments 0 and 1 share one step size; above, each step doubles.
    linear = 2 * step + 1 + 32 * (segment > 0) << np.maximum(segment - 1, 0)
    magnitude = linear << 3
    values: Pcm = np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)
    return values


def mulaw_compressed() -> Codes:
    """Compute the mu-law code of every 16-bit value, in the order of the bits (0 to -1)."""
    sample = np.arange(65_536).astype(np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.where(sample < 0, ~sample, sample) >> 2
    biased = np.minimum(magnitude, MULAW_CLIP) + MULAW_BIAS
    segment = np.floor(np.log2(biased)).astype(np.int32) - 5
    code = segment << 4 | biased >> segment + 1 & 15
    codes: Codes = (~(code | np.where(sample < 0, 0x80, 0)) & 0xFF).astype(np.uint8)
    return codes


def alaw_compressed() -> Codes:
    """Compute the A-law code of every 16-bit value, in the order of the bits (0 to -1)."""
    sample = np.arange(65_536).astype(np.uint16).view(np.int16).astype(np.int32)
    magnitude = np.where(sample < 0, ~sample, sample) >> 4
    segment = np.floor(np.log2(magnitude | 15)).astype(np.int32) - 3  # 0 for all below 16
    code = segment << 4 | magnitude >> np.maximum(segment - 1, 0) & 15
    codes: Codes = ((code | np.where(sample < 0, 0, 0x80)) ^ 0x55).astype(np.uint8)
    return codes


MULAW_TO_PCM = mulaw_expanded()
ALAW_TO_PCM = alaw_expanded()
PCM_TO_MULAW = mulaw_compressed()
PCM_TO_ALAW = alaw_compressed()


def decode_mulaw(data: bytes) -> Pcm:
    """Expand mu-law codes, one byte per sample."""
    return MULAW_TO_PCM[np.frombuffer(data, np.uint8)]


def decode_alaw(data: bytes) -> Pcm:
    """Expand A-law codes, one byte per sample."""
    return ALAW_TO_PCM[np.frombuffer(data, np.uint8)]


def encode_mulaw(samples: Pcm) -> bytes:
    """Compress to mu-law codes, one byte per sample."""
    return PCM_TO_MULAW[samples.view(np.uint16)].tobytes()


def encode_alaw(samples: Pcm) -> bytes:
    """Compress to A-law codes, one byte per sample."""
    return PCM_TO_ALAW[samples.view(np.uint16)].tobytes()
