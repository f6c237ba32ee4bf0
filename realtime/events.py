"""The vocabulary of a session: what happens to it, what it orders, what its peer is told.

Inputs go into `Session.receive`, effects come out. Notices are protocol-free: a codec turns them
into the peer's own wire events. Positions and lengths are samples at 16 kHz; position 0 is where
the session began.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from realtime.engine.api import Request, Usage

# ---- inputs from the peer -----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class AudioReceived:
    """The next samples of the microphone: int16 mono 16 kHz, any number."""

    pcm: NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class TextReceived:
    """A written instruction for the turn that is being spoken, or the next one."""

    text: str


@dataclass(frozen=True, slots=True)
class InstructionSet:
    """A standing instruction for every further turn; empty to end it."""

    text: str


@dataclass(frozen=True, slots=True)
class CommitAsked:
    """End the utterance now; do not wait for silence."""


@dataclass(frozen=True, slots=True)
class ResponseAsked:
    """Answer now what has been said and written."""


@dataclass(frozen=True, slots=True)
class CancelAsked:
    """Stop the answer."""


@dataclass(frozen=True, slots=True)
class ClearAsked:
    """Forget what was said and written since the last turn."""


@dataclass(frozen=True, slots=True)
class Played:
    """The user has seen or heard the first `chars` characters of the answer of `turn`."""

    turn: int
    chars: int


@dataclass(frozen=True, slots=True)
class ResetAsked:
    """Forget the whole conversation."""


@dataclass(frozen=True, slots=True)
class PingReceived:
    """The peer asks whether anybody is there."""


# ---- inputs from the engine ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer `response`: `text` is exactly what `tokens` add."""

    response: str
    tokens: tuple[int, ...]
    text: str


@dataclass(frozen=True, slots=True)
class ResponseEnded:
    """The answer `response` is complete."""

    response: str
    finish: Literal["stop", "length"]
    usage: Usage | None = None


@dataclass(frozen=True, slots=True)
class ResponseFailed:
    """The answer `response` could not be (fully) made; the text is fit for the peer."""

    response: str
    code: str
    message: str


PeerInput = (
    AudioReceived
    | TextReceived
    | InstructionSet
    | CommitAsked
    | ResponseAsked
    | CancelAsked
    | ClearAsked
    | Played
    | ResetAsked
    | PingReceived
)
Input = PeerInput | TextDelta | ResponseEnded | ResponseFailed

# ---- what the peer is told ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ready:
    """The session may begin. `resume` is the secret by which the conversation is taken up again."""

    session: str
    resume: str
    model: str


@dataclass(frozen=True, slots=True)
class SpeechStarted:
    """The user began to speak at sample `at`."""

    at: int


@dataclass(frozen=True, slots=True)
class SpeechStopped:
    """The utterance is over; speech and its tail ended at sample `at`, `duration` samples long."""

    at: int
    duration: int


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
    """The answer of `turn` is over; every answer ends with exactly one of these.

    `ms` are durations: the session knows what it waited in samples, the shell adds its own.
    """

    turn: int
    text: str
    finish: Literal["stop", "length", "interrupted"]
    usage: Usage | None = None
    ms: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Trouble:
    """Something did not go as asked; unless `fatal`, the session goes on."""

    code: str
    message: str
    fatal: bool = False


@dataclass(frozen=True, slots=True)
class Pong:
    """Somebody is there."""


Notice = Ready | SpeechStarted | SpeechStopped | Partial | Cancelled | Final | Trouble | Pong

# ---- effects ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Emit:
    """Tell the peer."""

    notice: Notice


@dataclass(frozen=True, slots=True)
class Generate:
    """Ask the engine; its deltas come back as inputs with the request's id.

    A request of low priority is a guess: Confirm or Cancel follows.
    """

    request: Request


@dataclass(frozen=True, slots=True)
class Cancel:
    """Stop asking the engine for `response`; late deltas will be ignored."""

    response: str


@dataclass(frozen=True, slots=True)
class Confirm:
    """The answer `response`, asked for on a guess, is wanted: somebody waits for it from now on."""

    response: str


Effect = Emit | Generate | Cancel | Confirm
