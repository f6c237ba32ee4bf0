"""The plain PCM codec: every message both ways, any bytes, any text, any cut."""

from __future__ import annotations

import contextlib
import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.audio.g711 import decode_alaw, decode_mulaw
from realtime.audio.ingest import AudioFormat
from realtime.errors import BadMessage, ProtocolError, TooMuch, WrongType
from realtime.protocols import Reply
from realtime.protocols.pcm import (
    ENCODINGS,
    MAX_MESSAGE,
    MAX_TEXT,
    RATES,
    BadParameter,
    Parameters,
    PcmCodec,
)
from realtime.session import events


def decode(message: bytes | str | dict) -> list[events.PeerInput | Reply]:
    return list(PcmCodec().decode(json.dumps(message) if isinstance(message, dict) else message))


def sound(codec: PcmCodec, *messages: bytes) -> np.ndarray:
    """Give all samples that these messages decode to."""
    pieces = [event.pcm for message in messages for event in codec.decode(message)]
    return np.concatenate(pieces) if pieces else np.empty(0, np.int16)


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """Cut data at these places."""
    places = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


# ---- what the client says -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "event"),
    [
        ({"type": "text", "text": "Translate."}, events.TextReceived("Translate.")),
        ({"type": "text", "text": ""}, events.TextReceived("")),
        ({"type": "instruction", "text": "Be brief."}, events.InstructionSet("Be brief.")),
        ({"type": "commit"}, events.CommitAsked()),
        ({"type": "respond"}, events.ResponseAsked()),
        ({"type": "cancel"}, events.CancelAsked()),
        ({"type": "clear"}, events.ClearAsked()),
        ({"type": "played", "turn": 3, "chars": 17}, events.Played(3, 17)),
        ({"type": "reset"}, events.ResetAsked()),
        ({"type": "commit", "id": 5, "new": {"field": [1]}}, events.CommitAsked()),
    ],
)
def test_every_message_of_the_client(message, event):
    assert decode(message) == [event]


@pytest.mark.parametrize("message", [{"type": "ping"}, {"type": "ping", "id": 5, "new": [1]}])
def test_a_ping_is_answered_at_once(message):
    assert decode(message) == [Reply(('{"type":"pong"}',))]


def test_a_message_that_is_refused_is_an_error_that_is_not_fatal():
    (told,) = PcmCodec().refuse(BadMessage("Not understood."))
    assert json.loads(told) == {
        "type": "error",
        "code": "bad_message",
        "message": "Not understood.",
        "fatal": False,
    }


@pytest.mark.parametrize(
    "message",
    [
        {},
        {"type": "dance"},
        {"type": 5},
        {"type": None},
        {"text": "no type"},
        {"type": "text"},
        {"type": "text", "text": 5},
        {"type": "text", "text": None},
        {"type": "text", "text": "x" * (MAX_TEXT + 1)},
        {"type": "text", "text": "é" * (MAX_TEXT // 2 + 1)},
        {"type": "instruction", "text": "日" * MAX_TEXT},
        {"type": "played"},
        {"type": "played", "turn": 1},
        {"type": "played", "turn": -1, "chars": 0},
        {"type": "played", "turn": 1, "chars": "5"},
        {"type": "played", "turn": 1, "chars": 2**31},
        {"type": "played", "turn": 1, "chars": 10**100},
        {"type": "played", "turn": 1.5, "chars": 0},
        {"type": "played", "turn": True, "chars": 0},
        '{"type":"text","text":"half an emoji \\ud83d"}',
        '{"type":"played","turn":1,"chars":' + "9" * 5_000 + "}",
        '{"type":"played","turn":1,"chars":1e999}',
        '{"type":"played","turn":1,"chars":NaN}',
    ],
)
def test_an_object_that_is_no_message_is_refused_and_nothing_more(message):
    with pytest.raises(BadMessage):
        decode(message)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "hello",
        "RIFF",
        "\x00",
        "[]",
        "null",
        "5",
        '"ping"',
        '{"type":"ping"',
        "{'type':'ping'}",
        '{"type":"ping"}x',
        "[" * 100_000,
        '{"a":' * 100_000,
    ],
)
def test_text_that_is_no_json_object_is_text_where_audio_is_due(text):
    with pytest.raises(WrongType) as error:
        decode(text)
    assert error.value.close_code == 1003


def test_text_of_the_full_length_is_taken():
    assert decode({"type": "text", "text": "x" * MAX_TEXT}) == [events.TextReceived("x" * MAX_TEXT)]


@pytest.mark.parametrize("message", [bytes(MAX_MESSAGE + 1), " " * (MAX_MESSAGE + 1)])
def test_a_message_over_a_mebibyte_is_too_much(message):
    with pytest.raises(TooMuch) as error:
        decode(message)
    assert error.value.close_code == 1009


@given(st.text() | st.text(alphabet='{}[]":,typetextpingplayed0123456789.eE+-\\u', max_size=60))
def test_any_text_is_understood_or_refused_as_the_peers_fault(text):
    with contextlib.suppress(BadMessage, ProtocolError):
        assert len(decode(text)) == 1


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
types = st.sampled_from(["text", "instruction", "played", "commit", "ping", "reset", "other"])
fields = st.sampled_from(["text", "turn", "chars", "extra"])


@given(types, st.dictionaries(fields, json_values))
def test_any_object_is_understood_or_refused_and_never_ends_the_stream(type, rest):
    with contextlib.suppress(BadMessage):
        (event,) = decode({"type": type, **rest})
        assert not isinstance(event, events.AudioReceived)


# ---- audio --------------------------------------------------------------------------------------


@given(st.binary(max_size=5_000), st.sampled_from(RATES), st.sampled_from(ENCODINGS))
def test_any_bytes_are_audio(data, rate, encoding):
    samples = sound(PcmCodec(rate, encoding), data)
    assert samples.dtype == np.int16


@given(
    st.binary(max_size=6_000),
    st.lists(st.integers(0, 6_000), max_size=12),
    st.sampled_from(RATES),
    st.sampled_from(ENCODINGS),
)
def test_samples_do_not_depend_on_the_cuts(data, at, rate, encoding):
    whole = PcmCodec(rate, encoding)
    pieces = PcmCodec(rate, encoding)
    expected = np.concatenate([sound(whole, data), *whole.ingest.flush()])
    got = np.concatenate([sound(pieces, *cut(data, at)), *pieces.ingest.flush()])
    np.testing.assert_array_equal(got, expected)


def test_the_encodings_are_those_of_their_names():
    data = bytes(range(256))
    np.testing.assert_array_equal(sound(PcmCodec(), data), np.frombuffer(data, "<i2"))
    np.testing.assert_array_equal(sound(PcmCodec(16_000, "mulaw"), data), decode_mulaw(data))
    np.testing.assert_array_equal(sound(PcmCodec(16_000, "alaw"), data), decode_alaw(data))


@pytest.mark.parametrize("rate", RATES)
def test_every_rate_becomes_16_khz(rate):
    codec = PcmCodec(rate)
    tone = (8_000 * np.sin(2 * np.pi * 440 * np.arange(rate) / rate)).astype("<i2")
    samples = np.concatenate([sound(codec, tone.tobytes()), *codec.ingest.flush()])
    assert len(samples) == pytest.approx(16_000, abs=2)
    spectrum = np.abs(np.fft.rfft(samples[:16_000]))
    assert spectrum.argmax() == pytest.approx(440, abs=1)


def test_long_audio_comes_in_pieces_of_at_most_a_second():
    sizes = [event.pcm.size for event in PcmCodec().decode(bytes(3 * 32_000 + 2))]
    assert sizes == [16_000, 16_000, 16_000, 1]


def test_empty_audio_is_nothing():
    assert decode(b"") == []


@pytest.mark.parametrize("type", ["commit", "respond"])
def test_what_the_resampler_holds_comes_before_the_end_of_the_utterance(type):
    codec = PcmCodec(48_000)
    before = sound(codec, bytes(96_000)).size
    rest, asked = codec.decode(json.dumps({"type": type}))
    assert before + rest.pcm.size == 16_000
    assert asked in (events.CommitAsked(), events.ResponseAsked())
    assert sound(codec, bytes(96_000)).size == before


# ---- what the server says -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("notice", "message"),
    [
        (
            events.Ready("s1", "secret", "demo"),
            {"type": "ready", "session": "s1", "resume": "secret", "model": "demo", "rate": 8000},
        ),
        (events.SpeechStarted(16_000), {"type": "speech_started", "at_ms": 1000}),
        (
            events.SpeechStopped(32_007, 16_015),
            {"type": "speech_stopped", "at_ms": 2000, "duration_ms": 1000},
        ),
        (events.Partial(2, 0, "日"), {"type": "partial", "turn": 2, "seq": 0, "delta": "日"}),
        (events.Cancelled(2, "It is"), {"type": "cancelled", "turn": 2, "text": "It is"}),
        (
            events.Final(2, "It is.", "stop", None, (("first_token", 12.3456), ("total", 99.96))),
            {
                "type": "final",
                "turn": 2,
                "text": "It is.",
                "finish": "stop",
                "ms": {"first_token": 12.3, "total": 100.0},
            },
        ),
        (
            events.Trouble("busy", "Later.", fatal=True),
            {"type": "error", "code": "busy", "message": "Later.", "fatal": True},
        ),
    ],
)
def test_every_message_of_the_server(notice, message):
    assert [json.loads(word) for word in PcmCodec(8_000).encode(notice)] == [message]


def test_an_answer_that_failed_says_why_before_its_end():
    failure = events.Trouble("engine_error", "It broke.")
    final = events.Final(1, "Hel", "interrupted", failure=failure)
    words = [json.loads(word) for word in PcmCodec().encode(final)]
    assert [word["type"] for word in words] == ["error", "final"]
    assert words[0] == {
        "type": "error",
        "code": "engine_error",
        "message": "It broke.",
        "fatal": False,
    }


@pytest.mark.parametrize(
    "notice",
    [
        events.Cleared(),
        events.ItemGone("item_1"),
        events.Partial(0, 0, "By the way.", "c~a1"),
        events.Final(0, "By the way.", "stop", response="c~a1"),
    ],
)
def test_of_items_and_answers_aside_nothing_is_said(notice):
    assert list(PcmCodec().encode(notice)) == []


@given(st.text())
def test_any_text_survives_the_wire(text):
    (word,) = PcmCodec().encode(events.Partial(1, 0, text))
    assert json.loads(word)["delta"] == text


# ---- the address --------------------------------------------------------------------------------


def test_an_address_without_parameters_is_speech_at_16_khz():
    assert Parameters.parse({}) == Parameters(16_000, "s16le", "vad", None)


def test_every_parameter_is_read():
    query = {
        "rate": "8000",
        "encoding": "mulaw",
        "turn_detection": "manual",
        "conversation": "secret",
        "turn": "7",
    }
    assert Parameters.parse(query) == Parameters(8_000, "mulaw", "manual", "secret", 7)


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"rate": "16001"}, ["rate", "8000, 16000, 24000, 44100, 48000", "'16001'"]),
        ({"rate": ""}, ["rate"]),
        ({"rate": "-1"}, ["rate"]),
        ({"rate": "１６０００"}, ["rate"]),
        ({"encoding": "opus"}, ["encoding", "s16le, mulaw, alaw", "'opus'"]),
        ({"turn_detection": "maybe"}, ["turn_detection", "vad, manual"]),
        ({"turn": "-1"}, ["turn", "a number"]),
        ({"turn": ""}, ["turn"]),
        ({"turn": "７"}, ["turn"]),
        ({"turn": "9" * 10}, ["turn"]),
        ({"sample_rate": "8000"}, ["'sample_rate'", "rate, encoding"]),
        ({"rate": "9" * 1000}, ["rate"]),
    ],
)
def test_a_wrong_parameter_is_named_with_what_is_allowed(query, words):
    with pytest.raises(BadParameter) as error:
        Parameters.parse(query)
    assert error.value.close_code == 1008
    assert error.value.code == "bad_parameter"
    assert all(word in str(error.value) for word in words)
    assert len(str(error.value)) < 200


def test_the_bounds_are_those_of_the_documentation():
    assert (MAX_MESSAGE, MAX_TEXT) == (1024 * 1024, 16 * 1024)
    assert RATES == (8_000, 16_000, 24_000, 44_100, 48_000)
    assert ENCODINGS == ("s16le", "mulaw", "alaw")


def test_a_message_of_a_mebibyte_is_taken():
    assert sum(event.pcm.size for event in decode(bytes(MAX_MESSAGE))) == MAX_MESSAGE // 2
    commit = '{"type":"commit"}'
    assert decode(commit + " " * (MAX_MESSAGE - len(commit))) == [events.CommitAsked()]


def test_a_message_that_is_too_long_says_how_long_it_is():
    for message in (bytes(MAX_MESSAGE + 1), " " * (MAX_MESSAGE + 1)):
        with pytest.raises(TooMuch, match="may have 1048576 bytes; this one has 1048577"):
            decode(message)


@pytest.mark.parametrize("field", ["turn", "chars"])
def test_counts_go_from_nothing_to_the_largest_of_32_bits(field):
    for value in (0, 2**31 - 1):
        (played,) = decode({"type": "played", "turn": 1, "chars": 1, field: value})
        assert getattr(played, field) == value
    for value in (-1, 2**31):
        with pytest.raises(BadMessage, match=field):
            decode({"type": "played", "turn": 1, "chars": 1, field: value})


@pytest.mark.parametrize("type", ["text", "instruction"])
def test_text_is_counted_in_characters_and_in_bytes(type):
    decode({"type": type, "text": "é" * (MAX_TEXT // 2)})
    for text in ("x" * (MAX_TEXT + 1), "é" * (MAX_TEXT // 2 + 1)):
        with pytest.raises(BadMessage):
            decode({"type": type, "text": text})


@pytest.mark.parametrize("fill", [0, 200 << 10])
def test_a_whole_object_is_a_message_that_is_not_understood_however_long_it_is(fill):
    with pytest.raises(BadMessage, match="not understood"):
        decode(json.dumps({"type": "dance", "x": "y" * fill}))
    with pytest.raises(WrongType, match="JSON object with a `type`"):
        decode(json.dumps(["dance", "y" * fill]))


@pytest.mark.parametrize(
    ("size", "refusal"), [(128 << 10, BadMessage), ((128 << 10) + 1, WrongType)]
)
def test_a_long_object_with_half_a_character_in_a_name_is_none(size, refusal):
    odd = '{"type":"dance","\\ud83d":1}'
    with pytest.raises(refusal):
        decode(odd + " " * (size - len(odd)))


def test_half_a_character_is_no_utf_8():
    with pytest.raises(WrongType, match="not UTF-8"):
        decode('{"type":"text","text":"\ud83d"}')


@pytest.mark.parametrize(("value", "turn"), [("0", 0), ("999999999", 999_999_999)])
def test_a_turn_is_a_number_of_up_to_nine_digits(value, turn):
    assert Parameters.parse({"turn": value}).turn == turn


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_every_rate_and_encoding_can_be_asked_for(rate, encoding):
    found = Parameters.parse({"rate": str(rate), "encoding": encoding, "conversation": ""})
    assert found == Parameters(rate, encoding)
    assert PcmCodec(rate, encoding).ingest.format == AudioFormat(encoding, rate)
