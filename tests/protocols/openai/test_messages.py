"""Client events as structs: what is kept within bounds, what can be said of what is none."""

from __future__ import annotations

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.errors import TooMuch
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


@pytest.mark.parametrize(("event_id", "echo"), [("x" * 512, True), ("x" * 513, False), (5, False)])
def test_of_what_is_too_long_the_id_is_echoed_if_it_can_be_sent(event_id, echo):
    event = {"type": "input_audio_buffer.commit", "event_id": event_id, "x": LONG}
    with pytest.raises(BadEvent, match="brings no audio") as error:
        read_event(json.dumps(event))
    assert error.value.event_id == (event_id if echo else None)


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


def test_of_what_is_too_long_to_read_by_other_means_nothing_is_said():
    odd = '{"event_id":"e","type":"t","x":"\\ud83d"}'
    assert outline(odd + " " * (MAX_PLAIN - len(odd))) == ("e", "t")
    assert outline(odd + " " * (MAX_PLAIN + 1 - len(odd)))[0] is None


@pytest.mark.parametrize("text", ["", "[]", "5", "{", '{"x":1}', "[" * 100_000])
def test_nothing_can_be_said_of_most(text):
    assert outline(text)[0] is None


# ---- every event, and every bound at both its ends ----------------------------------------------

PUT = "conversation.item.truncate"
EVERY = {
    "session.update": {"session": {}},
    "transcription_session.update": {"session": {}},
    "input_audio_buffer.append": {"audio": ""},
    "input_audio_buffer.commit": {},
    "input_audio_buffer.clear": {},
    "output_audio_buffer.clear": {},
    "conversation.item.create": {"item": {}},
    "conversation.item.retrieve": {"item_id": "i"},
    "conversation.item.delete": {"item_id": "i"},
    PUT: {"item_id": "i", "content_index": 0, "audio_end_ms": 0},
    "response.create": {},
    "response.cancel": {},
}


def read(kind: str, **fields: object) -> messages.AnyClientEvent:
    return read_event(json.dumps({"type": kind, **EVERY[kind], **fields}))


@pytest.mark.parametrize("kind", EVERY)
def test_every_client_event_is_read_by_its_name_and_needs_no_id(kind):
    event = read(kind)
    assert event.__struct_config__.tag == kind
    assert event.event_id is None
    assert read(kind, event_id="x" * 512).event_id == "x" * 512
    with pytest.raises(BadEvent) as error:
        read(kind, event_id="x" * 513)
    assert (error.value.param, error.value.event_id) == ("event_id", None)


@pytest.mark.parametrize("kind", [kind for kind, fields in EVERY.items() if fields])
def test_what_an_event_cannot_do_without_is_missed(kind):
    for field in EVERY[kind]:
        rest = {name: value for name, value in EVERY[kind].items() if name != field}
        with pytest.raises(BadEvent, match=f"Missing required parameter: '{field}'") as error:
            read_event(json.dumps({"type": kind, "event_id": "e", **rest}))
        assert (error.value.param, error.value.event_id) == (field, "e")


@pytest.mark.parametrize(
    ("kind", "field", "good", "bad"),
    [
        (PUT, "content_index", [0, 2**31 - 1], [-1, 2**31]),
        (PUT, "audio_end_ms", [0, 2**31 - 1], [-1, 2**31]),
        (PUT, "text_chars", [0, 2**31 - 1, None], [-1, 2**31]),
        (PUT, "item_id", ["x", "x" * 64], ["", "x" * 65, None]),
        ("conversation.item.create", "previous_item_id", ["x", "x" * 64, None], ["", "x" * 65]),
        ("conversation.item.delete", "item_id", ["x" * 64], ["", "x" * 65]),
        ("conversation.item.retrieve", "item_id", ["x" * 64], ["", "x" * 65]),
        ("response.cancel", "response_id", ["", "x", None], [5]),
        ("response.create", "response", [{}, None], [5, []]),
    ],
)
def test_every_field_has_its_bounds(kind, field, good, bad):
    for value in good:
        assert getattr(read(kind, **{field: value}), field) == value
    for value in bad:
        with pytest.raises(BadEvent) as error:
            read(kind, **{field: value})
        assert error.value.param == field


def test_the_bounds_are_those_of_the_documentation():
    assert messages.MAX_AUDIO == 15 * 1024 * 1024
    assert messages.MAX_EVENT == 20 * 1024 * 1024 + 64 * 1024
    assert messages.MAX_EVENT > messages.MAX_AUDIO * 4 / 3
    assert (MAX_PLAIN, MAX_TEXT, messages.MAX_KEPT) == (256 * 1024, 16 * 1024, 64 * 1024)
    assert (MOST_VALUES, MAX_DEPTH) == (100_000, 32)


def test_an_event_is_plain_up_to_its_bound_and_long_up_to_another(monkeypatch):
    def padded(size: int, kind: str = "input_audio_buffer.commit") -> str:
        head = json.dumps({"type": kind, **EVERY[kind]})
        return head + " " * (size - len(head))

    read_event(padded(MAX_PLAIN))
    with pytest.raises(BadEvent, match=f"{MAX_PLAIN} bytes; this has {MAX_PLAIN + 1}"):
        read_event(padded(MAX_PLAIN + 1))
    monkeypatch.setattr(messages, "MAX_EVENT", MAX_PLAIN + 10)
    read_event(padded(MAX_PLAIN + 10, "response.create"))
    with pytest.raises(TooMuch, match=f"may have {MAX_PLAIN + 10} bytes"):
        read_event(padded(MAX_PLAIN + 11, "response.create"))


def test_as_many_values_as_may_be_are_read():
    item = {"content": [1] * (MOST_VALUES - 5), "id": LONG}
    assert isinstance(read("conversation.item.create", item=item), messages.ItemCreate)


def test_an_unknown_type_is_named_as_far_as_it_can_be():
    with pytest.raises(BadEvent, match=r"no client event of type 'd{64}'\.") as error:
        read_event(json.dumps({"type": "d" * 65, "event_id": "e"}))
    assert (error.value.param, error.value.event_id) == ("type", "e")


@pytest.mark.parametrize("text", ["{", "", '{"type":"response.create","x":"\\ud83d"}', "\ud83d"])
def test_what_is_no_json_has_a_code_of_its_own(text):
    with pytest.raises(BadEvent, match="This is not an event in JSON") as error:
        read_event(text)
    assert error.value.reason == "invalid_json"


def test_ids_are_echoed_if_they_can_be_sent():
    for event_id, echo in (("x" * 512, True), ("x" * 513, False), (5, False), ("\ud83d", False)):
        assert messages.sendable(event_id) is echo


def test_what_is_kept_is_measured_as_json():
    check_kept({"a": "xxxx"}, "x", 12)
    with pytest.raises(BadEvent, match="'x' may have 11 bytes of JSON") as error:
        check_kept({"a": "xxxx"}, "x", 11)
    assert error.value.param == "x"
    check_kept(5, "x", 1)
    with pytest.raises(BadEvent, match="'x' may have 2 bytes of JSON; it has more") as error:
        check_kept([1], "x", 2)  # as JSON it has 3, though it is known from below to have 2
    with pytest.raises(BadEvent, match="nested deeper than 32") as error:
        messages.check_depth(nested(MAX_DEPTH + 1), "x")
    assert error.value.param == "x"
    messages.check_depth(nested(MAX_DEPTH), "x")


@pytest.mark.parametrize(
    ("data", "size"), [("xyz", 4), (5, 1), ({"ab": "c"}, 5), ([1, [2]], 4), ({}, 1), (["ab"], 4)]
)
def test_a_size_is_known_from_below(data, size):
    assert messages.least_size(data, 1_000) == size
    assert size <= len(json.dumps(data, separators=(",", ":"))) + 2


def test_a_part_that_is_wrong_is_named_within_its_whole():
    assert messages.convert({"event_id": "e"}, messages.Outline, "x").event_id == "e"
    with pytest.raises(BadEvent) as error:
        messages.convert(5, messages.Outline, "response.audio")
    assert (error.value.param, error.value.reason) == ("response.audio", "invalid_type")
    bad = messages.wrong_type("session", "an object")
    assert (str(bad), bad.reason, bad.param) == (
        "'session' must be an object.",
        "invalid_type",
        "session",
    )


def test_text_that_is_too_long_says_how_long_it_is():
    with pytest.raises(BadEvent, match="'x' may have 4 bytes of UTF-8; it has 6") as error:
        check_text("日日", "x", 4)
    assert (error.value.param, error.value.reason) == ("x", "string_above_max_length")
    check_text("日x", "x", 4)
