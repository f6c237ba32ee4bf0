"""Errors in OpenAI's words."""

from __future__ import annotations

import msgspec
import pytest

from realtime.errors import BadMessage
from realtime.protocols.openai.errors import BadEvent, from_validation, trouble_body
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
