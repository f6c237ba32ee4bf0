"""What may stand in a session object: every range at both its ends, every word."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from realtime.protocols.openai.shapes import MAX_HANGOVER_MS, MAX_TOOLS, PatchJson

DETECTION = ("audio", "input", "turn_detection")


def patch(path: tuple[str, ...], value: Any) -> dict[str, Any]:
    """Put a value at its place in an update."""
    for name in reversed(path):
        value = {name: value}
    return value


def taken(path: tuple[str, ...], value: Any) -> bool:
    try:
        found: Any = msgspec.convert(patch(path, value), PatchJson)
    except msgspec.ValidationError:
        return False
    for name in path:
        found = getattr(found, name)
    assert isinstance(found, msgspec.Struct | list) or found == value
    return True


@pytest.mark.parametrize(
    ("path", "least", "most", "step"),
    [
        (("max_output_tokens",), 1, 4_096, 1),
        (("temperature",), 0, 2, 0.01),
        ((*DETECTION, "threshold"), 0, 1, 0.01),
        ((*DETECTION, "prefix_padding_ms"), 0, 5_000, 1),
        ((*DETECTION, "silence_duration_ms"), 0, MAX_HANGOVER_MS, 1),
        ((*DETECTION, "idle_timeout_ms"), 500, 600_000, 1),
        (("audio", "output", "speed"), 0.25, 1.5, 0.01),
    ],
)
def test_every_number_has_its_range(path, least, most, step):
    assert taken(path, least)
    assert taken(path, most)
    assert not taken(path, least - step)
    assert not taken(path, most + step)
    assert not taken(path, "5")


def test_a_hangover_is_at_most_the_endpointers():
    assert MAX_HANGOVER_MS == 60_000


@pytest.mark.parametrize(
    ("path", "words"),
    [
        (("type",), ["realtime", "transcription"]),
        (("max_output_tokens",), ["inf"]),
        (("tool_choice",), ["auto", "none", "required"]),
        (("tracing",), ["auto"]),
        (("truncation",), ["auto", "disabled"]),
        ((*DETECTION, "type"), ["server_vad", "semantic_vad"]),
        ((*DETECTION, "eagerness"), ["auto", "low", "medium", "high"]),
        (("audio", "input", "noise_reduction", "type"), ["near_field", "far_field"]),
        (("audio", "input", "format", "type"), ["audio/pcm", "audio/pcmu", "audio/pcma"]),
    ],
)
def test_every_word_is_one_of_a_few(path, words):
    assert all(taken(path, word) for word in words)
    assert not any(taken(path, word) for word in ("", "other", words[0].upper(), -5))


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("output_modalities",), []),
        (("output_modalities",), ["text", "audio"]),
        (("output_modalities",), ["smell"]),
        (("tools",), [{"type": "function"}] * (MAX_TOOLS + 1)),
        (("tools",), [{"type": "web"}]),
        (("include",), ["everything"]),
        (("prompt",), {}),
        (("prompt",), {"id": 5}),
        (("truncation",), {"type": "retention_ratio"}),
        (("truncation",), {"type": "other", "retention_ratio": 0.5}),
        (("truncation",), {"type": "retention_ratio", "retention_ratio": 1.01}),
        (("truncation",), {"type": "retention_ratio", "retention_ratio": -0.01}),
        ((*DETECTION, "create_response"), "yes"),
        ((*DETECTION, "interrupt_response"), 1),
    ],
)
def test_other_things_are_refused(path, value):
    assert not taken(path, value)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("output_modalities",), ["text"]),
        (("output_modalities",), ["audio"]),
        (("tools",), [{"type": "function", "name": "f"}] * MAX_TOOLS),
        (("tools",), [{"type": "mcp", "server_label": "s"}, {}]),
        (("tool_choice",), {"type": "function", "name": "f"}),
        (("tracing",), {"workflow_name": "w", "group_id": "g", "metadata": [1]}),
        (("truncation",), {"type": "retention_ratio", "retention_ratio": 0}),
        (("truncation",), {"type": "retention_ratio", "retention_ratio": 1}),
        (("prompt",), {"id": "p", "version": "1", "variables": {"a": 1}}),
        (("include",), ["item.input_audio_transcription.logprobs"]),
        (("reasoning",), {"effort": "low"}),
        (("parallel_tool_calls",), True),
        (("audio", "output", "voice"), {"id": "v"}),
        (("audio", "input", "transcription"), {"model": "m", "language": "en", "prompt": "p"}),
    ],
)
def test_what_is_kept_and_shown_is_taken(path, value):
    assert taken(path, value)


def test_nothing_need_be_there_and_null_may_be():
    assert msgspec.convert({}, PatchJson) == PatchJson()
    assert msgspec.convert(dict.fromkeys(PatchJson.__struct_fields__), PatchJson) == PatchJson()
    assert set(msgspec.structs.asdict(PatchJson()).values()) == {None}


def test_a_tool_is_a_function_unless_it_says_otherwise():
    seen = msgspec.convert({"tools": [{"name": "f"}]}, PatchJson)
    assert seen.tools is not None
    assert (seen.tools[0].type, seen.tools[0].name) == ("function", "f")
