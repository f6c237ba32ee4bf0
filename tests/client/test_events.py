"""Messages of the server become types, or one named error."""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from client.errors import BadServerMessage
from client.events import (
    TYPES,
    Error,
    Event,
    Final,
    Partial,
    Pong,
    Ready,
    SpeechStopped,
    decode,
    encode,
)

text = st.text(st.characters(exclude_categories=["Cs"]))
whole = st.integers(0, 2**53)
ms = st.dictionaries(text, st.floats(0, 1e9))
BY_ANNOTATION = {"int": whole, "str": text, "bool": st.booleans(), "dict[str, float]": ms}
events = st.sampled_from(sorted(TYPES)).flatmap(
    lambda name: st.builds(
        TYPES[name], **{f.name: BY_ANNOTATION[str(f.type)] for f in fields(TYPES[name])}
    )
)


def on_the_wire(event: Event, **extra: object) -> str:
    name = next(name for name, kind in TYPES.items() if isinstance(event, kind))
    return json.dumps({**extra, "type": name, **asdict(event)})


@given(events, st.booleans())
def test_every_event_survives_the_wire(event, as_bytes):
    message = on_the_wire(event, something_new={"a": [1, None]})
    assert decode(message.encode() if as_bytes else message) == event


def test_the_messages_of_the_document_are_read():
    assert decode('{"type":"ready","session":"s","resume":"r","model":"m","rate":8000}') == Ready(
        "s", "r", "m", 8000
    )
    assert decode('{"type":"speech_stopped","at_ms":1200,"duration_ms":900}') == SpeechStopped(
        1200, 900
    )
    assert decode('{"type":"partial","turn":1,"seq":0,"delta":"Pa"}') == Partial(1, 0, "Pa")
    final = decode(
        '{"type":"final","turn":1,"text":"Paris.","finish":"stop",'
        '"ms":{"first_token":12.5,"total":40,"hangover":500.0}}'
    )
    assert final == Final(1, "Paris.", "stop", {"first_token": 12.5, "total": 40, "hangover": 500})
    assert decode('{"type":"error","code":"c","message":"m"}') == Error("c", "m", fatal=False)
    assert decode('{"type":"pong"}') == Pong()


def test_an_unknown_type_is_none():
    assert decode('{"type":"audio_delta","audio":"AAAA"}') is None


@pytest.mark.parametrize(
    "message",
    [
        "",
        "hello",
        "[]",
        "null",
        "{}",
        '{"type":7}',
        '{"type":"partial","turn":1,"seq":0}',
        '{"type":"partial","turn":"1","seq":0,"delta":"a"}',
        '{"type":"partial","turn":null,"seq":0,"delta":"a"}',
        '{"type":"final","turn":1,"text":"a","finish":"stop","ms":[1]}',
        '{"type":"error","code":"c","message":"m","fatal":"yes"}',
        '{"type":"pong","deep":' + "[" * 100_000,
    ],
)
def test_what_is_not_the_protocol_is_one_named_error(message):
    with pytest.raises(BadServerMessage, match="the server sent"):
        decode(message)


def test_a_long_message_is_quoted_in_part():
    with pytest.raises(BadServerMessage) as caught:
        decode("x" * 100_000)
    assert len(str(caught.value)) < 300


@given(st.one_of(st.binary(max_size=200), st.text(max_size=200)))
def test_no_bytes_raise_anything_else(message):
    try:
        event = decode(message)
    except BadServerMessage:
        return
    assert event is None or isinstance(event, tuple(TYPES.values()))


@given(st.recursive(st.none() | whole | text, lambda x: st.lists(x) | st.dictionaries(text, x)))
def test_no_json_in_a_field_raises_anything_else(value):
    for name in TYPES:
        with contextlib.suppress(BadServerMessage):
            decode(json.dumps({"type": name, "turn": value, "text": value, "ms": value}))


@given(text, whole)
def test_messages_to_the_server_are_json_with_a_type(words, number):
    message = json.loads(encode("played", turn=number, note=words))
    assert message == {"type": "played", "turn": number, "note": words}
