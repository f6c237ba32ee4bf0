"""Client events as structs: what is kept within bounds, what can be said of what is none."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.protocols.openai import messages
from realtime.protocols.openai.errors import BadEvent
from realtime.protocols.openai.messages import (
    MAX_DEPTH,
    MAX_PLAIN,
    MAX_TEXT,
    MOST_VALUES,
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


def test_what_is_too_large_to_keep_is_not_written_to_be_measured(monkeypatch):
    monkeypatch.setattr(msgspec.json, "encode", lambda _: pytest.fail("written"))
    for data in ("x" * 100, {"x" * 100: 1}, [1] * 100, [[["x" * 100]]]):
        with pytest.raises(BadEvent, match="may have 64 bytes of JSON"):
            check_kept(data, "x", 64)


LONG = "x" * MAX_PLAIN


@pytest.mark.parametrize(
    "event",
    [
        {"type": "input_audio_buffer.append", "audio": "A" * (4 * MAX_PLAIN)},
        {"type": "conversation.item.create", "item": {"audio": LONG}},
        {"type": "response.create", "response": {"input": [{"audio": LONG}]}},
    ],
)
def test_what_brings_audio_may_be_long_wherever_its_type_stands(event):
    assert read_event(json.dumps(event)) == read_event(json.dumps(dict(reversed(event.items()))))


@pytest.mark.parametrize(
    "event",
    [
        {"type": "session.update", "session": {"instructions": LONG}},
        {"type": "input_audio_buffer.commit", "x": LONG},
        {"type": "nonsense", "x": LONG},
        {"type": 5, "x": LONG},
        {"x": LONG},
    ],
)
def test_what_brings_no_audio_may_not(event):
    for ordered in (event, dict(reversed(event.items()))):
        with pytest.raises(BadEvent, match="brings no audio") as error:
            read_event(json.dumps({"event_id": "e", **ordered}))
        assert (error.value.event_id, error.value.reason) == ("e", "string_above_max_length")


@pytest.mark.parametrize("value", [1, [], {}, [[[]]]])
def test_a_long_event_of_many_values_is_not_read(value, monkeypatch):
    monkeypatch.setattr(messages, "CLIENT_EVENTS", None)
    item = {"type": "message", "content": [value] * (MOST_VALUES + 1), "id": LONG}
    with pytest.raises(BadEvent, match="may have 100000 values"):
        read_event(json.dumps({"type": "conversation.item.create", "item": item}))


def test_a_long_event_that_is_no_json_is_not_read_by_other_means(monkeypatch):
    monkeypatch.setattr(messages, "json", None)
    with pytest.raises(BadEvent, match="not an event in JSON") as error:
        read_event('{"type":"response.create","x":"' + LONG)
    assert error.value.event_id is None


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
