"""What OpenAI clients are told when something is wrong: type, code, param, message.

Clients branch on input_audio_buffer_commit_empty, response_cancel_not_active and
conversation_already_has_active_response; everything else is for people to read.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from realtime.errors import BadMessage
from realtime.session.events import Trouble

MISSING = "missing_required_parameter"
BAD_TYPE = "invalid_type"
BAD_VALUE = "invalid_value"
TOO_LONG = "string_above_max_length"
TOO_MANY = "array_above_max_length"
BAD_JSON = "invalid_json"

SILENT = frozenset({"conversation_trimmed", "turn_too_long", "idle"})
"""Trouble that these clients do not expect to hear of."""

CODES = {
    "nothing_to_commit": "input_audio_buffer_commit_empty",
    "response_active": "conversation_already_has_active_response",
    "nothing_to_cancel": "response_cancel_not_active",
    "not_an_answer": BAD_VALUE,
    "audio_too_long": BAD_VALUE,
    "too_many_responses": "rate_limit_exceeded",
}
"""Their word where it is not ours."""

ASKED_WRONGLY = frozenset(
    {
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
    }
)
"""Trouble that the client brought about; the rest is ours, a server_error."""

PARAMS = {
    ("item_not_found", "conversation.item.create"): "previous_item_id",
    ("item_not_found", "response.create"): "response.input",
    ("item_exists", "conversation.item.create"): "item.id",
    ("item_exists", "response.create"): "response.input",
    ("audio_too_short", "conversation.item.create"): "item.content",
    ("audio_too_long", "conversation.item.create"): "item.content",
    ("audio_too_short", "response.create"): "response.input",
    ("audio_too_long", "response.create"): "response.input",
    ("nothing_to_cancel", "response.cancel"): "response_id",
}
"""Which field of which client event is to blame."""


class BadEvent(BadMessage):
    """One client event cannot be understood; `param` is the field, `reason` OpenAI's code."""

    def __init__(self, message: str, *, reason: str = BAD_VALUE, param: str | None = None) -> None:
        super().__init__(message)
        self.reason = reason
        self.param = param
        self.event_id: str | None = None
        """Of the client event, if it has one that can be read."""

    def body(self) -> dict[str, Any]:
        """Give the `error` object of an error event or of an HTTP answer."""
        return {
            "type": "invalid_request_error",
            "code": self.reason,
            "message": str(self),
            "param": self.param,
            "event_id": self.event_id,
        }


def trouble_body(trouble: Trouble, *, kind: str, event_id: str | None) -> dict[str, Any]:
    """Give the `error` object for trouble met while a client event of type `kind` is worked off."""
    code = CODES.get(trouble.code, trouble.code)
    if trouble.code == "audio_too_short":
        code = BAD_VALUE if "create" in kind else "input_audio_buffer_commit_empty"
    param = PARAMS.get((trouble.code, kind))
    if param is None and trouble.code in ("item_not_found", "not_an_answer"):
        param = "item_id"
    return {
        "type": "invalid_request_error" if trouble.code in ASKED_WRONGLY else "server_error",
        "code": code,
        "message": trouble.message,
        "param": param,
        "event_id": event_id,
    }


PLACE = re.compile(r"^(?P<what>.*?)(?: - at (?:`key` in )?`\$\.?(?P<path>.*)`)?$", re.DOTALL)
FIELD = re.compile(r"missing required field `(.+)`")


def from_validation(error: msgspec.ValidationError, *, inside: str = "") -> BadEvent:
    """Turn msgspec's words into OpenAI's; `inside` is the field that the value came from."""
    found = PLACE.match(str(error))
    assert found is not None, "the pattern fits any text"
    what, path = found["what"], join(inside, found["path"] or "")
    if missing := FIELD.search(what):
        param = join(path, missing[1])
        return BadEvent(f"Missing required parameter: '{param}'.", reason=MISSING, param=param)
    words = what.replace("`", "'").rstrip(".")
    message = f"Invalid value for '{path}': {words}." if path else f"Invalid event: {words}."
    return BadEvent(message, reason=reason_of(what), param=path or None)


def reason_of(what: str) -> str:
    """Name the kind of mistake that msgspec describes."""
    if "got `" in what or what in ("Expected `str`", "Expected `object`"):
        return BAD_TYPE
    if "`str` of length <=" in what:
        return TOO_LONG
    if "`array` of length <=" in what:
        return TOO_MANY
    return BAD_VALUE


def join(inside: str, path: str) -> str:
    """Write the path of a field within another."""
    if not inside or not path or path.startswith("["):
        return inside + path
    return f"{inside}.{path}"
