"""The session object: what a client may set, how updates merge, what it means for the turns.

Only present keys change; nested objects merge; null is not absent: it turns off what can be off
and gives everything else its default back. A new type of turn detection, and a format, replace
the whole object. What is flat, as in the beta, goes to its place of today. What we do not know does
nothing, and is not shown as if it did.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

import msgspec

from realtime.engine.api import Sampling
from realtime.protocols.openai.beta import modern
from realtime.protocols.openai.errors import MISSING, BadEvent
from realtime.protocols.openai.formats import USUAL, read_format, show_format
from realtime.protocols.openai.messages import (
    MAX_KEPT,
    check_depth,
    check_kept,
    check_text,
    convert,
    wrong_type,
)
from realtime.protocols.openai.shapes import (
    MAX_HANGOVER_MS,
    AudioJson,
    InputJson,
    OutputJson,
    PatchJson,
    ToolJson,
    TranscriptionJson,
    TurnDetectionJson,
)
from realtime.session.settings import TurnSettings

N = TypeVar("N", int, float)
SessionJson = dict[str, Any]
"""A whole session object, without what only we can say (id, model...)."""

MAX_SESSION = 128 << 10  # bytes of JSON
WHOLE = ("format", "noise_reduction", "tracing", "truncation", "prompt")
"""Objects that are replaced, not merged: their fields mean nothing apart."""

INNER: dict[str, type[msgspec.Struct]] = {
    "audio": AudioJson,
    "input": InputJson,
    "output": OutputJson,
    "transcription": TranscriptionJson,
    "turn_detection": TurnDetectionJson,
}
"""What may stand in the objects that are merged."""

EAGERNESS = {"low": 2.0, "medium": 1.0, "auto": 1.0, "high": 0.6}
"""How semantic_vad stretches the hangover."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the server's settings say where a client says nothing."""

    hangover_ms: int = 500
    min_hangover_ms: int = 20
    """A shorter silence cannot end speech (one frame); what asks for less gets this."""
    prefix_padding_ms: int = 300
    threshold: float = 0.5
    instructions: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    voice: str = "marin"


# ---- the object ---------------------------------------------------------------------------------


def default_session(defaults: Defaults) -> SessionJson:
    """Give the session object of a client that has said nothing yet."""
    return {
        "type": "realtime",
        "output_modalities": ["text"],
        "instructions": defaults.instructions,
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "include": None,
        "audio": {
            "input": {
                "format": show_format(USUAL),
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": default_detection("server_vad", defaults),
            },
            "output": {"format": show_format(USUAL), "voice": defaults.voice, "speed": 1.0},
        },
    }


def default_detection(kind: str, defaults: Defaults) -> dict[str, Any]:
    """Give a type of turn detection with all its fields."""
    both = {"create_response": True, "interrupt_response": True}
    if kind == "semantic_vad":
        return {"type": kind, "eagerness": "auto", **both}
    return {
        "type": kind,
        "threshold": defaults.threshold,
        "prefix_padding_ms": defaults.prefix_padding_ms,
        "silence_duration_ms": defaults.hangover_ms,
        "idle_timeout_ms": None,
        **both,
    }


def read_session(data: object, defaults: Defaults) -> SessionJson:
    """Give the whole session object that an initial one stands for, or raise BadEvent."""
    if not isinstance(data, dict):
        raise wrong_type("session", "an object")
    return merge(default_session(defaults), data, defaults)


def merge(current: SessionJson, patch: dict[str, Any], defaults: Defaults) -> SessionJson:
    """Give the session object after an update; raise BadEvent when the update is wrong."""
    check_depth(patch, "session")
    patch = modern(patch, "session")
    seen = convert(patch, PatchJson, "session")
    if seen.tools is not None:
        check_tools(patch["tools"], seen.tools, "session.tools")
    if seen.instructions is not None:
        check_text(seen.instructions, "session.instructions")
    patch = known(patch, PatchJson)
    patch.pop("model", None)  # only we can say it
    merged = merged_objects(current, patch, default_session(defaults))
    heard = merged["audio"]["input"]
    asked = ((patch.get("audio") or {}).get("input") or {}).get("turn_detection")
    if asked is not None:
        before = current["audio"]["input"]["turn_detection"]
        heard["turn_detection"] = merged_detection(before, asked, defaults)
    for way in (merged["audio"]["input"], merged["audio"]["output"]):
        way["format"] = show_format(read_format(way["format"]))
    # Honest as long as nothing here speaks; and pipecat dies of a tool_choice that is an object.
    merged["output_modalities"] = ["text"]
    if isinstance(merged["tool_choice"], dict):
        merged["tool_choice"] = "required"
    check_kept(merged, "session", MAX_SESSION)
    return merged


def known(data: dict[str, Any], kind: type[msgspec.Struct]) -> dict[str, Any]:
    """Leave out the fields that mean nothing here, in objects that are merged."""
    fields = {key: value for key, value in data.items() if key in kind.__struct_fields__}
    for key, inner in INNER.items():
        if isinstance(fields.get(key), dict):
            fields[key] = known(fields[key], inner)
    return fields


def merged_objects(
    current: dict[str, Any], patch: dict[str, Any], default: dict[str, Any]
) -> dict[str, Any]:
    """Merge an object into another; null gives back the default, which may be null."""
    merged = dict(current)
    for key, value in patch.items():
        if key == "turn_detection":
            merged[key] = None  # merged by its own rules
        elif value is None:
            merged[key] = deepcopy(default.get(key))
        elif isinstance(value, dict) and key not in WHOLE:
            inner, given = current.get(key), default.get(key)
            merged[key] = merged_objects(
                inner if isinstance(inner, dict) else {},
                value,
                given if isinstance(given, dict) else {},
            )
        else:
            merged[key] = value
    return merged


def merged_detection(
    current: dict[str, Any] | None, patch: dict[str, Any], defaults: Defaults
) -> dict[str, Any]:
    """Merge turn detection; another type replaces what there was."""
    where = "session.audio.input.turn_detection"
    kind = patch.get("type") or (current or {}).get("type")
    if kind is None:
        param = f"{where}.type"
        raise BadEvent(f"Missing required parameter: '{param}'.", reason=MISSING, param=param)
    if kind == "semantic_vad" and patch.get("idle_timeout_ms") is not None:
        param = f"{where}.idle_timeout_ms"
        raise BadEvent("idle_timeout_ms is for server_vad only.", param=param)
    default = default_detection(kind, defaults)
    merged = dict(current) if current and current["type"] == kind else dict(default)
    for key, value in patch.items():
        merged[key] = default.get(key) if value is None else value
    if kind == "server_vad":
        shortest = defaults.min_hangover_ms
        merged["silence_duration_ms"] = max(shortest, merged["silence_duration_ms"])
    return merged


def check_tools(given: list[Any], seen: list[ToolJson], param: str) -> None:
    """Refuse tools that cannot be kept, or that have no name."""
    check_kept(given, param, MAX_KEPT)
    for at, tool in enumerate(seen):
        key = "name" if tool.type == "function" else "server_label"
        if getattr(tool, key) is None:
            missing = f"{param}[{at}].{key}"
            message = f"Missing required parameter: '{missing}'."
            raise BadEvent(message, reason=MISSING, param=missing)


# ---- what it means ------------------------------------------------------------------------------


def turn_settings(session: SessionJson, defaults: Defaults) -> TurnSettings:
    """Say how turns are to be taken; None where it is as the server has it."""
    heard = session["audio"]["input"]
    detection = heard["turn_detection"]
    listens_only = session["type"] == "transcription"
    instructions = session["instructions"]
    common = TurnSettings(
        automatic=detection is not None,
        instructions=None if instructions == defaults.instructions else instructions,
        sampling=sampling(session, defaults.sampling),
        transcribe=listens_only or heard["transcription"] is not None,
        respond=detection is not None and not listens_only,
    )
    if detection is None:
        return common
    settings = replace(
        common,
        respond=detection["create_response"] and not listens_only,
        interrupt=detection["interrupt_response"],
        hangover_ms=unless(defaults.hangover_ms, hangover(detection, defaults)),
    )
    if detection["type"] == "semantic_vad":
        return settings
    return replace(
        settings,
        prefix_padding_ms=unless(defaults.prefix_padding_ms, detection["prefix_padding_ms"]),
        threshold=unless(defaults.threshold, detection["threshold"]),
        idle_ms=detection["idle_timeout_ms"],
    )


def hangover(detection: dict[str, Any], defaults: Defaults) -> int:
    """Give the silence that ends speech, in milliseconds."""
    if detection["type"] == "server_vad":
        return int(detection["silence_duration_ms"])
    wanted = round(defaults.hangover_ms * EAGERNESS[detection["eagerness"]])
    return min(MAX_HANGOVER_MS, max(defaults.min_hangover_ms, wanted))


def unless(default: N, value: N) -> N | None:
    """Give the value unless it is the default."""
    return None if value == default else value


def sampling(given: dict[str, Any], usual: Sampling) -> Sampling | None:
    """Say how tokens are chosen where `given` differs from what is usual; None: it does not."""
    changes: dict[str, Any] = {}
    if isinstance(limit := given.get("max_output_tokens"), int):
        changes["max_tokens"] = limit
    if (temperature := given.get("temperature")) is not None:
        changes["temperature"] = float(temperature)
    return replace(usual, **changes) if changes else None
