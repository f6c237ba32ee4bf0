"""Responses: what may be asked of one, and the object that is shown."""

from __future__ import annotations

import pytest

from realtime.engine.api import Sampling, Usage
from realtime.protocols.openai.errors import BadEvent
from realtime.protocols.openai.responses import read_response, usage_json
from realtime.protocols.openai.session import Defaults, default_session, merge
from realtime.session.items import Reference, UserDraft

DEFAULTS = Defaults(sampling=Sampling(top_k=3, max_tokens=99))


def options(asked: dict, session: dict | None = None):
    whole = merge(default_session(DEFAULTS), session or {}, DEFAULTS)
    return read_response(asked, whole, DEFAULTS)


def test_a_response_like_the_others():
    for asked in ({}, dict.fromkeys(("instructions", "input", "conversation", "metadata"))):
        found = options(asked)
        assert (found.instructions, found.sampling, found.input) == (None, None, None)
        assert not found.out_of_band


def test_a_response_of_its_own():
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
    found = options(
        {
            "conversation": "none",
            "instructions": "Be brief.",
            "input": [{"type": "item_reference", "id": "i"}, item],
            "metadata": {"k": "v"},
            "tools": [{"type": "function", "name": "f"}],
            "tool_choice": {"type": "function", "name": "f"},
            "output_modalities": ["audio"],
            "unheard": 5,
        }
    )
    assert found.instructions == "Be brief."
    assert found.out_of_band
    reference, draft = found.input
    assert reference == Reference("i")
    assert isinstance(draft, UserDraft)
    assert found.metadata == {"k": "v"}


@pytest.mark.parametrize(
    ("session", "asked", "sampling"),
    [
        ({}, {}, None),
        ({"max_output_tokens": 7}, {}, None),
        ({}, {"max_output_tokens": 5}, Sampling(top_k=3, max_tokens=5)),
        ({"max_output_tokens": 7}, {"max_output_tokens": "inf"}, DEFAULTS.sampling),
        (
            {"temperature": 0.5},
            {"max_output_tokens": 5},
            Sampling(top_k=3, max_tokens=5, temperature=0.5),
        ),
        (
            {"max_output_tokens": 7},
            {"temperature": 1},
            Sampling(top_k=3, max_tokens=7, temperature=1.0),
        ),
    ],
)
def test_how_tokens_of_one_response_are_chosen(session, asked, sampling):
    assert options(asked, session).sampling == sampling


def test_flat_fields_are_understood_as_the_beta_meant_them():
    flat = options({"max_response_output_tokens": 5, "voice": "ash", "modalities": ["text"]})
    nested = {"max_output_tokens": 5, "audio": {"output": {"voice": "ash"}}}
    assert flat == options(nested | {"output_modalities": ["text"]})
    assert flat.sampling.max_tokens == 5
    with pytest.raises(BadEvent) as error:
        options({"max_response_output_tokens": 5, "max_output_tokens": 6})
    assert error.value.param == "response.max_response_output_tokens"


def test_metadata_to_the_brim():
    metadata = {f"{n:064}": "x" * 512 for n in range(16)}
    assert options({"metadata": metadata}).metadata == metadata


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"conversation": "other"}, "response.conversation"),
        ({"conversation": 5}, "response.conversation"),
        ({"input": {}}, "response.input"),
        ({"input": [5]}, "response.input[0]"),
        ({"input": [{}]}, "response.input[0].type"),
        ({"instructions": 5}, "response.instructions"),
        ({"instructions": "x" * 16_385}, "response.instructions"),
        ({"output_modalities": ["audio", "text"]}, "response.output_modalities"),
        ({"max_output_tokens": 0}, "response.max_output_tokens"),
        ({"max_output_tokens": 5_000}, "response.max_output_tokens"),
        ({"max_output_tokens": "some"}, "response.max_output_tokens"),
        ({"temperature": -1}, "response.temperature"),
        ({"metadata": 5}, "response.metadata"),
        ({"metadata": {str(n): "" for n in range(17)}}, "response.metadata"),
        ({"metadata": {"k": "x" * 513}}, "response.metadata[...]"),
        ({"metadata": {"k": 5}}, "response.metadata[...]"),
        ({"metadata": {"k": None}}, "response.metadata[...]"),
        ({"tools": [{"type": "function"}]}, "response.tools[0].name"),
        ({"tool_choice": "maybe"}, "response.tool_choice"),
        ({"audio": 5}, "response.audio"),
        ({"audio": {"output": {"format": {"type": "x"}}}}, "response.audio.output.format.type"),
        ({"audio": {"output": {"voice": {"id": "x" * 70_000}}}}, "response.audio.output"),
        ({"prompt": {}}, "response.prompt.id"),
    ],
)
def test_what_cannot_be_is_refused_by_name(asked, param):
    with pytest.raises(BadEvent) as error:
        options(asked)
    assert error.value.param == param


def test_a_long_key_of_metadata_is_refused():
    with pytest.raises(BadEvent) as error:
        options({"metadata": {"k" * 65: ""}})
    assert error.value.param.startswith("response.metadata")
    assert error.value.reason == "string_above_max_length"


def test_usage_counts_what_was_heard_and_what_was_cached():
    used = Usage(prompt_tokens=20, cached_tokens=8, completion_tokens=10, audio_tokens=15)
    assert usage_json(used) == {
        "total_tokens": 30,
        "input_tokens": 20,
        "output_tokens": 10,
        "input_token_details": {
            "text_tokens": 5,
            "audio_tokens": 15,
            "image_tokens": 0,
            "cached_tokens": 8,
            "cached_tokens_details": {"text_tokens": 2, "audio_tokens": 6, "image_tokens": 0},
        },
        "output_token_details": {"text_tokens": 10, "audio_tokens": 0},
    }


def test_usage_that_is_not_known_is_null_as_a_whole():
    assert usage_json(None) is None
    assert usage_json(Usage(0, 0, 0))["total_tokens"] == 0
