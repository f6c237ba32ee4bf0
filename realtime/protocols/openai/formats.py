"""The audio formats of OpenAI Realtime: 16-bit PCM at 24 kHz and the telephone's two at 8 kHz.

PCM at 8000 and 16000 Hz is an extension of ours. Audio may be cut anywhere, also inside a sample.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
import soxr

from realtime.audio.g711 import decode_alaw, decode_mulaw, encode_alaw, encode_mulaw
from realtime.audio.pcm import SAMPLE_RATE, ByteJoiner, Pcm, from_bytes, to_bytes
from realtime.audio.resample import Resampler
from realtime.protocols.openai.errors import BadEvent

Type = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
PCM_RATE = 24_000
G711_RATE = 8_000


class FormatJson(msgspec.Struct, frozen=True):
    """A format as it stands in a session object."""

    type: Type
    rate: Literal[8_000, 16_000, 24_000] | None = None


@dataclass(frozen=True, slots=True)
class AudioFormat:
    """How audio is written on the wire."""

    type: Type = "audio/pcm"
    rate: int = PCM_RATE

    @classmethod
    def of(cls, data: dict[str, Any]) -> AudioFormat:
        """Read a format of a session object that has been checked."""
        if data["type"] == "audio/pcm":
            return cls("audio/pcm", data.get("rate") or PCM_RATE)
        return cls(data["type"], G711_RATE)

    def json(self) -> dict[str, Any]:
        """Write it as it stands in a session object; G.711 has no rate there."""
        if self.type == "audio/pcm":
            return {"type": self.type, "rate": self.rate}
        return {"type": self.type}

    @property
    def second(self) -> int:
        """Count the bytes of one second."""
        return self.rate * (2 if self.type == "audio/pcm" else 1)

    def read(self, data: bytes, param: str) -> Pcm:
        """Turn a whole recording into samples at 16 kHz."""
        if self.type == "audio/pcmu":
            return resample(decode_mulaw(data), self.rate, SAMPLE_RATE)
        if self.type == "audio/pcma":
            return resample(decode_alaw(data), self.rate, SAMPLE_RATE)
        if len(data) % 2:
            raise BadEvent(f"'{param}' is 16-bit audio but has an odd size.", param=param)
        return resample(from_bytes(data), self.rate, SAMPLE_RATE)

    def write(self, pcm: Pcm) -> bytes:
        """Turn a whole recording at 16 kHz into bytes."""
        samples = np.ascontiguousarray(resample(pcm, SAMPLE_RATE, self.rate))
        if self.type == "audio/pcmu":
            return encode_mulaw(samples)
        if self.type == "audio/pcma":
            return encode_alaw(samples)
        return to_bytes(samples)


def resample(pcm: Pcm, rate: int, wanted: int) -> Pcm:
    """Bring a whole recording to another rate."""
    if rate == wanted or not pcm.size:
        return pcm
    moved = soxr.resample(pcm.astype(np.float32), rate, wanted, quality="HQ")
    rounded: Pcm = np.clip(np.rint(moved), -32768, 32767).astype(np.int16)
    return rounded


class Ingest:
    """One stream of audio on its way in: holds the odd byte and the resampler."""

    def __init__(self, format: AudioFormat) -> None:
        self.format = format
        self.joiner = ByteJoiner()
        self.resampler = Resampler(format.rate)

    def push(self, data: bytes) -> Iterator[Pcm]:
        """Yield what these bytes complete, in pieces of at most a second."""
        for at in range(0, len(data), self.format.second):
            pcm = self.resampler.push(self.expand(data[at : at + self.format.second]))
            if pcm.size:
                yield pcm

    def flush(self) -> Iterator[Pcm]:
        """Yield what is still held, and begin anew: half a sample is forgotten."""
        self.joiner = ByteJoiner()
        if self.format.rate != SAMPLE_RATE:
            pcm = self.resampler.flush()
            self.resampler = Resampler(self.format.rate)
            if pcm.size:
                yield pcm

    def expand(self, data: bytes) -> Pcm:
        """Turn bytes into samples at the peer's rate."""
        if self.format.type == "audio/pcmu":
            return decode_mulaw(data)
        if self.format.type == "audio/pcma":
            return decode_alaw(data)
        return self.joiner.push(data)
