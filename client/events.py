"""What the server of the plain PCM protocol tells, as types; and what it is told, as JSON.

One rule: messages of an unknown type are skipped and unknown fields ignored, so that a newer
server goes on working; a known type with a missing or wrong field is an error.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from client.errors import BadServerMessage


@dataclass(frozen=True, slots=True)
class Ready:
    """The session may begin; `resume` takes the conversation up again on another connection."""

    session: str
    resume: str
    model: str
    rate: int


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """Speech began at this millisecond of the audio that was sent."""

    at_ms: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The utterance ended at this millisecond of the audio that was sent; an answer follows."""

    at_ms: int
    duration_ms: int


@dataclass(frozen=True, slots=True)
class Partial:
    """The next piece of the answer of `turn`; `seq` counts them from 0."""

    turn: int
    seq: int
    delta: str


@dataclass(frozen=True, slots=True)
class Cancelled:
    """The answer of `turn` was stopped; `text` is what stays in the conversation."""

    turn: int
    text: str


@dataclass(frozen=True, slots=True)
class Final:
    """The answer of `turn` is over; each answer has exactly one of these."""

    turn: int
    text: str
    finish: str
    """`stop`, `length` (the limit on tokens) or `interrupted`."""
    ms: dict[str, float] = field(default_factory=dict)
    """What the server measured: `first_token`, `total`, `hangover`."""


@dataclass(frozen=True, slots=True)
class Error:
    """Something did not go as asked; unless `fatal`, the session goes on."""

    code: str
    message: str
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Pong:
    """The answer to a ping: everything sent before it has been looked at."""


Event = Ready | SpeechStarted | SpeechStopped | Partial | Cancelled | Final | Error | Pong

TYPES: dict[str, type[Event]] = {
    "ready": Ready,
    "speech_started": SpeechStarted,
    "speech_stopped": SpeechStopped,
    "partial": Partial,
    "cancelled": Cancelled,
    "final": Final,
    "error": Error,
    "pong": Pong,
}


class Kind(msgspec.Struct):
    """The one field that every message has."""

    type: str


KIND = msgspec.json.Decoder(Kind)
DECODERS = {name: msgspec.json.Decoder(kind) for name, kind in TYPES.items()}


def decode(message: str | bytes) -> Event | None:
    """Read a message of the server; None when its type is not known here."""
    try:
        decoder = DECODERS.get(KIND.decode(message).type)
        return decoder.decode(message) if decoder else None
    except (msgspec.MsgspecError, RecursionError, UnicodeError) as error:
        raise BadServerMessage(f"the server sent {excerpt(message)}: {error}") from None


def encode(kind: str, **fields: str | int) -> str:
    """Write a message to the server."""
    return msgspec.json.encode({"type": kind, **fields}).decode()


def excerpt(message: str | bytes) -> str:
    """Quote the beginning of a message."""
    return repr(message if len(message) <= 60 else message[:60]) + " ..." * (len(message) > 60)
