"""The codec of OpenAI Realtime: every client event, and the exact order of server events."""

from __future__ import annotations

import base64
import json
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from protocols.openai.wire import APPLIED, EXPIRES, Wire, kinds, spoken, started

from realtime.engine.api import Clip, Usage
from realtime.errors import BadMessage, TooMuch
from realtime.protocols.openai.codec import Truncation
from realtime.protocols.openai.errors import BadEvent
from realtime.protocols.openai.messages import MAX_AUDIO, MAX_EVENT
from realtime.session import events
from realtime.session.items import Answer, OtherItem, SystemItem, UserItem

READY = events.Ready("s", "secret", "qwen2-audio")
USAGE = Usage(prompt_tokens=20, cached_tokens=4, completion_tokens=10)
ANSWER = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
]
TAIL = [
    "response.output_text.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def append(data: bytes) -> dict:
    return {"type": "input_audio_buffer.append", "audio": b64(data)}


def final(finish="stop", **more) -> events.Final:
    return events.Final(1, "ignored", finish, response=more.pop("response", "c:1"), **more)


# ---- the greeting -------------------------------------------------------------------------------


def test_a_session_is_created_with_all_that_clients_read():
    (created,) = Wire().tell(READY)
    assert created["type"] == "session.created"
    assert created["session"] == {
        "type": "realtime",
        "object": "realtime.session",
        "id": "sess_s",
        "model": "qwen2-audio",
        "expires_at": EXPIRES,
        "resume": "secret",
        "output_modalities": ["text"],
        "instructions": "",
        "tools": [],
        "tool_choice": "auto",
        "max_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "include": None,
        "audio": {
            "input": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "transcription": None,
                "noise_reduction": None,
                "turn_detection": {
                    "type": "server_vad",
                    "threshold": 0.5,
                    "prefix_padding_ms": 300,
                    "silence_duration_ms": 500,
                    "idle_timeout_ms": None,
                    "create_response": True,
                    "interrupt_response": True,
                },
            },
            "output": {
                "format": {"type": "audio/pcm", "rate": 24_000},
                "voice": "marin",
                "speed": 1.0,
            },
        },
    }


def test_an_initial_session_shows_in_session_created_and_is_not_told_again():
    wire = Wire()
    (configured,) = wire.codec.configure({"type": "realtime", "instructions": "Be brief."})
    assert configured == events.Configured(events.TurnSettings(instructions="Be brief."))
    assert wire.tell(APPLIED) == []
    (created,) = wire.tell(READY)
    assert created["session"]["instructions"] == "Be brief."


def test_a_wrong_initial_session_is_refused():
    with pytest.raises(BadEvent) as error:
        Wire().codec.configure({"instructions": 5})
    assert error.value.param == "session.instructions"


# ---- what the client says -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("message", "inputs"),
    [
        ({"type": "input_audio_buffer.commit"}, [events.CommitAsked(respond=False)]),
        ({"type": "input_audio_buffer.clear"}, [events.ClearAsked()]),
        ({"type": "conversation.item.retrieve", "item_id": "i"}, [events.ItemAsked("i")]),
        ({"type": "conversation.item.delete", "item_id": "i"}, [events.ItemDropped("i")]),
        ({"type": "response.cancel"}, [events.CancelAsked()]),
        ({"type": "response.cancel", "response_id": None}, [events.CancelAsked()]),
        ({"type": "response.cancel", "response_id": "resp_c:7"}, [events.CancelAsked("c:7")]),
        ({"type": "output_audio_buffer.clear"}, []),
        ({"type": "output_audio_buffer.clear", "event_id": None, "new": [{}]}, []),
        (
            {
                "type": "conversation.item.truncate",
                "item_id": "i",
                "content_index": 0,
                "audio_end_ms": 1500,
            },
            [Truncation("i", None, 1500)],
        ),
        (
            {
                "type": "conversation.item.truncate",
                "item_id": "i",
                "content_index": 0,
                "audio_end_ms": 0,
                "text_chars": 12,
            },
            [Truncation("i", 12, 0)],
        ),
    ],
)
def test_every_plain_client_event(message, inputs):
    wire = Wire()
    assert wire.send(message) == []
    assert wire.inputs == inputs


@pytest.mark.parametrize(("place", "after"), [(None, None), ("root", "root"), ("i1", "i1")])
def test_an_item_is_put_where_it_belongs(place, after):
    wire = Wire()
    item = {"type": "message", "role": "system", "content": [{"type": "input_text", "text": "x"}]}
    wire.send({"type": "conversation.item.create", "item": item, "previous_item_id": place})
    (put,) = wire.inputs
    assert put.after == after


@pytest.mark.parametrize("response", [{}, {"response": None}, {"response": {}}])
def test_a_response_with_nothing_to_say_about_it(response):
    wire = Wire()
    wire.send({"type": "response.create", **response})
    (asked,) = wire.inputs
    assert (asked.options.input, asked.options.sampling, asked.options.out_of_band) == (
        None,
        None,
        False,
    )


BAD = [
    ({"type": "input_audio_buffer.append"}, "audio", "missing_required_parameter"),
    ({"type": "input_audio_buffer.append", "audio": None}, "audio", "invalid_type"),
    ({"type": "input_audio_buffer.append", "audio": 5}, "audio", "invalid_type"),
    ({"type": "input_audio_buffer.append", "audio": "a"}, "audio", "invalid_value"),
    ({"type": "input_audio_buffer.append", "audio": "AAA"}, "audio", "invalid_value"),
    ({"type": "input_audio_buffer.append", "audio": "AA A="}, "audio", "invalid_value"),
    ({"type": "input_audio_buffer.append", "audio": "_-8="}, "audio", "invalid_value"),
    ({"type": "input_audio_buffer.append", "audio": "é==="}, "audio", "invalid_value"),
    ({"type": "session.update"}, "session", "missing_required_parameter"),
    ({"type": "session.update", "session": None}, "session", "invalid_type"),
    ({"type": "session.update", "session": []}, "session", "invalid_type"),
    ({"type": "conversation.item.create"}, "item", "missing_required_parameter"),
    ({"type": "conversation.item.create", "item": "x"}, "item", "invalid_type"),
    (
        {"type": "conversation.item.create", "item": {}, "previous_item_id": 5},
        "previous_item_id",
        "invalid_type",
    ),
    (
        {"type": "conversation.item.create", "item": {}, "previous_item_id": "x" * 65},
        "previous_item_id",
        "string_above_max_length",
    ),
    ({"type": "conversation.item.retrieve"}, "item_id", "missing_required_parameter"),
    ({"type": "conversation.item.retrieve", "item_id": None}, "item_id", "invalid_type"),
    ({"type": "conversation.item.delete"}, "item_id", "missing_required_parameter"),
    ({"type": "conversation.item.delete", "item_id": {}}, "item_id", "invalid_type"),
    (
        {"type": "conversation.item.truncate", "content_index": 0, "audio_end_ms": 0},
        "item_id",
        "missing_required_parameter",
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "i", "audio_end_ms": 0},
        "content_index",
        "missing_required_parameter",
    ),
    (
        {"type": "conversation.item.truncate", "item_id": "i", "content_index": 0},
        "audio_end_ms",
        "missing_required_parameter",
    ),
    (
        {
            "type": "conversation.item.truncate",
            "item_id": "i",
            "content_index": 1,
            "audio_end_ms": 0,
        },
        "content_index",
        "invalid_value",
    ),
    (
        {
            "type": "conversation.item.truncate",
            "item_id": "i",
            "content_index": 0,
            "audio_end_ms": -1,
        },
        "audio_end_ms",
        "invalid_value",
    ),
    ({"type": "response.create", "response": 5}, "response", "invalid_type"),
    ({"type": "response.cancel", "response_id": 5}, "response_id", "invalid_type"),
    ({"type": "response.cancel", "event_id": 5}, "event_id", "invalid_type"),
    ({"type": "response.cancel", "event_id": "x" * 513}, "event_id", "string_above_max_length"),
    ({"type": "dance"}, "type", "invalid_value"),
    ({"type": 5}, "type", "invalid_type"),
    ({"type": None}, "type", "invalid_type"),
    ({}, "type", "missing_required_parameter"),
    ({"type": "transcription_session.update", "session": {}}, "type", "invalid_value"),
]


@pytest.mark.parametrize(("message", "param", "code"), BAD)
def test_a_bad_event_is_an_error_that_names_the_field_and_the_event(message, param, code):
    wire = Wire()
    error = wire.refused({"event_id": "mine", **message})
    assert (error["type"], error["param"]) == ("invalid_request_error", param)
    assert error["code"] == code
    assert error["event_id"] == (None if param == "event_id" else "mine")
    assert len(error["message"]) > 10
    # And the session goes on.
    wire.send({"type": "response.cancel"})
    assert wire.inputs == [events.CancelAsked()]


@pytest.mark.parametrize(
    ("text", "event_id"),
    [
        ("", None),
        ("hello", None),
        ("[]", None),
        ("null", None),
        ('"response.cancel"', None),
        ('{"type":"response.cancel"', None),
        ('{"type":"response.cancel"}x', None),
        ("[" * 100_000, None),
        ('{"a":' * 100_000, None),
        ('{"type":"response.cancel","event_id":"e","x":"\\ud83d"}', "e"),
        ('{"type":"response.cancel","event_id":"\\ud83d"}', None),
        ('{"type":"response.cancel","event_id":"\ud83d"}', None),
        ('{"type":"response.create","event_id":"e","response":{"x":1e999}}', "e"),
        ('{"type":"response.create","event_id":"e","response":{"x":%s}}' % ("9" * 5_000), "e"),
        ('{"type":"response.create","event_id":"e","response":{"x":NaN}}', "e"),
    ],
)
def test_what_is_no_event_is_an_error_and_the_socket_stays_open(text, event_id):
    error = Wire().refused(text)
    assert (error["type"], error["event_id"]) == ("invalid_request_error", event_id)


def test_a_binary_message_is_an_error():
    error = Wire().refused(b"\x00\x00")
    assert "input_audio_buffer.append" in error["message"]


@pytest.mark.parametrize("character", [" ", "é"])
def test_an_event_over_the_limit_is_too_much(character):
    size = MAX_EVENT // len(character.encode())
    with pytest.raises(TooMuch) as error:
        list(Wire().codec.decode(character * (size + 1)))
    assert error.value.close_code == 1009


def test_an_append_of_15_mib_is_taken_and_more_is_refused():
    wire = Wire()
    wire.send(append(bytes(MAX_AUDIO)))
    assert len(wire.inputs) == -(-MAX_AUDIO // 48_000)
    error = Wire().refused(append(bytes(MAX_AUDIO + 3)))
    assert error["param"] == "audio"


def test_a_refusal_is_not_confused_with_other_trouble_of_the_same_words():
    wire = Wire()
    words = wire.refused({"type": "dance", "event_id": "mine"})["message"]
    (told,) = wire.tell(events.Trouble("bad_message", words))
    assert told["error"]["event_id"] is None


def test_what_the_protocol_itself_does_not_refuse_is_told_in_its_words_too():
    wire = Wire()
    (told,) = wire.read(wire.codec.refuse(BadMessage("The data channel takes text.")))
    assert told["error"] == {
        "type": "invalid_request_error",
        "code": "bad_message",
        "message": "The data channel takes text.",
        "param": None,
        "event_id": None,
    }


# ---- audio --------------------------------------------------------------------------------------


def heard(wire: Wire, *messages) -> np.ndarray:
    """Give all samples that these messages decode to."""
    pieces = []
    for message in messages:
        wire.send(message)
        pieces += [given.pcm for given in wire.inputs if isinstance(given, events.AudioReceived)]
    return np.concatenate([np.empty(0, np.int16), *pieces])


FORMATS = [
    {"type": "audio/pcm", "rate": 24_000},
    {"type": "audio/pcm", "rate": 16_000},
    {"type": "audio/pcm", "rate": 8_000},
    {"type": "audio/pcmu"},
    {"type": "audio/pcma"},
]


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.binary(min_size=1, max_size=9_000), cuts=st.lists(st.integers(0, 9_000)))
def test_what_audio_decodes_to_does_not_depend_on_the_cuts(format, data, cuts):
    places = [0, *sorted(place % (len(data) + 1) for place in cuts), len(data)]
    pieces = [append(data[a:b]) for a, b in pairwise(places)]
    sounds = []
    for messages in ([append(data)], pieces):
        wire = Wire(check=False)
        wire.update({"audio": {"input": {"format": format}}})
        sounds.append(heard(wire, *messages, {"type": "input_audio_buffer.commit"}))
    np.testing.assert_array_equal(*sounds)


def test_the_odd_byte_waits_for_its_other_half():
    wire = Wire(check=False)
    wire.update({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}})
    samples = np.arange(100, dtype="<i2").tobytes()
    sound = heard(wire, append(samples[:33]), append(samples[33:34]), append(samples[34:]))
    np.testing.assert_array_equal(sound, np.arange(100))


@pytest.mark.parametrize("ending", ["commit", "clear"])
def test_half_a_sample_is_forgotten_at_the_end_of_an_utterance(ending):
    wire = Wire(check=False)
    wire.update({"audio": {"input": {"format": {"type": "audio/pcm", "rate": 16_000}}}})
    samples = np.arange(100, dtype="<i2").tobytes()
    heard(wire, append(samples[:33]), {"type": f"input_audio_buffer.{ending}"})
    np.testing.assert_array_equal(heard(wire, append(samples)), np.arange(100))


def test_long_audio_comes_in_pieces_of_at_most_a_second():
    wire = Wire()
    wire.send(append(bytes(24_000 * 2 * 7 + 500)))
    assert len(wire.inputs) == 8
    assert max(given.pcm.size for given in wire.inputs) <= 16_000


def test_what_the_resampler_holds_belongs_to_the_utterance_that_is_committed():
    wire = Wire()
    total = heard(wire, append(bytes(48_000)), {"type": "input_audio_buffer.commit"})
    assert total.size == pytest.approx(16_000, abs=2)
    assert wire.inputs[-1] == events.CommitAsked(respond=False)


def test_binary_audio_of_a_call_is_16_khz_whatever_the_session_says():
    wire = Wire(binary=True)
    samples = np.arange(33_000).astype("<i2").tobytes()
    sound = heard(wire, samples[:33], samples[33:])
    np.testing.assert_array_equal(sound, np.arange(33_000).astype(np.int16))
    assert max(given.pcm.size for given in wire.inputs) <= 16_000


# ---- the format changes -------------------------------------------------------------------------

TO_ULAW = {"audio": {"input": {"format": {"type": "audio/pcmu"}}}}
PUSH_TO_TALK = {"audio": {"input": {"turn_detection": None}}}


def refuses_format(wire: Wire) -> bool:
    (told,) = wire.send({"type": "session.update", "event_id": "u", "session": TO_ULAW}, APPLIED)
    if told["type"] == "error":
        assert told["error"]["param"] == "session.audio.input.format"
        assert told["error"]["event_id"] == "u"
        assert wire.inputs == []
        return True
    assert told["session"]["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    return False


def test_the_format_cannot_change_while_somebody_speaks():
    wire = Wire()
    wire.send(append(bytes(4_000)), events.SpeechStarted(0, "item_U"))
    assert refuses_format(wire)
    wire.send(append(bytes(4_000)), events.SpeechStopped(9_000, 9_000, "item_U"))
    assert refuses_format(wire)
    wire.tell(events.Committed(spoken(), None))
    assert not refuses_format(wire)


@pytest.mark.parametrize(
    "end", [events.Cleared(), events.Committed(spoken(), None), "too short for an item"]
)
def test_the_format_may_change_once_the_input_buffer_is_empty(end):
    wire = Wire()
    wire.tell(events.SpeechStarted(0, "item_U"))
    wire.tell(events.Trouble("audio_too_short", end) if isinstance(end, str) else end)
    assert not refuses_format(wire)


def test_the_format_cannot_change_while_audio_is_pushed_to_talk():
    wire = Wire()
    wire.update(PUSH_TO_TALK)
    wire.send(append(b""))
    wire.send(append(bytes(4_000)))
    assert refuses_format(wire)
    wire.send({"type": "input_audio_buffer.clear"}, events.Cleared())
    assert not refuses_format(wire)


def test_audio_without_speech_does_not_keep_the_format():
    wire = Wire()
    wire.send(append(bytes(4_000)))
    assert not refuses_format(wire)


# ---- the order of server events -----------------------------------------------------------------


def test_a_spoken_turn():
    wire = Wire()
    wire.tell(READY)
    told = wire.tell(
        events.SpeechStarted(4_800, "item_U", start=1_600),
        events.SpeechStopped(32_000, 30_400, "item_U"),
        events.Committed(spoken(), "item_P"),
        started(),
        events.Partial(1, 0, "It is ", "c:1"),
        events.Partial(1, 1, "noon.", "c:1"),
        final(usage=USAGE),
        events.LimitsLeft((events.Limit("requests", 60, 59, 1.5),)),
    )
    assert kinds(told) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        *ANSWER,
        "response.output_text.delta",
        "response.output_text.delta",
        *TAIL,
        "rate_limits.updated",
    ]
    assert (told[0]["audio_start_ms"], told[0]["item_id"]) == (100, "item_U")
    assert (told[1]["audio_end_ms"], told[1]["item_id"]) == (2_000, "item_U")
    assert (told[2]["item_id"], told[2]["previous_item_id"]) == ("item_U", "item_P")
    assert told[3]["item"]["content"] == [{"type": "input_audio", "transcript": None}]
    assert told[3]["item"]["status"] == "completed"
    created, item_added, conversation_added, part_added = told[5:9]
    assert created["response"]["status"] == "in_progress"
    assert (created["response"]["output"], created["response"]["usage"]) == ([], None)
    assert created["response"]["id"] == "resp_c:1"
    assert created["response"]["conversation_id"] == "conv_s"
    assert item_added["item"]["content"] == []
    assert conversation_added["item"] == item_added["item"]
    assert conversation_added["previous_item_id"] == "item_U"
    assert part_added["part"] == {"type": "text", "text": ""}
    place = {
        "response_id": "resp_c:1",
        "item_id": "item_A",
        "output_index": 0,
        "content_index": 0,
    }
    for event in (part_added, *told[9:13]):
        assert event.items() >= place.items()
    assert [event["delta"] for event in told[9:11]] == ["It is ", "noon."]
    assert told[11]["text"] == "It is noon."
    assert told[12]["part"] == {"type": "text", "text": "It is noon."}
    item = told[13]["item"]
    assert item == {
        "id": "item_A",
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "It is noon."}],
    }
    assert told[14]["item"] == item
    done = told[15]["response"]
    assert (done["status"], done["status_details"]) == ("completed", None)
    assert done["output"] == [item]
    assert done["usage"]["total_tokens"] == 30
    assert told[16]["rate_limits"] == [
        {"name": "requests", "limit": 60, "remaining": 59, "reset_seconds": 1.5}
    ]


def tail(finish: events.Final, said: tuple[str, ...] = ("It ",)) -> list[dict]:
    wire = Wire()
    wire.tell(started(), *(events.Partial(1, n, text, "c:1") for n, text in enumerate(said)))
    told = wire.tell(finish)
    assert kinds(told) == TAIL
    return told


@pytest.mark.parametrize(
    ("end", "status", "details"),
    [
        (final("stop"), "completed", None),
        (
            final("length"),
            "incomplete",
            {"type": "incomplete", "reason": "max_output_tokens"},
        ),
        (
            final("interrupted", reason="speech"),
            "cancelled",
            {"type": "cancelled", "reason": "turn_detected"},
        ),
        (
            final("interrupted", reason="asked"),
            "cancelled",
            {"type": "cancelled", "reason": "client_cancelled"},
        ),
        (
            final("interrupted", failure=events.Trouble("busy", "Later.")),
            "failed",
            {
                "type": "failed",
                "error": {"type": "server_error", "code": "busy", "message": "Later."},
            },
        ),
    ],
)
@pytest.mark.parametrize("said", [(), ("It ", "is")])
def test_every_end_of_a_response_has_its_whole_tail(end, status, details, said):
    told = tail(end, said)
    text = "".join(said)
    assert told[0]["text"] == text
    assert told[1]["part"] == {"type": "text", "text": text}
    whole = "completed" if status == "completed" else "incomplete"
    assert told[2]["item"]["status"] == told[3]["item"]["status"] == whole
    assert told[2]["item"]["content"] == [{"type": "output_text", "text": text}]
    response = told[4]["response"]
    assert (response["status"], response["status_details"]) == (status, details)
    assert response["output"] == [told[3]["item"]]


def test_barge_in_tells_of_speech_and_then_the_cancel_tail():
    wire = Wire()
    wire.tell(started(), events.Partial(1, 0, "It ", "c:1"))
    told = wire.tell(events.SpeechStarted(0, "item_V"), final("interrupted", reason="speech"))
    assert kinds(told) == ["input_audio_buffer.speech_started", *TAIL]


def test_nothing_of_a_response_comes_after_its_end():
    wire = Wire()
    wire.tell(started(), final())
    late = (events.Partial(1, 1, "late", "c:1"), final(), events.Cancelled(1, ""))
    assert wire.tell(*late) == []
    assert wire.tell(events.Partial(1, 0, "x", "never"), final(response="never")) == []


def test_push_to_talk():
    wire = Wire()
    updated = wire.update(PUSH_TO_TALK)
    assert updated["audio"]["input"]["turn_detection"] is None
    assert wire.inputs == [events.Configured(events.TurnSettings(automatic=False, respond=False))]
    assert wire.send(append(bytes(9_600)), events.SpeechStarted(0, "item_U")) == []
    told = wire.send(
        {"type": "input_audio_buffer.commit"},
        events.SpeechStopped(3_200, 3_200, "item_U"),
        events.Committed(spoken(), None),
    )
    assert kinds(told) == [
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
    ]
    told = wire.send({"type": "response.create"}, started(), final())
    assert kinds(told) == [*ANSWER, *TAIL]


def test_who_clears_in_the_middle_of_speech_is_not_told_of_its_end():
    wire = Wire()
    wire.tell(events.SpeechStarted(0, "item_U"))
    stopped = events.SpeechStopped(3_200, 3_200, "item_U")
    told = wire.send({"type": "input_audio_buffer.clear"}, stopped, events.Cleared())
    assert kinds(told) == ["input_audio_buffer.cleared"]


def test_a_commit_in_the_middle_of_speech_is_not_told_as_its_end():
    wire = Wire()
    wire.tell(events.SpeechStarted(0, "item_U"))
    told = wire.send(
        {"type": "input_audio_buffer.commit"},
        events.SpeechStopped(3_200, 3_200, "item_U"),
        events.Committed(spoken(), None),
    )
    assert kinds(told)[0] == "input_audio_buffer.committed"


def test_a_typed_turn():
    wire = Wire()
    item = {
        "id": "mine",
        "type": "message",
        "role": "user",
        "content": [{"type": "input_text", "text": "Hi"}],
    }
    told = wire.send(
        {"type": "conversation.item.create", "item": item},
        events.ItemPlaced(UserItem("mine", ("Hi",)), None),
    )
    assert kinds(told) == ["conversation.item.added", "conversation.item.done"]
    assert told[0]["item"] == {**item, "object": "realtime.item", "status": "completed"}
    assert told[0]["previous_item_id"] is None


def test_out_of_band_beside_another_response():
    wire = Wire()
    wire.tell(started(), events.Partial(1, 0, "It ", "c:1"))
    response = {"conversation": "none", "metadata": {"topic": "x"}, "input": []}
    wire.send({"type": "response.create", "response": response})
    (asked,) = wire.inputs
    assert (asked.options.out_of_band, asked.options.input) == (True, ())
    told = wire.tell(
        started("c:2", "item_B", None, asked.options),
        events.Partial(0, 0, "Aside.", "c:2"),
        events.Partial(1, 1, "is", "c:1"),
        final(response="c:2"),
        final(),
    )
    out_of_band = [
        kind for kind in (*ANSWER, "response.output_text.delta", *TAIL) if "conv" not in kind
    ]
    other = ["response.output_text.delta", *TAIL]
    assert kinds(told) == [*out_of_band[:4], other[0], *out_of_band[4:], *other[1:]]
    created, done = told[0]["response"], told[8]["response"]
    assert created["conversation_id"] is done["conversation_id"] is None
    assert created["metadata"] == done["metadata"] == {"topic": "x"}
    assert done["output"][0]["content"][0]["text"] == "Aside."


def test_a_response_of_its_own_shows_what_was_asked_of_it():
    wire = Wire()
    response = {
        "metadata": {"client_event_id": "e1"},
        "max_output_tokens": 7,
        "output_modalities": ["audio"],
        "audio": {"output": {"voice": "cedar", "format": {"type": "audio/pcma"}}},
    }
    wire.send({"type": "response.create", "response": response})
    (asked,) = wire.inputs
    told = wire.tell(started(options=asked.options), final())
    for event in (told[0], told[-1]):
        shown = event["response"]
        assert shown["metadata"] == {"client_event_id": "e1"}
        assert shown["max_output_tokens"] == 7
        assert shown["output_modalities"] == ["text"]
        assert shown["audio"] == {"output": {"voice": "cedar", "format": {"type": "audio/pcma"}}}


def test_silence_is_told_with_its_span():
    wire = Wire()
    told = wire.tell(
        events.SilenceNoticed(16_000, 112_000, "item_U"), events.Committed(spoken(), "item_A")
    )
    assert kinds(told)[:2] == [
        "input_audio_buffer.timeout_triggered",
        "input_audio_buffer.committed",
    ]
    assert (told[0]["audio_start_ms"], told[0]["audio_end_ms"]) == (1_000, 7_000)
    assert told[0]["item_id"] == "item_U"


def test_clearing():
    told = Wire().send({"type": "input_audio_buffer.clear"}, events.Cleared())
    assert kinds(told) == ["input_audio_buffer.cleared"]


def test_clearing_the_output_names_the_last_response_and_is_never_an_error():
    wire = Wire()
    clear = {"type": "output_audio_buffer.clear"}
    assert wire.send(clear) == []
    wire.tell(started(), final())
    (told,) = wire.send(clear)
    assert (told["type"], told["response_id"]) == ("output_audio_buffer.cleared", "resp_c:1")
    assert wire.inputs == []


# ---- items --------------------------------------------------------------------------------------


def test_a_retrieved_item_has_its_audio_in_the_format_of_the_session():
    wire = Wire()
    wire.update(TO_ULAW)
    item = spoken("item_U", 1.0, "What is this?")
    ask = {"type": "conversation.item.retrieve", "item_id": "item_U"}
    (told,) = wire.send(ask, events.ItemShown(item))
    assert told["type"] == "conversation.item.retrieved"
    sound, text = told["item"]["content"]
    assert (sound["type"], sound["transcript"]) == ("input_audio", None)
    assert len(base64.b64decode(sound["audio"])) == 8_000
    assert text == {"type": "input_text", "text": "What is this?"}


def test_a_retrieved_answer_tells_how_far_it_is():
    wire = Wire()
    answer = Answer("item_A", 1, [((5,), "It ")])

    def status() -> str:
        return wire.tell(events.ItemShown(answer))[0]["item"]["status"]

    wire.tell(started())
    assert status() == "in_progress"
    wire.tell(final("interrupted", reason="asked"))
    assert status() == "incomplete"
    wire.tell(events.ItemGone("item_A"), started("c:2"), final(response="c:2"))
    assert status() == "completed"


def test_an_answer_that_is_deleted_while_it_is_made_is_not_told_as_an_item_any_more():
    wire = Wire()
    wire.tell(started(), events.ItemGone("item_A"))
    told = wire.tell(events.Partial(1, 0, "Hi", "c:1"), final("interrupted", reason="asked"))
    assert "conversation.item.done" not in kinds(told)
    assert kinds(told)[-1] == "response.done"
    assert wire.codec.incomplete == set()


def test_an_answer_that_was_deleted_stays_so_when_others_are():
    wire = Wire()
    wire.tell(started(), events.ItemGone("item_A"), events.ItemGone("item_U"))
    assert "conversation.item.done" not in kinds(wire.tell(final()))
    wire.tell(started(), events.ItemGone("item_U"))
    assert "conversation.item.done" in kinds(wire.tell(final()))


def test_only_an_answer_that_is_being_made_is_in_progress():
    wire = Wire()
    wire.tell(started(), started("c:2", "item_B"))

    def status(item) -> str:
        return wire.tell(events.ItemShown(item))[0]["item"]["status"]

    assert status(spoken()) == "completed"
    assert status(Answer("item_A", 1)) == "in_progress"
    assert status(Answer("item_B", 2)) == "in_progress"


def test_an_answer_out_of_band_that_is_stopped_leaves_no_item_incomplete():
    wire = Wire()
    wire.tell(started(options=events.ResponseOptions(out_of_band=True)))
    wire.tell(final("interrupted", reason="asked"))
    assert wire.codec.incomplete == set()


def test_a_cut_that_says_nothing_of_audio_is_told_at_its_beginning():
    (told,) = Wire().tell(events.ItemTruncated(events.ItemCut("i", 3)))
    assert (told["item_id"], told["content_index"], told["audio_end_ms"]) == ("i", 0, 0)


def test_deleting_and_truncating():
    wire = Wire()
    (told,) = wire.send({"type": "conversation.item.delete", "item_id": "i"}, events.ItemGone("i"))
    assert (told["type"], told["item_id"]) == ("conversation.item.deleted", "i")
    place = {"item_id": "i", "content_index": 0, "audio_end_ms": 1_500}
    wire.send({"type": "conversation.item.truncate", **place})
    (cut,) = wire.inputs
    (told,) = wire.tell(events.ItemTruncated(cut))
    assert told["type"] == "conversation.item.truncated"
    assert told.items() >= place.items()


def test_items_of_every_kind_are_placed():
    wire = Wire()
    call = {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"}
    for item in (SystemItem("s", "Be kind."), OtherItem("o", call), Answer("a", 0, [((), "Hi")])):
        added, done = wire.tell(events.ItemPlaced(item, "p"))
        assert (added["type"], done["type"]) == (
            "conversation.item.added",
            "conversation.item.done",
        )
        assert added["item"] == done["item"]
        assert added["item"]["id"] == item.id
        assert added["previous_item_id"] == "p"


def test_transcription():
    wire = Wire()
    item = UserItem("item_U", ("Look:", Clip("k", np.zeros(1_600, np.int16))))
    wire.tell(events.Committed(item, None))
    failure = events.Trouble("busy", "Later.")
    done, failed, other = wire.tell(
        events.Transcribed("item_U", "hello", 1.5),
        events.Transcribed("item_U", "", 1.5, failure),
        events.Transcribed("item_V", "hi", 2.0),
    )
    kind = "conversation.item.input_audio_transcription"
    assert (done["type"], failed["type"]) == (f"{kind}.completed", f"{kind}.failed")
    assert (done["content_index"], other["content_index"]) == (1, 0)
    assert done["transcript"] == "hello"
    assert done["usage"] == {"type": "duration", "seconds": 1.5}
    assert failed["error"] == {"type": "server_error", "code": "busy", "message": "Later."}


def test_where_something_was_said_is_forgotten_with_its_item():
    wire = Wire()
    clip = Clip("k", np.zeros(1_600, np.int16))
    wire.tell(events.Committed(UserItem("item_U", ("Look:", clip)), None))
    wire.tell(events.ItemGone("item_U"), events.ItemPlaced(UserItem("item_U", (clip,)), None))
    (done,) = wire.tell(events.Transcribed("item_U", "hello", 1.5))
    assert done["content_index"] == 0
    assert wire.tell(events.ItemGone("never")) != []


# ---- trouble ------------------------------------------------------------------------------------

ITEM = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "x"}]}
CREATE = {"type": "conversation.item.create", "item": ITEM}
COMMIT = {"type": "input_audio_buffer.commit"}
RESPOND = {"type": "response.create"}
CUT = {
    "type": "conversation.item.truncate",
    "item_id": "i",
    "content_index": 0,
    "audio_end_ms": 0,
}


@pytest.mark.parametrize(
    ("message", "trouble", "code", "param"),
    [
        (COMMIT, "nothing_to_commit", "input_audio_buffer_commit_empty", None),
        (COMMIT, "audio_too_short", "input_audio_buffer_commit_empty", None),
        (CREATE, "audio_too_short", "invalid_value", "item.content"),
        (CREATE, "item_not_found", "item_not_found", "previous_item_id"),
        (CREATE, "item_exists", "item_exists", "item.id"),
        (CREATE, "conversation_full", "conversation_full", None),
        ({"type": "conversation.item.delete", "item_id": "i"}, *["item_not_found"] * 2, "item_id"),
        (CUT, "item_not_found", "item_not_found", "item_id"),
        (CUT, "not_an_answer", "invalid_value", "item_id"),
        (RESPOND, "response_active", "conversation_already_has_active_response", None),
        (RESPOND, "too_many_responses", "rate_limit_exceeded", None),
        (RESPOND, "item_not_found", "item_not_found", "response.input"),
        (
            {"type": "response.cancel"},
            "nothing_to_cancel",
            "response_cancel_not_active",
            "response_id",
        ),
    ],
)
def test_trouble_is_an_error_in_their_words_with_the_events_id(message, trouble, code, param):
    wire = Wire()
    told = wire.send({"event_id": "mine", **message}, events.Trouble(trouble, "So it is."))
    assert [event["error"] for event in told] == [
        {
            "type": "invalid_request_error",
            "code": code,
            "message": "So it is.",
            "param": param,
            "event_id": "mine",
        }
    ]


def test_trouble_of_ours_is_a_server_error_that_no_event_brought_about():
    wire = Wire()
    wire.send({"type": "response.cancel", "event_id": "earlier"})
    (told,) = wire.tell(events.Trouble("internal_error", "Logged.", fatal=True))
    assert (told["error"]["type"], told["error"]["event_id"]) == ("server_error", None)


@pytest.mark.parametrize("code", ["conversation_trimmed", "turn_too_long", "idle"])
def test_trouble_that_these_clients_do_not_expect_is_not_told(code):
    assert Wire().tell(events.Trouble(code, "So it is.")) == []


def test_the_end_of_the_connection_is_told_whatever_its_reason():
    (told,) = Wire().tell(events.Trouble("idle", "Nobody speaks.", fatal=True))
    assert (told["error"]["code"], told["error"]["message"]) == ("idle", "Nobody speaks.")


@pytest.mark.parametrize(
    ("message", "kept"), [(None, False), (COMMIT, False), (CREATE, True), (RESPOND, True)]
)
def test_audio_that_is_too_short_empties_the_input_buffer_it_was_in(message, kept):
    wire = Wire()
    wire.update(PUSH_TO_TALK)
    wire.send(append(bytes(4_800)))
    trouble = events.Trouble("audio_too_short", "So it is.")
    told = wire.tell(trouble) if message is None else wire.send(message, trouble)
    assert kinds(told) == ["error"]
    assert wire.codec.input.appended is kept


def test_server_events_are_numbered_from_one():
    wire = Wire()
    told = wire.tell(READY, events.Cleared())
    assert [event["event_id"] for event in told] == ["event_1", "event_2"]


def test_messages_are_json_text():
    messages = list(Wire().codec.encode(READY))
    assert all(isinstance(json.loads(message), dict) for message in messages)


# ---- flat fields without the beta's header ------------------------------------------------------


def test_a_caller_of_the_telephone_that_is_flat_is_heard():
    wire = Wire()
    session = wire.update({"input_audio_format": "g711_ulaw"})
    assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    assert "input_audio_format" not in session
    wire.send(append(bytes(8_000)))
    assert sum(heard.pcm.size for heard in wire.inputs) == pytest.approx(16_000, abs=500)


@pytest.mark.parametrize(
    ("event", "param"),
    [
        ({"session": {"input_audio_format": "opus"}}, "session.input_audio_format"),
        ({"session": {"turn_detection": {"type": "x"}}}, "session.turn_detection.type"),
        (
            {"session": {"audio": {"input": {"turn_detection": {"type": "x"}}}}},
            "session.audio.input.turn_detection.type",
        ),
        (
            {"response": {"max_response_output_tokens": 0}},
            "response.max_response_output_tokens",
        ),
        ({"response": {"max_output_tokens": 0}}, "response.max_output_tokens"),
    ],
)
def test_a_field_is_refused_by_the_name_that_the_client_gave_it(event, param):
    kind = "session.update" if "session" in event else "response.create"
    assert Wire().refused({"type": kind, **event})["param"] == param


def test_only_a_beta_client_has_an_event_that_makes_it_a_transcription_session():
    event = {"type": "transcription_session.update", "event_id": "e", "session": {}}
    wire = Wire(beta=True, check=False)
    (told,) = wire.send(event, APPLIED)
    assert told["type"] == "transcription_session.updated"
    assert wire.inputs == [events.Configured(events.TurnSettings(transcribe=True, respond=False))]
    error = Wire().refused(event)
    assert (error["param"], error["event_id"]) == ("type", "e")


@pytest.mark.parametrize(
    ("bound", "event", "param"),
    [
        (
            "transcription",
            {"type": "session.update", "session": {"type": "realtime"}},
            "session.type",
        ),
        (
            "realtime",
            {"type": "session.update", "session": {"type": "transcription"}},
            "session.type",
        ),
        ("transcription", {"type": "response.create"}, "response"),
    ],
)
def test_a_session_that_is_bound_stays_of_its_type(bound, event, param):
    wire = Wire()
    wire.update({"type": bound})
    wire.codec.bind()
    error = wire.refused({**event, "event_id": "e"})
    assert error == {
        "type": "invalid_request_error",
        "code": "invalid_value",
        "message": f"The short-lived key is for a session of type {bound}.",
        "param": param,
        "event_id": "e",
    }
    assert wire.update({"type": bound, "instructions": "x"})["type"] == bound


def test_a_session_that_is_not_bound_may_change_its_type():
    wire = Wire()
    assert wire.update({"type": "transcription"})["type"] == "transcription"
    assert wire.update({"type": "realtime"})["type"] == "realtime"
    wire.codec.bind()
    assert wire.send({"type": "response.create"}) == []
    assert len(wire.inputs) == 1


def test_limits_are_told_field_by_field():
    (told,) = Wire().tell(events.LimitsLeft((events.Limit("requests", 10, 4, 1.5),)))
    assert told["rate_limits"] == [
        {"name": "requests", "limit": 10, "remaining": 4, "reset_seconds": 1.5}
    ]
