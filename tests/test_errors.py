"""Errors are told apart by whose fault they are, and the page at their head is true."""

from __future__ import annotations

import re

import pytest

from realtime import errors
from realtime.errors import (
    BadMessage,
    Busy,
    EngineError,
    LimitReached,
    ProtocolError,
    RealtimeError,
    Refused,
)

CLASSES = {
    name: value
    for name, value in vars(errors).items()
    if isinstance(value, type) and issubclass(value, RealtimeError)
}


def drawn() -> dict[str, tuple[str | None, str]]:
    """Read the tree of the module's docstring: each class's parent and what is said of it."""
    tree, above = {}, []
    for indent, name, words in re.findall(
        r"^( *)\* (\w+)(.*)$", errors.__doc__ or "", re.MULTILINE
    ):
        above[len(indent) // 4 :] = [name]
        tree[name] = (above[-2] if len(above) > 1 else None, words)
    return tree


def test_the_tree_is_drawn_as_it_is():
    parents = {
        name: None if kind is RealtimeError else kind.__base__.__name__
        for name, kind in CLASSES.items()
    }
    assert {name: parent for name, (parent, _) in drawn().items()} == parents


def test_close_codes_are_those_that_the_tree_tells():
    for name, (_, words) in drawn().items():
        if told := re.search(r"close (\d+)", words):
            assert CLASSES[name].close_code == int(told[1]), name


def test_what_says_nothing_of_its_end_ends_as_our_own_failure():
    kept = {name for name, kind in CLASSES.items() if kind.close_code == 1011}
    assert kept == {
        "RealtimeError",
        "BadMessage",
        "ConfigError",
        "EngineError",
        "ContextTooLong",
        "WorkerLost",
        "ModelError",
    }
    assert Refused.close_code == 1008
    assert errors.AudioError.close_code == 1003


def test_every_error_has_its_own_name_on_the_wire():
    codes = {name: kind.code for name, kind in CLASSES.items() if name != "Refused"}
    assert codes == {
        "RealtimeError": "internal_error",
        "BadMessage": "bad_message",
        "ProtocolError": "protocol_error",
        "WrongType": "wrong_type",
        "TooMuch": "too_much",
        "TooMany": "too_many_messages",
        "SlowPeer": "slow_peer",
        "LimitReached": "rate_limit_exceeded",
        "Busy": "busy",
        "AudioError": "bad_audio",
        "ConfigError": "bad_config",
        "EngineError": "engine_error",
        "ContextTooLong": "context_too_long",
        "WorkerLost": "worker_lost",
        "ModelError": "bad_model",
    }


def test_the_peers_fault_is_none_of_ours():
    ours = (EngineError, errors.ModelError, errors.ConfigError)
    peers = (BadMessage, ProtocolError, errors.TooMany, errors.SlowPeer, Refused, LimitReached)
    for kind in CLASSES.values():
        assert not (issubclass(kind, ours) and issubclass(kind, peers)), kind


@pytest.mark.parametrize("kind", [Busy, LimitReached])
def test_who_is_to_come_back_is_told_when(kind):
    error = kind("Later.", retry_after=2.5)
    assert (str(error), error.retry_after) == ("Later.", 2.5)


def test_who_is_refused_is_told_why():
    plain = Refused(401, "invalid_api_key", "No.")
    assert (plain.status, plain.code, str(plain)) == (401, "invalid_api_key", "No.")
    assert (plain.param, plain.headers) == (None, {})
    given = {"www-authenticate": "Bearer"}
    named = Refused(400, "bad", "No.", param="model", headers=given)
    assert (named.param, named.headers) == ("model", given)
    given.clear()
    assert named.headers, "the headers are its own"
