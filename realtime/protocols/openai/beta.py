"""The names of the beta: the same events in an older dress.

Flat sessions and responses are understood from every client, since none of their fields has
another meaning today. Who asks for the beta, by a switch per connection, also gets
`response.text.*`, `conversation.item.created` and assistant content of type `text`.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from realtime.protocols.openai.errors import BadEvent

EVENTS = {
    "conversation.item.added": "conversation.item.created",
    "response.output_text.delta": "response.text.delta",
    "response.output_text.done": "response.text.done",
}
UNKNOWN = frozenset({"conversation.item.done", "input_audio_buffer.timeout_triggered"})
"""What beta clients have no word for."""

FORMATS = {"pcm16": "audio/pcm", "g711_ulaw": "audio/pcmu", "g711_alaw": "audio/pcma"}
FORMAT_NAMES = {new: old for old, new in FORMATS.items()}

SESSION_PLACES: dict[str, tuple[str, ...]] = {
    "modalities": ("output_modalities",),
    "max_response_output_tokens": ("max_output_tokens",),
    "input_audio_format": ("audio", "input", "format"),
    "input_audio_transcription": ("audio", "input", "transcription"),
    "input_audio_noise_reduction": ("audio", "input", "noise_reduction"),
    "turn_detection": ("audio", "input", "turn_detection"),
    "output_audio_format": ("audio", "output", "format"),
    "voice": ("audio", "output", "voice"),
    "speed": ("audio", "output", "speed"),
}
"""Where a flat field of the beta stands now; the same in a session and in a response."""

BOTH = (["text", "audio"], ["audio", "text"])

# ---- from the client ----------------------------------------------------------------------------


def modern(data: dict[str, Any], param: str) -> dict[str, Any]:
    """Turn a flat `session` or `response` into today's; refuse two values for one thing."""
    result = {key: value for key, value in data.items() if key not in SESSION_PLACES}
    for name, place in SESSION_PLACES.items():
        if name in data:
            value = modern_value(name, data[name], f"{param}.{name}")
            if not put(result, place, value, param):
                today = ".".join((param, *place))
                message = f"'{param}.{name}' and '{today}' stand for the same and differ."
                raise BadEvent(message, param=f"{param}.{name}")
    return result


def modern_value(name: str, value: Any, param: str) -> Any:
    """Turn the value of a flat field into today's."""
    if name == "modalities" and value in BOTH:
        return ["audio"]  # with its transcript, as today
    if name.endswith("_format") and value is not None:
        if not isinstance(value, str) or value not in FORMATS:
            raise BadEvent(f"'{param}' must be one of {', '.join(FORMATS)}.", param=param)
        return {"type": FORMATS[value]}
    return value


def put(data: dict[str, Any], place: tuple[str, ...], value: Any, param: str) -> bool:
    """Put a value at its place, making the objects around it; False if another is there."""
    *outer, last = place
    for name in outer:
        inner = data.get(name, {})
        if not isinstance(inner, dict):
            raise BadEvent(f"'{param}.{name}' must be an object.", param=f"{param}.{name}")
        data[name] = data = dict(inner)  # what the client sent stays as it is
    there = data.setdefault(last, value)
    return bool(there == value)


def old_param(param: str | None, given: Collection[str] = SESSION_PLACES) -> str | None:
    """Name a field as a client knows it that has `given` the flat ones."""
    if param is None:
        return None
    head, dot, path = param.partition(".")
    for name, place in SESSION_PLACES.items():
        if name not in given:
            continue
        new = ".".join(place)
        if dot and (path == new or path.startswith((f"{new}.", f"{new}["))):
            return f"{head}.{name}{path[len(new) :]}"
    return param


# ---- to the client ------------------------------------------------------------------------------


def old_event(event: dict[str, Any]) -> dict[str, Any] | None:
    """Give an event as a beta client knows it; None when it does not."""
    kind = event["type"]
    if kind in UNKNOWN:
        return None
    old = {**event, "type": EVENTS.get(kind, kind)}
    if "item" in old:
        old["item"] = old_item(old["item"])
    if "response" in old:
        old["response"] = old_response(old["response"])
    if "session" in old:
        old["session"] = old_session(old["session"])
    return old


def old_item(item: dict[str, Any]) -> dict[str, Any]:
    """Give an item as a beta client knows it."""
    if item.get("type") != "message" or item.get("role") != "assistant":
        return item
    content = [{**part, "type": "text"} for part in item["content"]]
    return {**item, "content": content}


def old_response(response: dict[str, Any]) -> dict[str, Any]:
    """Give a response object as a beta client knows it."""
    old = {k: v for k, v in response.items() if k not in ("audio", "output_modalities")}
    spoken = response["audio"]["output"]
    old["output"] = [old_item(item) for item in response["output"]]
    old["modalities"] = response["output_modalities"]
    old["output_audio_format"] = FORMAT_NAMES[spoken["format"]["type"]]
    old["voice"] = spoken["voice"]
    return old


def old_session(session: dict[str, Any]) -> dict[str, Any]:
    """Give a session object as a beta client knows it."""
    new = ("type", "audio", "output_modalities", "max_output_tokens")
    old = {key: value for key, value in session.items() if key not in new}
    for name, place in SESSION_PLACES.items():
        value: Any = session
        for key in place:
            value = value[key]
        old[name] = FORMAT_NAMES[value["type"]] if name.endswith("_format") else value
    return old
