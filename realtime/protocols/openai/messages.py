"""The client events of OpenAI Realtime as structs; fields that we do not know are passed over.

Whatever is not one of them is one BadEvent, which names the field and echoes the event's id.
"""

from __future__ import annotations

import json
from typing import Annotated, Any, TypeVar

import msgspec
import numpy as np
from msgspec import UNSET, Meta

from realtime.errors import TooMuch
from realtime.protocols.openai.errors import (
    BAD_JSON,
    BAD_TYPE,
    TOO_LONG,
    TOO_MANY,
    BadEvent,
    from_validation,
)

MAX_EVENT = (20 << 20) + (64 << 10)  # bytes of a client event: 15 MiB of audio in base64, framed
MAX_PLAIN = 256 << 10  # bytes of a client event that brings no audio
MOST_VALUES = 100_000  # of JSON in an event; audio is one, and reading as many takes 30 ms
MAX_AUDIO = 15 << 20  # bytes of audio in one append, before base64
MAX_TEXT = 16 << 10  # bytes of UTF-8 in one item or one set of instructions
MAX_KEPT = 64 << 10  # bytes of JSON in an item that the model never sees, or in `tools`
MAX_DEPTH = 32  # of objects and arrays in what is kept

EventId = Annotated[str, Meta(max_length=512)]
ItemId = Annotated[str, Meta(min_length=1, max_length=64)]
Milliseconds = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Place = Annotated[int, Meta(ge=0, le=2**31 - 1)]
T = TypeVar("T")


class ClientEvent(msgspec.Struct, frozen=True, tag_field="type", kw_only=True):
    """An event of the client; its id comes back in an error that it causes."""

    event_id: EventId | None = None


class SessionUpdate(ClientEvent, frozen=True, tag="session.update"):
    """Change what is present in `session`."""

    session: dict[str, Any]


class TranscriptionSessionUpdate(ClientEvent, frozen=True, tag="transcription_session.update"):
    """Change what is present in `session` (beta)."""

    session: dict[str, Any]


class Append(ClientEvent, frozen=True, tag="input_audio_buffer.append"):
    """The next audio, base64 on the wire."""

    audio: bytes


class Commit(ClientEvent, frozen=True, tag="input_audio_buffer.commit"):
    """End the utterance now; no response."""


class Clear(ClientEvent, frozen=True, tag="input_audio_buffer.clear"):
    """Forget what was said since the last turn."""


class OutputClear(ClientEvent, frozen=True, tag="output_audio_buffer.clear"):
    """Play nothing more (WebRTC)."""


class ItemCreate(ClientEvent, frozen=True, tag="conversation.item.create"):
    """Put an item into the conversation."""

    item: dict[str, Any]
    previous_item_id: ItemId | None = None
    """None: at the end; "root": at the front."""


class ItemRetrieve(ClientEvent, frozen=True, tag="conversation.item.retrieve"):
    """Show an item, audio included."""

    item_id: ItemId


class ItemDelete(ClientEvent, frozen=True, tag="conversation.item.delete"):
    """Take an item out."""

    item_id: ItemId


class ItemTruncate(ClientEvent, frozen=True, tag="conversation.item.truncate"):
    """Keep of an answer what the user has had."""

    item_id: ItemId
    content_index: Place
    audio_end_ms: Milliseconds
    text_chars: Place | None = None
    """Characters that the user has seen (our extension)."""


class ResponseCreate(ClientEvent, frozen=True, tag="response.create"):
    """Answer now."""

    response: dict[str, Any] | None = None


class ResponseCancel(ClientEvent, frozen=True, tag="response.cancel"):
    """Stop the answer."""

    response_id: str | None = None


AnyClientEvent = (
    SessionUpdate
    | TranscriptionSessionUpdate
    | Append
    | Commit
    | Clear
    | OutputClear
    | ItemCreate
    | ItemRetrieve
    | ItemDelete
    | ItemTruncate
    | ResponseCreate
    | ResponseCancel
)
CLIENT_EVENTS: msgspec.json.Decoder[AnyClientEvent] = msgspec.json.Decoder(AnyClientEvent)


class Outline(msgspec.Struct, frozen=True):
    """What can be said of an event that is not understood."""

    event_id: Any = UNSET
    type: Any = UNSET


OUTLINE = msgspec.json.Decoder(Outline)


BRINGS_AUDIO = ("input_audio_buffer.append", "conversation.item.create", "response.create")


def read_event(message: str) -> AnyClientEvent:
    """Read a client event; raise BadEvent if it is none, TooMuch if it is too long."""
    try:
        data = message.encode()
        if len(data) > MAX_PLAIN:
            check_long(data)
        return CLIENT_EVENTS.decode(data)
    except msgspec.ValidationError as error:
        bad = from_validation(error)
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        bad = BadEvent(f"This is not an event in JSON: {error}.", reason=BAD_JSON)
    bad.event_id, kind = outline(message)
    if bad.param == "type" and isinstance(kind, str):
        bad = unknown_type(kind, bad.event_id)
    raise bad


def check_long(data: bytes) -> None:
    """Refuse a long event that would take long to read, or that has no reason to be so long.

    What costs time, and many times its size in memory, is not the length but the number of values;
    there are at most as many as there are commas and opening brackets, also of those in texts.
    """
    if len(data) > MAX_EVENT:
        raise TooMuch(f"An event may have {MAX_EVENT} bytes; this one has {len(data)}.")
    octets = np.frombuffer(data, np.uint8)
    if sum(np.count_nonzero(octets == mark) for mark in b",[{") > MOST_VALUES:
        raise BadEvent(f"An event may have {MOST_VALUES} values.", reason=TOO_MANY)
    seen = OUTLINE.decode(data)
    if seen.type not in BRINGS_AUDIO:
        text = f"An event that brings no audio may have {MAX_PLAIN} bytes; this has {len(data)}."
        bad = BadEvent(text, reason=TOO_LONG)
        bad.event_id = seen.event_id if sendable(seen.event_id) else None
        raise bad


def unknown_type(kind: str, event_id: str | None) -> BadEvent:
    """Say that there is no such client event."""
    bad = BadEvent(f"There is no client event of type {kind[:64]!r}.", param="type")
    bad.event_id = event_id
    return bad


def outline(message: str) -> tuple[str | None, object]:
    """Give the id and the type of an event that is not understood, as far as they can be read."""
    try:
        seen = OUTLINE.decode(message)
        event_id, kind = seen.event_id, seen.type
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError):
        if len(message) > MAX_PLAIN:
            return None, UNSET  # it would take long
        try:
            # msgspec refuses lone surrogates and huge numbers, which JSON allows.
            data = json.loads(message, parse_int=str, parse_float=str)
        except (ValueError, RecursionError):
            return None, UNSET
        if not isinstance(data, dict):
            return None, UNSET
        event_id, kind = data.get("event_id"), data.get("type")
    return event_id if sendable(event_id) else None, kind


def sendable(event_id: object) -> bool:
    """Tell whether this is an id that can be echoed."""
    return isinstance(event_id, str) and len(event_id) <= 512 and not has_surrogate(event_id)


def has_surrogate(text: str) -> bool:
    """Tell whether there is half a character in it, which no UTF-8 can say."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


# ---- parts of events ----------------------------------------------------------------------------


def convert(data: object, kind: type[T], param: str) -> T:
    """Read a part of an event; raise BadEvent naming the field within `param`."""
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise from_validation(error, inside=param) from None


def check_kept(data: object, param: str, limit: int = MAX_KEPT) -> None:
    """Refuse to keep what is too large or too deep to be sent back."""
    size = least_size(data, limit)
    if size <= limit:
        check_depth(data, param)
        size = len(msgspec.json.encode(data))
    if size > limit:
        raise BadEvent(f"'{param}' may have {limit} bytes of JSON; it has more.", param=param)


def check_depth(data: object, param: str) -> None:
    """Refuse what is nested too deep."""
    if depth_over(data, MAX_DEPTH):
        raise BadEvent(f"'{param}' is nested deeper than {MAX_DEPTH}.", param=param)


def least_size(data: object, limit: int) -> int:
    """Count bytes that this has as JSON at least; no further than to what is above the limit."""
    size, rest = 0, [data]
    while rest and size <= limit:
        value = rest.pop()
        size += 1
        if isinstance(value, str):
            size += len(value)
        elif isinstance(value, dict):
            size += sum(map(len, value))
            rest.extend(value.values())
        elif isinstance(value, list):
            rest.extend(value)
    return size


def depth_over(data: object, limit: int) -> bool:
    """Tell whether objects and arrays are nested deeper than `limit`."""
    level = [data]
    for _ in range(limit + 1):
        outer = [value for value in level if isinstance(value, dict | list)]
        if not outer:
            return False
        level = [v for o in outer for v in (o.values() if isinstance(o, dict) else o)]
    return True


def check_text(text: str, param: str, limit: int = MAX_TEXT) -> None:
    """Refuse text that is too long."""
    if len(text) * 4 > limit and (size := len(text.encode())) > limit:
        message = f"'{param}' may have {limit} bytes of UTF-8; it has {size}."
        raise BadEvent(message, reason="string_above_max_length", param=param)


def wrong_type(param: str, expected: str) -> BadEvent:
    """Say what kind of value belongs there."""
    return BadEvent(f"'{param}' must be {expected}.", reason=BAD_TYPE, param=param)
