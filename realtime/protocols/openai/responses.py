"""Responses: what a client may ask of one, and the response object that it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from realtime.engine.api import Sampling, Usage
from realtime.protocols.openai.beta import modern
from realtime.protocols.openai.formats import read_format, show_format
from realtime.protocols.openai.items import read_input, show_answer
from realtime.protocols.openai.messages import check_kept, check_text, convert
from realtime.protocols.openai.session import Defaults, SessionJson, check_tools, sampling
from realtime.protocols.openai.shapes import (
    AudioJson,
    Modalities,
    PromptJson,
    ReasoningJson,
    Temperature,
    Tokens,
    ToolChoice,
    Tools,
)
from realtime.session.events import Final, ResponseOptions, ResponseStarted, Trouble

Told = tuple[str, dict[str, Any]]
"""The type of a server event, and its fields."""

PREFIX = "resp_"

MetadataKey = Annotated[str, Meta(max_length=64)]
MetadataValue = Annotated[str, Meta(max_length=512)]
Metadata = Annotated[dict[MetadataKey, MetadataValue], Meta(max_length=16)]


class ResponseJson(msgspec.Struct, frozen=True):
    """What may stand in the `response` of a response.create."""

    conversation: Literal["auto", "none"] | None = None
    input: list[dict[str, Any]] | None = None
    instructions: str | None = None
    output_modalities: Modalities | None = None
    max_output_tokens: Tokens | None = None
    temperature: Temperature | None = None
    metadata: Metadata | None = None
    tools: Tools | None = None
    tool_choice: ToolChoice | None = None
    audio: AudioJson | None = None
    prompt: PromptJson | None = None
    reasoning: ReasoningJson | None = None
    parallel_tool_calls: bool | None = None


@dataclass(frozen=True, slots=True)
class OpenAiOptions(ResponseOptions):
    """With what the response object repeats of its request."""

    metadata: dict[str, str] | None = None
    max_output_tokens: Tokens | None = None
    output: dict[str, Any] = field(default_factory=dict)
    """Format and voice."""


def read_response(data: dict[str, Any], session: SessionJson, defaults: Defaults) -> OpenAiOptions:
    """Read how one response is to differ from the others; raise BadEvent naming the field."""
    data = modern(data, "response")
    asked = convert(data, ResponseJson, "response")
    if asked.tools is not None:
        check_tools(data["tools"], asked.tools, "response.tools")
    if asked.instructions is not None:
        check_text(asked.instructions, "response.instructions")
    output = (data.get("audio") or {}).get("output") or {}
    check_kept(output, "response.audio.output")
    format = read_format(session["audio"]["input"]["format"])
    return OpenAiOptions(
        instructions=asked.instructions,
        sampling=own_sampling(asked, session, defaults.sampling),
        input=None if asked.input is None else read_input(asked.input, format),
        out_of_band=asked.conversation == "none",
        metadata=asked.metadata,
        max_output_tokens=asked.max_output_tokens,
        output={key: value for key, value in output.items() if value is not None},
    )


def own_sampling(asked: ResponseJson, session: SessionJson, usual: Sampling) -> Sampling | None:
    """Say how tokens of this response are chosen; None: as the session's."""
    if asked.max_output_tokens is None and asked.temperature is None:
        return None
    tokens, temperature = asked.max_output_tokens, asked.temperature
    given = {
        "max_output_tokens": session["max_output_tokens"] if tokens is None else tokens,
        "temperature": session.get("temperature") if temperature is None else temperature,
    }
    return sampling(given, usual) or usual


@dataclass(slots=True)
class Live:
    """A response that is due or under way, as the client knows it."""

    id: str
    item: str
    previous: str | None
    conversation: str | None
    """None: it is out of band."""
    metadata: dict[str, str] | None
    max_output_tokens: int | str
    output: dict[str, Any]
    """Format and voice that it would be spoken in."""
    pieces: list[str] = field(default_factory=list)
    gone: bool = False
    """The client has taken its item out of the conversation."""

    @classmethod
    def of(cls, started: ResponseStarted, session: SessionJson, conversation: str) -> Live:
        """Begin one."""
        asked = started.options
        repeated = asked if isinstance(asked, OpenAiOptions) else OpenAiOptions()
        spoken = session["audio"]["output"]
        output = {"format": spoken["format"], "voice": spoken["voice"]} | repeated.output
        return cls(
            id=PREFIX + started.response,
            item=started.answer.id,
            previous=started.previous,
            conversation=None if asked.out_of_band else conversation,
            metadata=repeated.metadata,
            max_output_tokens=repeated.max_output_tokens or session["max_output_tokens"],
            output={"format": show_format(read_format(output["format"])), "voice": output["voice"]},
        )

    @property
    def text(self) -> str:
        """Give what the client has had."""
        return "".join(self.pieces)

    @property
    def place(self) -> dict[str, Any]:
        """Give the four ids of its only part."""
        return {
            "response_id": self.id,
            "item_id": self.item,
            "output_index": 0,
            "content_index": 0,
        }

    def beginning(self) -> Iterator[Told]:
        """Yield everything up to the place of its first word."""
        item = show_answer(self.item, None, "in_progress")
        yield "response.created", {"response": self.json("in_progress", None, [], None)}
        yield self.output_item("response.output_item.added", item)
        yield from self.conversation_item("conversation.item.added", item)
        part = {"type": "text", "text": ""}
        yield "response.content_part.added", {**self.place, "part": part}

    def ending(self, final: Final) -> Iterator[Told]:
        """Yield everything after its last word; the tail is whole whatever came before it."""
        text = self.text
        item = show_answer(self.item, text, item_status(final))
        yield "response.output_text.done", {**self.place, "text": text}
        part = {"type": "text", "text": text}
        yield "response.content_part.done", {**self.place, "part": part}
        yield from self.conversation_item("conversation.item.done", item)
        yield self.output_item("response.output_item.done", item)
        status, details = outcome(final)
        done = self.json(status, details, [item], usage_json(final.usage))
        yield "response.done", {"response": done}

    def output_item(self, kind: str, item: dict[str, Any]) -> Told:
        """Tell of the item that it makes."""
        return kind, {"response_id": self.id, "output_index": 0, "item": item}

    def conversation_item(self, kind: str, item: dict[str, Any]) -> Iterator[Told]:
        """Tell of it as an item of the conversation, if it is one."""
        if self.conversation is not None and not self.gone:
            yield kind, {"item": item, "previous_item_id": self.previous}

    def json(
        self,
        status: str,
        details: dict[str, Any] | None,
        output: list[dict[str, Any]],
        usage: dict[str, Any] | None,
    ) -> dict[str, Any]:
        """Write the response object."""
        return {
            "object": "realtime.response",
            "id": self.id,
            "status": status,
            "status_details": details,
            "output": output,
            "conversation_id": self.conversation,
            "output_modalities": ["text"],
            "max_output_tokens": self.max_output_tokens,
            "metadata": self.metadata,
            "audio": {"output": self.output},
            "usage": usage,
        }


def item_status(final: Final) -> Literal["completed", "incomplete"]:
    """Tell whether the answer is whole."""
    return "completed" if final.finish == "stop" and final.failure is None else "incomplete"


def outcome(final: Final) -> tuple[str, dict[str, Any] | None]:
    """Give status and status_details of a response that is over."""
    if final.failure is not None:
        return "failed", {"type": "failed", "error": failure_json(final.failure)}
    match final.finish:
        case "stop":
            return "completed", None
        case "length":
            return "incomplete", {"type": "incomplete", "reason": "max_output_tokens"}
        case "interrupted":
            reason = "turn_detected" if final.reason == "speech" else "client_cancelled"
            return "cancelled", {"type": "cancelled", "reason": reason}


def failure_json(failure: Trouble) -> dict[str, Any]:
    """Say why something could not be made; strict clients want no nulls here."""
    return {"type": "server_error", "code": failure.code, "message": failure.message}


def usage_json(usage: Usage | None) -> dict[str, Any] | None:
    """Count tokens as OpenAI does: never a null among the numbers, or null as a whole."""
    if usage is None:
        return None
    audio = min(usage.audio_tokens, usage.prompt_tokens)
    # Only the whole of what was cached is known; its kinds are taken to be mixed as the prompt's.
    cached_audio = usage.cached_tokens * audio // max(1, usage.prompt_tokens)
    return {
        "total_tokens": usage.prompt_tokens + usage.completion_tokens,
        "input_tokens": usage.prompt_tokens,
        "output_tokens": usage.completion_tokens,
        "input_token_details": {
            "text_tokens": usage.prompt_tokens - audio,
            "audio_tokens": audio,
            "image_tokens": 0,
            "cached_tokens": usage.cached_tokens,
            "cached_tokens_details": {
                "text_tokens": usage.cached_tokens - cached_audio,
                "audio_tokens": cached_audio,
                "image_tokens": 0,
            },
        },
        "output_token_details": {"text_tokens": usage.completion_tokens, "audio_tokens": 0},
    }
