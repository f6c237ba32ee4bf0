"""The audio formats of OpenAI Realtime: 16-bit PCM at 24 kHz and the telephone's two at 8 kHz.

PCM at 8000 and 16000 Hz is an extension of ours.
"""

from __future__ import annotations

from typing import Any, Literal

import msgspec

from realtime.audio.ingest import AudioFormat, Encoding
from realtime.audio.pcm import Pcm
from realtime.errors import AudioError
from realtime.protocols.openai.errors import BadEvent

Type = Literal["audio/pcm", "audio/pcmu", "audio/pcma"]
ENCODINGS: dict[Type, Encoding] = {
    "audio/pcm": "s16le",
    "audio/pcmu": "mulaw",
    "audio/pcma": "alaw",
}
TYPES: dict[Encoding, Type] = {encoding: type for type, encoding in ENCODINGS.items()}
PCM_RATE = 24_000
G711_RATE = 8_000
USUAL = AudioFormat("s16le", PCM_RATE)
"""The format of a client that names none."""


class FormatJson(msgspec.Struct, frozen=True):
    """A format as it stands in a session object."""

    type: Type
    rate: Literal[8_000, 16_000, 24_000] | None = None


def read_format(data: dict[str, Any]) -> AudioFormat:
    """Read a format of a session object that has been checked."""
    encoding = ENCODINGS[data["type"]]
    if encoding == "s16le":
        return AudioFormat(encoding, data.get("rate") or PCM_RATE)
    return AudioFormat(encoding, G711_RATE)


def show_format(format: AudioFormat) -> dict[str, Any]:
    """Write a format as it stands in a session object; G.711 has no rate there."""
    kind = TYPES[format.encoding]
    return {"type": kind, "rate": format.rate} if kind == "audio/pcm" else {"type": kind}


def read_recording(data: bytes, format: AudioFormat, param: str) -> Pcm:
    """Turn a whole recording into samples at 16 kHz; raise BadEvent naming its field."""
    try:
        return format.read(data)
    except AudioError:
        raise BadEvent(f"'{param}' is 16-bit audio but has an odd size.", param=param) from None
