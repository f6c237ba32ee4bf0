"""Plain PCM over WebSocket: binary messages are audio, text messages are JSON with a `type`.

`/v1/pcm?rate=16000&encoding=s16le&conversation=RESUME&turn_detection=vad`. Audio may be cut
anywhere, also inside a sample; what it decodes to does not depend on the cuts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, assert_never, cast

import msgspec
from msgspec import Meta

from realtime.audio.ingest import AudioFormat, Encoding, Ingest
from realtime.audio.pcm import SAMPLE_RATE, ms_of
from realtime.errors import BadMessage, ProtocolError, TooMuch, WrongType
from realtime.protocols import Reply
from realtime.session import events
from realtime.session.events import Notice, PeerInput

RATES = (8_000, 16_000, 24_000, 44_100, 48_000)
ENCODINGS = ("s16le", "mulaw", "alaw")
TURN_DETECTIONS = ("vad", "manual")
MAX_MESSAGE = 1 << 20  # bytes, binary or text
MAX_WRITTEN = 128 << 10  # bytes of a text message that can be one of ours, with all its escapes
MAX_TEXT = 16 << 10  # bytes of UTF-8 in one `text` or `instruction`

TurnDetection = Literal["vad", "manual"]


class BadParameter(ProtocolError):
    """The address asks for something that does not exist; the text says what does."""

    code = "bad_parameter"
    close_code = 1008


@dataclass(frozen=True, slots=True)
class Parameters:
    """What the address of a connection says."""

    rate: int = SAMPLE_RATE
    encoding: Encoding = "s16le"
    turn_detection: TurnDetection = "vad"
    conversation: str | None = None
    """The `resume` secret of an earlier `ready`."""
    turn: int | None = None
    """The last turn whose `final` the peer has had."""

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> Parameters:
        """Read a query string; raise BadParameter naming the parameter and what is allowed."""
        for name in query:
            if name not in cls.__slots__:
                raise BadParameter(f"There is no parameter {name[:32]!r}; {one_of(cls.__slots__)}.")
        rate = choice(query, "rate", tuple(map(str, RATES)), default=str(SAMPLE_RATE))
        encoding = choice(query, "encoding", ENCODINGS, default="s16le")
        turns = choice(query, "turn_detection", TURN_DETECTIONS, default="vad")
        return cls(
            rate=int(rate),
            encoding=cast(Encoding, encoding),
            turn_detection=cast(TurnDetection, turns),
            conversation=query.get("conversation") or None,
            turn=count(query, "turn"),
        )


def choice(query: Mapping[str, str], name: str, allowed: tuple[str, ...], *, default: str) -> str:
    """Give the parameter's value if it is one of those allowed."""
    value = query.get(name, default)
    if value not in allowed:
        raise BadParameter(f"{name} must be {one_of(allowed)}, not {value[:32]!r}.")
    return value


def count(query: Mapping[str, str], name: str) -> int | None:
    """Give the parameter's value if it is a number, or None where it is missing."""
    value = query.get(name)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 10):
        raise BadParameter(f"{name} must be a number from 0 on, not {value[:32]!r}.")
    return int(value)


def one_of(names: tuple[str, ...]) -> str:
    """List alternatives in words."""
    return f"one of {', '.join(names)}"


# ---- what the client says -----------------------------------------------------------------------

WrittenText = Annotated[str, Meta(max_length=MAX_TEXT)]
Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class ClientMessage(msgspec.Struct, frozen=True, tag_field="type"):
    """A text message of the client; fields that we do not know are passed over."""


class Text(ClientMessage, frozen=True, tag="text"):
    """An instruction for the current or the next turn."""

    text: WrittenText


class Instruction(ClientMessage, frozen=True, tag="instruction"):
    """A standing instruction for every further turn."""

    text: WrittenText


class Commit(ClientMessage, frozen=True, tag="commit"):
    """End the utterance now."""


class Respond(ClientMessage, frozen=True, tag="respond"):
    """Answer now."""


class Cancel(ClientMessage, frozen=True, tag="cancel"):
    """Stop the answer."""


class Clear(ClientMessage, frozen=True, tag="clear"):
    """Forget what was said since the last turn."""


class Played(ClientMessage, frozen=True, tag="played"):
    """What the user has seen or heard."""

    turn: Count
    chars: Count


class Reset(ClientMessage, frozen=True, tag="reset"):
    """Forget the conversation."""


class Ping(ClientMessage, frozen=True, tag="ping"):
    """Is anybody there?"""


AskingMessage = Text | Instruction | Commit | Respond | Cancel | Clear | Played | Reset
AnyClientMessage = AskingMessage | Ping
NOT_AN_OBJECT = "A text message must be a JSON object with a `type`; audio goes as binary."
CLIENT_MESSAGES: msgspec.json.Decoder[AnyClientMessage] = msgspec.json.Decoder(AnyClientMessage)


def read_text(message: str) -> AnyClientMessage:
    """Read a text message; WrongType if it is no JSON object, BadMessage if not one of ours."""
    try:
        data = message.encode()
    except UnicodeEncodeError:
        raise WrongType("This text is not UTF-8.") from None
    if len(data) > MAX_MESSAGE:
        raise TooMuch(f"A message may have {MAX_MESSAGE} bytes; this one has {len(data)}.")
    try:
        said = CLIENT_MESSAGES.decode(data)
    except (msgspec.DecodeError, RecursionError) as error:
        if is_object(message):
            raise BadMessage(f"This message is not understood: {error}.") from None
        raise WrongType(NOT_AN_OBJECT) from None
    if isinstance(said, Text | Instruction) and len(said.text.encode()) > MAX_TEXT:
        raise BadMessage(f"`text` may have {MAX_TEXT} bytes of UTF-8.")
    return said


def is_object(message: str) -> bool:
    """Tell whether this is one whole JSON object, however odd what it holds."""
    try:
        if len(message) > MAX_WRITTEN:  # json would take a tenth of a second for a megabyte
            return isinstance(msgspec.json.decode(message, type=dict[str, msgspec.Raw]), dict)
        # msgspec refuses lone surrogates and huge numbers, which JSON allows.
        return isinstance(json.loads(message, parse_int=str, parse_float=str), dict)
    except (ValueError, msgspec.DecodeError, RecursionError):
        return False


def meaning(said: AskingMessage) -> PeerInput:
    """Give our word for the client's."""
    match said:
        case Text(text):
            return events.TextReceived(text)
        case Instruction(text):
            return events.InstructionSet(text)
        case Commit():
            return events.CommitAsked()
        case Respond():
            return events.ResponseAsked()
        case Cancel():
            return events.CancelAsked()
        case Clear():
            return events.ClearAsked()
        case Played(turn, chars):
            return events.Played(turn, chars)
        case Reset():
            return events.ResetAsked()
        case _:
            assert_never(said)


# ---- what the server says -----------------------------------------------------------------------


class ServerMessage(msgspec.Struct, frozen=True, tag_field="type"):
    """A text message of the server."""


class Ready(ServerMessage, frozen=True, tag="ready"):
    """First of all; `resume` takes the conversation up again later."""

    session: str
    resume: str
    model: str
    rate: int


class SpeechStarted(ServerMessage, frozen=True, tag="speech_started"):
    """The user began to speak; milliseconds of audio received."""

    at_ms: int


class SpeechStopped(ServerMessage, frozen=True, tag="speech_stopped"):
    """The utterance is over."""

    at_ms: int
    duration_ms: int


class Partial(ServerMessage, frozen=True, tag="partial"):
    """The next piece of an answer."""

    turn: int
    seq: int
    delta: str


class Cancelled(ServerMessage, frozen=True, tag="cancelled"):
    """The answer was stopped; `text` is what stays."""

    turn: int
    text: str


class Final(ServerMessage, frozen=True, tag="final"):
    """The answer is over; `ms` are durations, to a tenth."""

    turn: int
    text: str
    finish: Literal["stop", "length", "interrupted"]
    ms: dict[str, float]


class Error(ServerMessage, frozen=True, tag="error"):
    """Something is not as asked; after a fatal one the connection is closed."""

    code: str
    message: str
    fatal: bool


class Pong(ServerMessage, frozen=True, tag="pong"):
    """Somebody is there."""


AnyServerMessage = (
    Ready | SpeechStarted | SpeechStopped | Partial | Cancelled | Final | Error | Pong
)
ENCODER = msgspec.json.Encoder()


def write(said: AnyServerMessage) -> str:
    """Write a message of the server."""
    return ENCODER.encode(said).decode()


# ---- the codec ----------------------------------------------------------------------------------


class PcmCodec:
    """Translate one connection's messages; hold its stream of audio."""

    def __init__(self, rate: int = SAMPLE_RATE, encoding: Encoding = "s16le") -> None:
        self.rate = rate
        self.ingest = Ingest(AudioFormat(encoding, rate))

    def decode(self, message: bytes | str) -> Iterator[PeerInput | Reply]:
        """Yield what a message says; long audio comes in pieces of at most a second."""
        if isinstance(message, str):
            said = read_text(message)
            if isinstance(said, Ping):
                yield Reply((write(Pong()),))
                return
            if isinstance(said, Commit | Respond):
                # What the resampler still holds belongs to the utterance that ends.
                yield from map(events.AudioReceived, self.ingest.flush())
            yield meaning(said)
            return
        if len(message) > MAX_MESSAGE:
            raise TooMuch(f"A message may have {MAX_MESSAGE} bytes; this one has {len(message)}.")
        yield from map(events.AudioReceived, self.ingest.push(message))

    def encode(self, notice: Notice) -> Iterator[str]:
        """Yield the messages that say it."""
        for word in self.words(notice):
            yield write(word)

    def refuse(self, error: BadMessage) -> Iterator[str]:
        """Yield the error for a message that was not understood."""
        yield write(Error(error.code, str(error), fatal=False))

    def words(self, notice: Notice) -> Iterator[AnyServerMessage]:
        """Yield the client's words for ours; of items and their ids this protocol knows nothing."""
        match notice:
            case events.Partial(turn, seq, delta) if turn:
                yield Partial(turn, seq, delta)
            case events.Ready(session, resume, model):
                yield Ready(session, resume, model, self.rate)
            case events.SpeechStarted(at):
                yield SpeechStarted(ms_of(at))
            case events.SpeechStopped(at, duration):
                yield SpeechStopped(ms_of(at), ms_of(duration))
            case events.Cancelled(turn, text):
                yield Cancelled(turn, text)
            case events.Final(turn, text, finish, _, ms, failure=failure) if turn:
                if failure is not None:
                    yield Error(failure.code, failure.message, fatal=False)
                yield Final(turn, text, finish, {name: round(value, 1) for name, value in ms})
            case events.Trouble(code, message, fatal):
                yield Error(code, message, fatal)
            case _:
                return
