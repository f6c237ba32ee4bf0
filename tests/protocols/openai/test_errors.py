"""Errors in OpenAI's words."""

from __future__ import annotations

import msgspec
import pytest

from realtime.errors import BadMessage
from realtime.protocols.openai.errors import SILENT, BadEvent, from_validation, trouble_body
from realtime.session.events import Trouble


@pytest.mark.parametrize(
    ("words", "inside", "param", "reason"),
    [
        ("Object missing required field `item`", "", "item", "missing_required_parameter"),
        (
            "Object missing required field `id` - at `$[0]`",
            "response.input",
            "response.input[0].id",
            "missing_required_parameter",
        ),
        ("Expected `str`, got `int` - at `$.a.b`", "", "a.b", "invalid_type"),
        ("Expected `str`, got `int`", "x", "x", "invalid_type"),
        ("Expected `object`, got `array`", "", None, "invalid_type"),
        ("Expected `int` >= 0 - at `$.n`", "x", "x.n", "invalid_value"),
        ("Expected `str` of length <= 3 - at `$.s`", "", "s", "string_above_max_length"),
        (
            "Expected `str` of length <= 3 - at `key` in `$.m`",
            "r",
            "r.m",
            "string_above_max_length",
        ),
        ("Expected `array` of length <= 3 - at `$.l`", "", "l", "array_above_max_length"),
        ("Invalid enum value 'y' - at `$.l[0]`", "", "l[0]", "invalid_value"),
        ("Invalid base64 encoded string - at `$.audio`", "", "audio", "invalid_value"),
    ],
)
def test_msgspecs_words_become_theirs(words, inside, param, reason):
    bad = from_validation(msgspec.ValidationError(words), inside=inside)
    assert (bad.param, bad.reason) == (param, reason)
    assert "`" not in str(bad)


def test_a_bad_event_is_a_bad_message_with_a_body_for_http_too():
    bad = BadEvent("No.", reason="invalid_type", param="session")
    assert isinstance(bad, BadMessage)
    assert bad.body() == {
        "type": "invalid_request_error",
        "code": "invalid_type",
        "message": "No.",
        "param": "session",
        "event_id": None,
    }


def test_trouble_without_a_client_event_is_told_plainly():
    body = trouble_body(Trouble("busy", "Later."), kind="", event_id=None)
    assert (body["type"], body["code"], body["param"]) == ("server_error", "busy", None)


@pytest.mark.parametrize(
    ("code", "theirs"),
    [
        ("nothing_to_commit", "input_audio_buffer_commit_empty"),
        ("audio_too_short", "input_audio_buffer_commit_empty"),
        ("response_active", "conversation_already_has_active_response"),
        ("nothing_to_cancel", "response_cancel_not_active"),
        ("not_an_answer", "invalid_value"),
        ("audio_too_long", "invalid_value"),
        ("too_many_responses", "rate_limit_exceeded"),
        ("item_exists", "item_exists"),
    ],
)
def test_clients_find_the_codes_that_they_branch_on(code, theirs):
    assert trouble_body(Trouble(code, "No."), kind="", event_id=None)["code"] == theirs


ASKED_WRONGLY = [
    "nothing_to_commit",
    "nothing_to_answer",
    "nothing_to_cancel",
    "not_an_answer",
    "audio_too_short",
    "audio_too_long",
    "response_active",
    "too_many_responses",
    "item_not_found",
    "item_exists",
    "conversation_full",
    "too_much",
    "too_many_messages",
    "bad_message",
    "rate_limit_exceeded",
    "session_expired",
    "invalid_api_key",
    "wrong_type",
]


@pytest.mark.parametrize(
    ("codes", "kind"),
    [
        (ASKED_WRONGLY, "invalid_request_error"),
        (["busy", "engine_error", "internal_error", "context_too_long", "idle"], "server_error"),
    ],
)
def test_it_is_told_whose_fault_it_is(codes, kind):
    for code in codes:
        body = trouble_body(Trouble(code, "Why."), kind="", event_id="mine")
        assert (body["type"], body["message"], body["event_id"]) == (kind, "Why.", "mine")


PUT, ASK = "conversation.item.create", "response.create"


@pytest.mark.parametrize(
    ("code", "kind", "param"),
    [
        ("item_not_found", PUT, "previous_item_id"),
        ("item_not_found", ASK, "response.input"),
        ("item_not_found", "conversation.item.delete", "item_id"),
        ("not_an_answer", "conversation.item.truncate", "item_id"),
        ("item_exists", PUT, "item.id"),
        ("item_exists", ASK, "response.input"),
        ("audio_too_short", PUT, "item.content"),
        ("audio_too_long", PUT, "item.content"),
        ("audio_too_short", ASK, "response.input"),
        ("audio_too_long", ASK, "response.input"),
        ("nothing_to_cancel", "response.cancel", "response_id"),
        ("nothing_to_cancel", PUT, None),
        ("busy", ASK, None),
    ],
)
def test_the_field_of_the_client_event_is_named(code, kind, param):
    assert trouble_body(Trouble(code, "No."), kind=kind, event_id=None)["param"] == param


@pytest.mark.parametrize("kind", [PUT, ASK])
def test_a_recording_that_is_too_short_is_a_wrong_value_where_it_is_brought(kind):
    body = trouble_body(Trouble("audio_too_short", "No."), kind=kind, event_id=None)
    assert body["code"] == "invalid_value"


def test_what_listeners_do_not_expect_is_not_told():
    assert {"conversation_trimmed", "turn_too_long", "idle"} == SILENT


@pytest.mark.parametrize(
    ("words", "inside", "message"),
    [
        ("Object missing required field `id`", "a", "Missing required parameter: 'a.id'."),
        ("Expected `int` >= 0 - at `$.n`", "", "Invalid value for 'n': Expected 'int' >= 0."),
        ("Expected `object`, got `int`", "", "Invalid event: Expected 'object', got 'int'."),
        ("Ends already.", "x", "Invalid value for 'x': Ends already."),
    ],
)
def test_people_read_what_is_wrong(words, inside, message):
    assert str(from_validation(msgspec.ValidationError(words), inside=inside)) == message


def test_a_value_is_wrong_unless_it_is_said_how():
    assert (BadEvent("No.").reason, BadEvent("No.").param) == ("invalid_value", None)
    for words in ("Expected `str`", "Expected `object`"):
        assert from_validation(msgspec.ValidationError(words)).reason == "invalid_type"
