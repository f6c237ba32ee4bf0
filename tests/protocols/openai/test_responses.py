"""Responses: what may be asked of one, and the object that is shown."""

from __future__ import annotations

import pytest

from realtime.engine.api import Sampling, Usage
from realtime.protocols.openai.errors import BadEvent
from realtime.protocols.openai.responses import Live, item_status, read_response, usage_json
from realtime.protocols.openai.session import Defaults, default_session, merge
from realtime.session.events import Final, ResponseStarted, Trouble
from realtime.session.items import Answer, Reference, UserDraft

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


# ---- the response object ------------------------------------------------------------------------

SESSION = merge(
    default_session(DEFAULTS),
    {"max_output_tokens": 7, "audio": {"output": {"format": {"type": "audio/pcmu"}}}},
    DEFAULTS,
)
SPOKEN = {"output": {"format": {"type": "audio/pcmu"}, "voice": "marin"}}
PLACE = {"response_id": "resp_c:1", "item_id": "a", "output_index": 0, "content_index": 0}
USAGE = Usage(4, 0, 2)


def live(asked: dict | None = None) -> Live:
    chosen = read_response(asked or {}, SESSION, DEFAULTS)
    return Live.of(ResponseStarted("c:1", Answer("a", 1), "u", chosen), SESSION, "conv_s")


def answer(status: str, *content: dict) -> dict:
    return {
        "id": "a",
        "object": "realtime.item",
        "type": "message",
        "status": status,
        "role": "assistant",
        "content": list(content),
    }


def shown(status: str, details: dict | None, *output: dict, usage: dict | None = None) -> dict:
    return {
        "object": "realtime.response",
        "id": "resp_c:1",
        "status": status,
        "status_details": details,
        "output": list(output),
        "conversation_id": "conv_s",
        "output_modalities": ["text"],
        "max_output_tokens": 7,
        "metadata": None,
        "audio": SPOKEN,
        "usage": usage,
    }


def test_a_response_begins_with_all_that_its_first_word_needs():
    item = answer("in_progress")
    assert list(live().beginning()) == [
        ("response.created", {"response": shown("in_progress", None)}),
        (
            "response.output_item.added",
            {"response_id": "resp_c:1", "output_index": 0, "item": item},
        ),
        ("conversation.item.added", {"item": item, "previous_item_id": "u"}),
        ("response.content_part.added", {**PLACE, "part": {"type": "text", "text": ""}}),
    ]


def test_a_response_ends_with_all_that_was_told():
    response = live()
    response.pieces += ["It is", " noon."]
    item = answer("completed", {"type": "output_text", "text": "It is noon."})
    final = Final(1, "It is noon.", "stop", USAGE, response="c:1")
    assert list(response.ending(final)) == [
        ("response.output_text.done", {**PLACE, "text": "It is noon."}),
        ("response.content_part.done", {**PLACE, "part": {"type": "text", "text": "It is noon."}}),
        ("conversation.item.done", {"item": item, "previous_item_id": "u"}),
        (
            "response.output_item.done",
            {"response_id": "resp_c:1", "output_index": 0, "item": item},
        ),
        (
            "response.done",
            {"response": shown("completed", None, item, usage=usage_json(USAGE))},
        ),
    ]


@pytest.mark.parametrize(
    ("final", "status", "details", "item"),
    [
        (Final(1, "", "stop"), "completed", None, "completed"),
        (
            Final(1, "", "length"),
            "incomplete",
            {"type": "incomplete", "reason": "max_output_tokens"},
            "incomplete",
        ),
        (
            Final(1, "", "interrupted", reason="speech"),
            "cancelled",
            {"type": "cancelled", "reason": "turn_detected"},
            "incomplete",
        ),
        (
            Final(1, "", "interrupted", reason="asked"),
            "cancelled",
            {"type": "cancelled", "reason": "client_cancelled"},
            "incomplete",
        ),
        (
            Final(1, "", "stop", failure=Trouble("busy", "Later.")),
            "failed",
            {
                "type": "failed",
                "error": {"type": "server_error", "code": "busy", "message": "Later."},
            },
            "incomplete",
        ),
    ],
)
def test_every_end_is_told_as_what_it_is(final, status, details, item):
    (*_, (_, last)) = live().ending(final)
    done = last["response"]
    assert (done["status"], done["status_details"]) == (status, details)
    assert (item_status(final), done["output"][0]["status"]) == (item, item)
    assert done["usage"] is None


def test_beside_the_conversation_and_without_its_item_there_is_no_item_of_it():
    beside, gone = live({"conversation": "none"}), live()
    gone.gone = True
    for response in (beside, gone):
        told = [*response.beginning(), *response.ending(Final(1, "", "stop"))]
        assert not [kind for kind, _ in told if kind.startswith("conversation.")]
        assert len(told) == 7
    assert beside.json("completed", None, [], None)["conversation_id"] is None


def test_what_a_client_asked_of_one_response_is_shown_in_it():
    asked = {
        "metadata": {"k": "v"},
        "max_output_tokens": 5,
        "audio": {"output": {"voice": "ash", "format": {"type": "audio/pcm"}, "speed": None}},
    }
    done = live(asked).json("completed", None, [], None)
    assert (done["metadata"], done["max_output_tokens"]) == ({"k": "v"}, 5)
    spoken = {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "ash"}
    assert done["audio"] == {"output": spoken}


def test_no_more_audio_is_counted_than_there_was_prompt():
    counted = usage_json(
        Usage(prompt_tokens=4, cached_tokens=2, completion_tokens=1, audio_tokens=9)
    )
    details = counted["input_token_details"]
    assert (details["text_tokens"], details["audio_tokens"]) == (0, 4)
    assert details["cached_tokens_details"]["audio_tokens"] == 2


def test_the_one_token_of_a_prompt_may_be_audio_that_was_cached():
    counted = usage_json(
        Usage(prompt_tokens=1, cached_tokens=1, completion_tokens=0, audio_tokens=1)
    )
    details = counted["input_token_details"]["cached_tokens_details"]
    assert (details["text_tokens"], details["audio_tokens"]) == (0, 1)


@pytest.mark.parametrize("audio", [None, {}, {"input": {}}, {"output": None}, {"output": {}}])
def test_a_response_that_says_nothing_of_its_voice_has_the_sessions(audio):
    assert live({"audio": audio}).json("completed", None, [], None)["audio"] == SPOKEN
