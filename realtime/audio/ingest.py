"""Audio as a peer sends it: bytes of some format, cut anywhere, to samples at 16 kHz and back.

What comes out of a stream does not depend on how its bytes were cut.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, assert_never

import numpy as np

from realtime.audio.g711 import decode_alaw, decode_mulaw, encode_alaw, encode_mulaw
from realtime.audio.pcm import SAMPLE_RATE, ByteJoiner, Pcm, from_bytes, to_bytes
from realtime.audio.resample import Resampler, resample

Encoding = Literal["s16le", "mulaw", "alaw"]


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How one channel of audio is written: its encoding, and its samples per second."""

    encoding: Encoding = "s16le"
    rate: int = SAMPLE_RATE

    @property
    def second(self) -> int:
        """Count the bytes of one second."""
        return self.rate * (2 if self.encoding == "s16le" else 1)

    def expand(self, data: bytes) -> Pcm:
        """Turn whole samples into ours, at the rate that they have."""
        match self.encoding:
            case "s16le":
                return from_bytes(data)
            case "mulaw":
                return decode_mulaw(data)
            case "alaw":
                return decode_alaw(data)
            case _:
                assert_never(self.encoding)

    def compress(self, samples: Pcm) -> bytes:
        """Turn our samples into bytes, at the rate that they have."""
        match self.encoding:
            case "s16le":
                return to_bytes(samples)
            case "mulaw":
                return encode_mulaw(samples)
            case "alaw":
                return encode_alaw(samples)
            case _:
                assert_never(self.encoding)

    def read(self, data: bytes) -> Pcm:
        """Turn a whole recording into samples at 16 kHz; AudioError if it ends in half a sample."""
        return resample(self.expand(data), self.rate, SAMPLE_RATE)

    def write(self, pcm: Pcm) -> bytes:
        """Turn a whole recording at 16 kHz into bytes."""
        return self.compress(np.ascontiguousarray(resample(pcm, SAMPLE_RATE, self.rate)))


class Ingest:
    """One stream on its way in: holds half a sample and what the resampler has not given yet."""

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self.second = format.second
        self.expand = ByteJoiner().push if format.encoding == "s16le" else format.expand
        self.resampler = Resampler(format.rate)

    def push(self, data: bytes) -> Iterator[Pcm]:
        """Yield what these bytes complete, in pieces of at most a second."""
        for at in range(0, len(data), self.second):
            pcm = self.resampler.push(self.expand(data[at : at + self.second]))
            if pcm.size:
                yield pcm

    def flush(self) -> Iterator[Pcm]:
        """Yield what the resampler holds; the stream goes on, and half a sample stays half."""
        pcm = self.resampler.flush()
        self.resampler = Resampler(self.format.rate)
        if pcm.size:
            yield pcm
