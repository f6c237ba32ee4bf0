"""What may stand in the session of an update: types, ranges and lengths, all optional.

Null and absent are told apart where updates are merged. Fields that are not here are passed over.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from realtime.protocols.openai.formats import FormatJson

MAX_TOOLS = 128
MAX_HANGOVER_MS = 60_000  # the endpointer's limit

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
