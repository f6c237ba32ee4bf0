"""Client events as structs: what is kept within bounds, what can be said of what is none."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.protocols.openai.errors import BadEvent
from realtime.protocols.openai.messages import (
    MAX_DEPTH,
    MAX_TEXT,
    Append,
    ItemTruncate,
    ResponseCreate,
    SessionUpdate,
    check_kept,
    check_text,
    depth_over,
    outline,
    read_event,
)


def test_events_are_read_with_their_id_and_what_is_unknown_is_passed_over():
    event = read_event('{"type":"response.create","event_id":"e","response":{"x":1},"new":[1]}')
    assert event == ResponseCreate(event_id="e", response={"x": 1})
    assert read_event('{"audio":"AAE=","type":"input_audio_buffer.append"}') == Append(
        audio=b"\x00\x01"
    )
    assert read_event('{"type":"session.update","session":{}}') == SessionUpdate(session={})


def test_a_place_in_an_answer_may_be_told_in_characters():
    text = (
        '{"type":"conversation.item.truncate","item_id":"i","content_index":0,'
        '"audio_end_ms":0,"text_chars":3}'
    )
    event = read_event(text)
    assert isinstance(event, ItemTruncate)
    assert event.text_chars == 3


def nested(depth: int) -> object:
    return json.loads("[" * depth + "]" * depth)


@given(st.integers(1, 60), st.integers(0, 60))
def test_depth_counts_objects_and_arrays(depth, limit):
    assert depth_over(nested(depth), limit) == (depth > limit)
    assert depth_over({"a": [nested(depth)], "b": 5}, limit) == (depth + 2 > limit)


def test_what_is_kept_has_bounds():
    check_kept(nested(MAX_DEPTH), "x")
    check_kept(["x" * 10], "x", 14)
    for data, limit in ((nested(MAX_DEPTH + 1), 1_000), (["x" * 11], 14)):
        with pytest.raises(BadEvent) as error:
            check_kept(data, "x", limit)
        assert error.value.param == "x"


@pytest.mark.parametrize("character", ["x", "é", "日", "😀"])
def test_text_is_counted_in_bytes(character):
    fits = MAX_TEXT // len(character.encode())
    check_text(character * fits, "x")
    with pytest.raises(BadEvent):
        check_text(character * (fits + 1), "x")


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ('{"event_id":"e","type":"t"}', ("e", "t")),
        ('{"event_id":"e","type":"t","x":"\\ud83d"}', ("e", "t")),
        ('{"event_id":5,"type":5}', (None, 5)),
        ('{"event_id":"\\ud83d","type":"t"}', (None, "t")),
    ],
)
def test_what_can_be_said_of_an_event_that_is_none(text, seen):
    assert outline(text) == seen


@pytest.mark.parametrize("text", ["", "[]", "5", "{", '{"x":1}', "[" * 100_000])
def test_nothing_can_be_said_of_most(text):
    assert outline(text)[0] is None
