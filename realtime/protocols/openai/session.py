"""The session object: what a client may set, how updates merge, what it means for the turns.

Only present keys change; nested objects merge; null is not absent: it turns off what can be off
and gives everything else its default back. A new type of turn detection, and a format, replace
the whole object. What we do not know is kept and shown, and does nothing.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta

from realtime.engine.api import Sampling
from realtime.events import TurnSettings
from realtime.protocols.openai.errors import MISSING, BadEvent
from realtime.protocols.openai.formats import AudioFormat, FormatJson
from realtime.protocols.openai.messages import (
    MAX_KEPT,
    check_kept,
    check_text,
    convert,
    wrong_type,
)

N = TypeVar("N", int, float)
SessionJson = dict[str, Any]
"""A whole session object, without what only we can say (id, model...)."""

MAX_SESSION = 128 << 10  # bytes of JSON
MAX_TOOLS = 128
MAX_HANGOVER_MS = 60_000  # the endpointer's limit
READ_ONLY = ("id", "object", "model", "expires_at", "resume", "client_secret")
WHOLE = ("format", "noise_reduction", "tool_choice", "tracing", "truncation", "prompt")
"""Objects that are replaced, not merged: their fields mean nothing apart."""

EAGERNESS = {"low": 2.0, "medium": 1.0, "auto": 1.0, "high": 0.6}
"""How semantic_vad stretches the hangover."""


@dataclass(frozen=True, slots=True)
class Defaults:
    """What the server's settings say where a client says nothing."""

    hangover_ms: int = 500
    min_hangover_ms: int = 200
    """A shorter silence cannot end speech; what asks for less gets this."""
    prefix_padding_ms: int = 300
    threshold: float = 0.5
    instructions: str = ""
    sampling: Sampling = field(default_factory=Sampling)
    voice: str = "marin"


# ---- what a client may say ----------------------------------------------------------------------

Tokens = Annotated[int, Meta(ge=1, le=4_096)] | Literal["inf"]
Modalities = Annotated[list[Literal["text", "audio"]], Meta(min_length=1, max_length=1)]
Temperature = Annotated[float, Meta(ge=0, le=2)]


class TurnDetectionJson(msgspec.Struct, frozen=True):
    """How turns are detected; null and absent are told apart elsewhere."""

    type: Literal["server_vad", "semantic_vad"] | None = None
    threshold: Annotated[float, Meta(ge=0, le=1)] | None = None
    prefix_padding_ms: Annotated[int, Meta(ge=0, le=5_000)] | None = None
    silence_duration_ms: Annotated[int, Meta(ge=0, le=MAX_HANGOVER_MS)] | None = None
    idle_timeout_ms: Annotated[int, Meta(ge=500, le=600_000)] | None = None
    eagerness: Literal["auto", "low", "medium", "high"] | None = None
    create_response: bool | None = None
    interrupt_response: bool | None = None


class TranscriptionJson(msgspec.Struct, frozen=True):
    """How what was said is transcribed; the model here is always ours."""

    model: str | None = None
    language: str | None = None
    prompt: str | None = None


class NoiseReductionJson(msgspec.Struct, frozen=True):
    """Kept and shown."""

    type: Literal["near_field", "far_field"] | None = None


class InputJson(msgspec.Struct, frozen=True):
    """What comes in."""

    format: FormatJson | None = None
    transcription: TranscriptionJson | None = None
    noise_reduction: NoiseReductionJson | None = None
    turn_detection: TurnDetectionJson | None = None


class OutputJson(msgspec.Struct, frozen=True):
    """What would be spoken."""

    format: FormatJson | None = None
    voice: str | dict[str, Any] | None = None
    speed: Annotated[float, Meta(ge=0.25, le=1.5)] | None = None


class AudioJson(msgspec.Struct, frozen=True):
    """Both directions."""

    input: InputJson | None = None
    output: OutputJson | None = None


class PromptJson(msgspec.Struct, frozen=True):
    """A stored prompt; kept and shown."""

    id: str
    version: str | None = None
    variables: dict[str, Any] | None = None


class ReasoningJson(msgspec.Struct, frozen=True):
    """Kept and shown."""

    effort: str | None = None


class TracingJson(msgspec.Struct, frozen=True):
    """Kept and shown."""

    workflow_name: str | None = None
    group_id: str | None = None
    metadata: Any = None


class TruncationJson(msgspec.Struct, frozen=True):
    """Kept and shown."""

    type: Literal["retention_ratio"]
    retention_ratio: Annotated[float, Meta(ge=0, le=1)]


class ToolJson(msgspec.Struct, frozen=True):
    """Kept and shown; the model calls nothing."""

    type: Literal["function", "mcp"] = "function"
    name: str | None = None
    description: str | None = None
    server_label: str | None = None


Tools = Annotated[list[ToolJson], Meta(max_length=MAX_TOOLS)]
ToolChoice = Literal["auto", "none", "required"] | dict[str, Any]


class PatchJson(msgspec.Struct, frozen=True):
    """What may stand in the `session` of an update."""

    type: Literal["realtime", "transcription"] | None = None
    model: str | None = None
    output_modalities: Modalities | None = None
    instructions: str | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    max_output_tokens: Tokens | None = None
    temperature: Temperature | None = None
    tracing: Literal["auto"] | TracingJson | None = None
    truncation: Literal["auto", "disabled"] | TruncationJson | None = None
    prompt: PromptJson | None = None
    include: list[Literal["item.input_audio_transcription.logprobs"]] | None = None
    parallel_tool_calls: bool | None = None
    reasoning: ReasoningJson | None = None
    audio: AudioJson | None = None


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
                "format": AudioFormat().json(),
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": default_detection("server_vad", defaults),
            },
            "output": {"format": AudioFormat().json(), "voice": defaults.voice, "speed": 1.0},
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
    check_kept(patch, "session", MAX_SESSION)
    seen = convert(patch, PatchJson, "session")
    if seen.tools is not None:
        check_tools(patch["tools"], seen.tools, "session.tools")
    if seen.instructions is not None:
        check_text(seen.instructions, "session.instructions")
    wanted = {key: value for key, value in patch.items() if key not in READ_ONLY}
    merged = merged_objects(current, wanted, default_session(defaults))
    heard = merged["audio"]["input"]
    asked = ((patch.get("audio") or {}).get("input") or {}).get("turn_detection")
    if asked is not None:
        before = current["audio"]["input"]["turn_detection"]
        heard["turn_detection"] = merged_detection(before, asked, defaults)
    for way in merged["audio"].values():
        if isinstance(way, dict) and "format" in way:
            way["format"] = AudioFormat.of(way["format"]).json()
    # Honest as long as nothing here speaks; and pipecat dies of a tool_choice that is an object.
    merged["output_modalities"] = ["text"]
    if isinstance(merged["tool_choice"], dict):
        merged["tool_choice"] = "required"
    check_kept(merged, "session", MAX_SESSION)
    return merged


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
        respond=not listens_only,
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
