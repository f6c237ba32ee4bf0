"""Items of the conversation: the client's JSON to drafts, our items to JSON.

Strict clients die of a null name and of a missing transcript: what is null is omitted, and every
input_audio has its `transcript`, null or not.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Literal, assert_never

import msgspec
from numpy.typing import NDArray

from realtime.audio.ingest import AudioFormat
from realtime.audio.pcm import SAMPLE_RATE
from realtime.engine.api import Clip
from realtime.protocols.openai.errors import BAD_TYPE, MISSING, TOO_MANY, BadEvent
from realtime.protocols.openai.formats import read_recording
from realtime.protocols.openai.messages import ItemId, check_kept, check_text, convert
from realtime.session.events import FRONT
from realtime.session.items import (
    Answer,
    AnswerDraft,
    Item,
    ItemDraft,
    OtherDraft,
    OtherItem,
    Reference,
    SystemDraft,
    SystemItem,
    UserDraft,
    UserItem,
)

MAX_CONTENT = 64  # parts of one item
MAX_INPUT = 256  # items given to one response
MAX_AUDIO_S = 300  # seconds of audio in one item
Status = Literal["in_progress", "completed", "incomplete"]

# ---- as the client writes them ------------------------------------------------------------------


class ItemJson(msgspec.Struct, frozen=True, kw_only=True):
    """What every item has."""

    type: str
    id: ItemId | None = None


class MessageJson(msgspec.Struct, frozen=True):
    """What was said or written."""

    role: Literal["user", "assistant", "system"]
    content: list[dict[str, Any]]


class FunctionCallJson(msgspec.Struct, frozen=True):
    """Kept for the client."""

    name: str
    arguments: str
    call_id: str | None = None


class FunctionOutputJson(msgspec.Struct, frozen=True):
    """Kept for the client."""

    call_id: str
    output: str


class ApprovalRequestJson(msgspec.Struct, frozen=True):
    """Kept for the client."""

    name: str
    arguments: str
    server_label: str


class ApprovalJson(msgspec.Struct, frozen=True):
    """Kept for the client."""

    approval_request_id: str
    approve: bool
    reason: str | None = None


class McpToolJson(msgspec.Struct, frozen=True):
    """A tool of a list of tools."""

    name: str
    input_schema: Any


class McpToolsJson(msgspec.Struct, frozen=True):
    """Kept for the client."""

    server_label: str
    tools: list[McpToolJson]


class McpCallJson(msgspec.Struct, frozen=True):
    """Kept for the client."""

    name: str
    arguments: str
    server_label: str
    output: str | None = None
    approval_request_id: str | None = None


KEPT: dict[str, type[msgspec.Struct]] = {
    "function_call": FunctionCallJson,
    "function_call_output": FunctionOutputJson,
    "mcp_approval_request": ApprovalRequestJson,
    "mcp_approval_response": ApprovalJson,
    "mcp_list_tools": McpToolsJson,
    "mcp_call": McpCallJson,
}


class TextPart(msgspec.Struct, frozen=True):
    """Something written."""

    text: str


class AudioPart(msgspec.Struct, frozen=True):
    """Something said."""

    audio: bytes | None = None
    transcript: str | None = None


def read_item(data: dict[str, Any], format: AudioFormat, param: str = "item") -> ItemDraft:
    """Read an item; raise BadEvent naming the field within `param`."""
    head = convert(data, ItemJson, param)
    if head.id == FRONT:
        raise BadEvent(f"An item cannot be called {FRONT!r}.", param=f"{param}.id")
    if head.type == "message":
        return read_message(data, head.id, format, param)
    if head.type not in KEPT:
        known = ", ".join(("message", *KEPT))
        raise BadEvent(f"There are items of type {known}.", param=f"{param}.type")
    convert(data, KEPT[head.type], param)
    check_kept(data, param)
    kept = {key: value for key, value in data.items() if value is not None and key != "id"}
    return OtherDraft(head.id, kept)


def read_message(data: dict[str, Any], id: str | None, format: AudioFormat, at: str) -> ItemDraft:
    """Read what was said or written."""
    message = convert(data, MessageJson, at)
    if len(message.content) > MAX_CONTENT:
        text = f"An item may have {MAX_CONTENT} parts."
        raise BadEvent(text, reason=TOO_MANY, param=f"{at}.content")
    if message.role == "user":
        return read_user(message.content, id, format, f"{at}.content")
    texts = [
        read_text(part, f"{at}.content[{n}]", TEXTS[message.role])
        for n, part in enumerate(message.content)
    ]
    text = "".join(texts) if message.role == "assistant" else "\n".join(texts)
    check_text(text, f"{at}.content")
    if message.role == "assistant":
        return AnswerDraft(id, text)
    return SystemDraft(id, text)


TEXTS = {
    "system": ("input_text", "text"),
    # Old clients write `text` and `audio`; what was spoken is known by its transcript.
    "assistant": ("output_text", "text", "output_audio", "audio"),
}


def read_text(part: dict[str, Any], at: str, allowed: tuple[str, ...]) -> str:
    """Read a part of which only the text counts."""
    kind = kind_of(part, at, allowed)
    if kind.endswith("audio"):
        return convert({**part, "audio": None}, AudioPart, at).transcript or ""
    return convert(part, TextPart, at).text


def read_user(
    content: list[dict[str, Any]], id: str | None, format: AudioFormat, at: str
) -> UserDraft:
    """Read what a user said and wrote, in order."""
    if not content:
        raise BadEvent("A user's message needs at least one part.", param=at)
    parts: list[NDArray[Any] | str] = []
    transcript: str | None = None
    for n, part in enumerate(content):
        here = f"{at}[{n}]"
        kind = kind_of(part, here, ("input_text", "input_audio", "text"))
        if kind != "input_audio":
            parts.append(convert(part, TextPart, here).text)
            continue
        spoken = convert(part, AudioPart, here)
        if spoken.audio is not None:
            parts.append(read_audio(spoken.audio, format, f"{here}.audio"))
            transcript = transcript or spoken.transcript
        elif spoken.transcript is not None:
            # A client that restores a conversation may have only this left of what was said.
            parts.append(spoken.transcript)
        else:
            missing = f"{here}.audio"
            message = f"Missing required parameter: '{missing}'."
            raise BadEvent(message, reason=MISSING, param=missing)
    written = [part for part in parts if isinstance(part, str)]
    check_text("".join([*written, transcript or ""]), at)
    samples = sum(len(part) for part in parts if not isinstance(part, str))
    if samples > MAX_AUDIO_S * SAMPLE_RATE:
        raise BadEvent(f"An item may have {MAX_AUDIO_S} seconds of audio.", param=at)
    return UserDraft(id, tuple(parts), transcript)


def read_audio(data: bytes, format: AudioFormat, param: str) -> NDArray[Any]:
    """Read a recording."""
    if len(data) > MAX_AUDIO_S * format.second:
        raise BadEvent(f"An item may have {MAX_AUDIO_S} seconds of audio.", param=param)
    return read_recording(data, format, param)


def kind_of(part: dict[str, Any], at: str, allowed: tuple[str, ...]) -> str:
    """Give the type of a part, if it may stand here."""
    kind = part.get("type")
    if kind is None:
        raise BadEvent(
            f"Missing required parameter: '{at}.type'.", reason=MISSING, param=f"{at}.type"
        )
    if kind == "input_image":
        text = "This model hears, it does not see: there is no input_image here."
        raise BadEvent(text, param=f"{at}.type")
    if kind not in allowed:
        text = f"'{at}.type' must be one of {', '.join(allowed)}."
        reason = "invalid_value" if isinstance(kind, str) else BAD_TYPE
        raise BadEvent(text, reason=reason, param=f"{at}.type")
    return str(kind)


def read_input(
    data: list[dict[str, Any]], format: AudioFormat
) -> tuple[ItemDraft | Reference, ...]:
    """Read the items that one response is to answer."""
    param = "response.input"
    if len(data) > MAX_INPUT:
        raise BadEvent(f"There may be {MAX_INPUT} items.", reason=TOO_MANY, param=param)
    return tuple(
        read_reference(item, f"{param}[{n}]")
        if item.get("type") == "item_reference"
        else read_item(item, format, f"{param}[{n}]")
        for n, item in enumerate(data)
    )


class ReferenceJson(msgspec.Struct, frozen=True):
    """An item by its id."""

    id: ItemId


def read_reference(data: dict[str, Any], param: str) -> Reference:
    """Read an item_reference."""
    return Reference(convert(data, ReferenceJson, param).id)


# ---- as we write them ---------------------------------------------------------------------------


def show_item(
    item: Item, *, status: Status = "completed", format: AudioFormat | None = None
) -> dict[str, Any]:
    """Give an item as JSON; with a format, what was said is in it."""
    match item:
        case UserItem(id, parts, transcript):
            return message_json(id, "user", show_parts(parts, transcript, format), status)
        case SystemItem(id, text):
            return message_json(id, "system", [{"type": "input_text", "text": text}], status)
        case OtherItem(id, data):
            return {**data, "id": id, "object": "realtime.item", "status": status}
        case Answer():
            return show_answer(item.id, item.text, status)
        case _:
            assert_never(item)


def show_answer(id: str, text: str | None, status: Status) -> dict[str, Any]:
    """Give an answer as JSON; None: nothing of it is there yet."""
    content = [] if text is None else [{"type": "output_text", "text": text}]
    return message_json(id, "assistant", content, status)


def message_json(
    id: str, role: str, content: list[dict[str, Any]], status: Status
) -> dict[str, Any]:
    """Frame a message."""
    return {
        "id": id,
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": role,
        "content": content,
    }


def show_parts(
    parts: tuple[Clip | str, ...], transcript: str | None, format: AudioFormat | None
) -> list[dict[str, Any]]:
    """Give what was said and written; the transcript goes with the first that was said."""
    shown: list[dict[str, Any]] = []
    for part in parts:
        if isinstance(part, str):
            shown.append({"type": "input_text", "text": part})
            continue
        spoken: dict[str, Any] = {"type": "input_audio", "transcript": transcript}
        if format is not None:
            spoken["audio"] = b64encode(format.write(part.pcm)).decode()
        shown.append(spoken)
        transcript = None
    return shown


def spoken_index(item: Item) -> int:
    """Give the place of what was said among the parts of an item; 0 when nothing was."""
    parts = item.parts if isinstance(item, UserItem) else ()
    return next((n for n, part in enumerate(parts) if isinstance(part, Clip)), 0)
