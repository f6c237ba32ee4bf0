"""What gateway and worker tell each other: MessagePack messages, each after its length.

Answers are known by a serial number that the gateway never uses twice, so that late news of a
cancelled answer cannot be taken for another's. Audio travels once, by clip id; whoever asks
names the ids only.
"""

from __future__ import annotations

import struct

import msgspec

from realtime.engine.api import (
    AssistantTurn,
    Clip,
    Delta,
    Loading,
    ModelInfo,
    Priority,
    Request,
    Sampling,
    SystemTurn,
    Turn,
    UserTurn,
)
from realtime.engine.worker.config import WorkerConfig
from realtime.errors import Busy, ContextTooLong, EngineError

LENGTH = struct.Struct(">I")
MAX_MESSAGE = 16 << 20
"""Bytes of one message; the longest clip, 30 s, is 0.96 MB. Longer ones are never sent."""
PULSE_S = 1.0


class System(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """A SystemTurn."""

    text: str


class Heard(msgspec.Struct, array_like=True, frozen=True):
    """A Clip, named."""

    clip: str


class User(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """A UserTurn, its clips named."""

    parts: tuple[Heard | str, ...]


class Assistant(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """An AssistantTurn."""

    tokens: tuple[int, ...]
    text: str


class Start(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Gateway to worker, before anything else: load this model, so."""

    config: WorkerConfig


class Hear(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Gateway to worker: the samples of a clip, int16 little-endian."""

    clip: str
    pcm: bytes


class Generate(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Gateway to worker: generate this answer; its clips were sent before."""

    serial: int
    conversation: str
    turns: tuple[System | User | Assistant, ...]
    sampling: Sampling
    prefix: tuple[int, ...]
    template: bool
    priority: Priority
    alone: bool = False
    """The worker died when it was at this answer and others: let it be at it alone."""


class Cancel(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Gateway to worker: nobody wants this answer any more."""

    serial: int


class Confirm(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Gateway to worker: somebody waits for this answer now; it is of normal priority."""

    serial: int


class Progress(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Worker to gateway: how far loading has come."""

    loading: Loading


class Ready(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Worker to gateway: loaded."""

    info: ModelInfo


class Unloadable(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Worker to gateway: this checkpoint can never be loaded, and why."""

    reason: str


class Begun(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Worker to gateway: the model is about to read (on) the prompts of these answers."""

    serials: tuple[int, ...]


class Piece(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Worker to gateway: the next piece of an answer; empty when a step gave half a character."""

    serial: int
    delta: Delta


class Failed(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Worker to gateway: this answer failed; `code` is that of the error's class."""

    serial: int
    code: str
    reason: str
    retry_after: float = 0.0
    """Seconds; with `busy` only."""


class Missing(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Worker to gateway: these clips are not here (any more); send them and ask again."""

    serial: int
    clips: tuple[str, ...]


class Pulse(msgspec.Struct, tag=True, array_like=True, frozen=True):
    """Worker to gateway, every `PULSE_S` from a thread of its own: the process is alive."""

    rounds: int
    """Of the model's loop so far. Loading is none; a step that takes long stays in its round."""
    waiting: bool
    """The loop has nothing to do."""


ToWorker = Start | Hear | Generate | Cancel | Confirm
FromWorker = Progress | Ready | Unloadable | Begun | Piece | Failed | Missing | Pulse

ENCODER = msgspec.msgpack.Encoder()
TO_WORKER: msgspec.msgpack.Decoder[ToWorker] = msgspec.msgpack.Decoder(ToWorker)
FROM_WORKER: msgspec.msgpack.Decoder[FromWorker] = msgspec.msgpack.Decoder(FromWorker)

ERRORS: dict[str, type[EngineError]] = {e.code: e for e in (EngineError, ContextTooLong)}
"""The errors a worker may report of one answer."""


def frame(message: ToWorker | FromWorker) -> bytes:
    """Encode a message with its length before it; raise EngineError when that cannot be."""
    try:
        payload = ENCODER.encode(message)
    except UnicodeEncodeError:
        raise EngineError("the text holds half of a surrogate pair, which no text may") from None
    if len(payload) > MAX_MESSAGE:
        size = f"{len(payload):,} bytes where {MAX_MESSAGE:,} are allowed"
        raise EngineError(f"the request is too long for the engine: {size}")
    return LENGTH.pack(len(payload)) + payload


def clips_of(request: Request) -> dict[str, Clip]:
    """Give the clips of a request by id, in order."""
    users = (turn for turn in request.turns if isinstance(turn, UserTurn))
    return {part.id: part for turn in users for part in turn.parts if isinstance(part, Clip)}


def hear(clip: Clip) -> Hear:
    """Make the message that carries a clip."""
    return Hear(clip.id, clip.pcm.astype("<i2", copy=False).tobytes())


def generate(serial: int, request: Request, *, alone: bool = False) -> Generate:
    """Make the message that asks for an answer."""
    return Generate(
        serial,
        request.conversation,
        tuple(_name_clips(turn) for turn in request.turns),
        request.sampling,
        request.prefix,
        request.template,
        request.priority,
        alone,
    )


def request_of(message: Generate, clips: dict[str, Clip]) -> Request:
    """Give back the request; `clips` must hold every clip that it names."""
    turns = tuple(_fill_clips(turn, clips) for turn in message.turns)
    return Request(
        str(message.serial),
        message.conversation,
        turns,
        message.sampling,
        message.prefix,
        message.template,
        message.priority,
    )


def names_of(message: Generate) -> list[str]:
    """Give the ids of the clips that a message names."""
    users = (turn for turn in message.turns if isinstance(turn, User))
    return [part.clip for turn in users for part in turn.parts if isinstance(part, Heard)]


def error_of(message: Failed) -> EngineError | Busy:
    """Give the error that a worker reported."""
    if message.code == Busy.code:
        return Busy(message.reason, retry_after=message.retry_after)
    return ERRORS.get(message.code, EngineError)(message.reason)


def _name_clips(turn: Turn) -> System | User | Assistant:
    match turn:
        case SystemTurn(text):
            return System(text)
        case UserTurn(parts):
            return User(tuple(Heard(p.id) if isinstance(p, Clip) else p for p in parts))
        case AssistantTurn(tokens, text):
            return Assistant(tokens, text)


def _fill_clips(turn: System | User | Assistant, clips: dict[str, Clip]) -> Turn:
    match turn:
        case System(text):
            return SystemTurn(text)
        case User(parts):
            return UserTurn(tuple(clips[p.clip] if isinstance(p, Heard) else p for p in parts))
        case Assistant(tokens, text):
            return AssistantTurn(tokens, text)
