"""The older names: what beta clients send, and what they get."""

from __future__ import annotations

import pytest
from protocols.openai.wire import APPLIED, EXPIRES, Wire, kinds, spoken, started

from realtime.engine.api import Sampling, Usage
from realtime.protocols.openai.beta import modern, old_event, old_item, old_param
from realtime.protocols.openai.errors import BadEvent
from realtime.protocols.openai.shapes import PatchJson
from realtime.session import events
from realtime.session.items import AnswerDraft

READY = events.Ready("s", "secret", "qwen2-audio")


def wire() -> Wire:
    # The SDK's beta Session knows model names of OpenAI only, and no resume.
    return Wire(beta=True, check=False)


def test_a_session_is_flat():
    (created,) = wire().tell(READY)
    assert created["session"] == {
        "object": "realtime.session",
        "id": "sess_s",
        "model": "qwen2-audio",
        "expires_at": EXPIRES,
        "resume": "secret",
        "modalities": ["text"],
        "instructions": "",
        "voice": "marin",
        "speed": 1.0,
        "input_audio_format": "pcm16",
        "output_audio_format": "pcm16",
        "input_audio_transcription": None,
        "input_audio_noise_reduction": None,
        "turn_detection": {
            "type": "server_vad",
            "threshold": 0.5,
            "prefix_padding_ms": 300,
            "silence_duration_ms": 500,
            "idle_timeout_ms": None,
            "create_response": True,
            "interrupt_response": True,
        },
        "tools": [],
        "tool_choice": "auto",
        "max_response_output_tokens": "inf",
        "tracing": None,
        "truncation": "auto",
        "prompt": None,
        "include": None,
    }


def test_a_spoken_turn():
    told = Wire(beta=True).tell(
        events.SpeechStarted(1_600, "item_U"),
        events.SpeechStopped(32_000, 30_400, "item_U"),
        events.Committed(spoken(), None),
        started(),
        events.Partial(1, 0, "Noon.", "c:1"),
        events.Final(1, "Noon.", "stop", Usage(20, 4, 10), response="c:1"),
        events.LimitsLeft(()),
    )
    assert kinds(told) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.created",
        "response.created",
        "response.output_item.added",
        "conversation.item.created",
        "response.content_part.added",
        "response.text.delta",
        "response.text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
        "rate_limits.updated",
    ]
    text = [{"type": "text", "text": "Noon."}]
    assert told[11]["item"]["content"] == text
    done = told[12]["response"]
    assert done["output"][0]["content"] == text
    assert (done["modalities"], done["output_audio_format"], done["voice"]) == (
        ["text"],
        "pcm16",
        "marin",
    )
    assert not {"audio", "output_modalities"} & done.keys()


def test_a_flat_update():
    client = wire()
    shown = client.update(
        {
            "modalities": ["text", "audio"],
            "instructions": "Be brief.",
            "voice": "alloy",
            "input_audio_format": "g711_ulaw",
            "output_audio_format": "g711_alaw",
            "input_audio_transcription": {"model": "whisper-1"},
            "input_audio_noise_reduction": {"type": "near_field"},
            "turn_detection": None,
            "temperature": 0.8,
            "max_response_output_tokens": 100,
        }
    )
    assert client.inputs == [
        events.Configured(
            events.TurnSettings(
                automatic=False,
                respond=False,
                instructions="Be brief.",
                sampling=Sampling(temperature=0.8, max_tokens=100),
                transcribe=True,
            )
        )
    ]
    assert shown["modalities"] == ["text"]
    assert shown["input_audio_format"] == "g711_ulaw"
    assert shown["output_audio_format"] == "g711_alaw"
    assert shown["turn_detection"] is None
    assert shown["temperature"] == 0.8
    assert shown["max_response_output_tokens"] == 100
    again = client.update({"input_audio_format": None, "turn_detection": {"type": "server_vad"}})
    assert again["input_audio_format"] == "pcm16"
    assert again["turn_detection"]["threshold"] == 0.5
    assert again["voice"] == "alloy"


@pytest.mark.parametrize(
    ("session", "param"),
    [
        ({"input_audio_format": "opus"}, "session.input_audio_format"),
        ({"input_audio_format": 5}, "session.input_audio_format"),
        ({"modalities": ["smell"]}, "session.modalities[0]"),
        ({"modalities": 5}, "session.modalities"),
        ({"max_response_output_tokens": 0}, "session.max_response_output_tokens"),
        ({"turn_detection": {"threshold": 5}}, "session.turn_detection.threshold"),
        ({"turn_detection": 5}, "session.turn_detection"),
        ({"input_audio_transcription": 5}, "session.input_audio_transcription"),
        ({"audio": 5, "voice": "x"}, "session.audio"),
        ({"instructions": 5}, "session.instructions"),
    ],
)
def test_a_bad_update_is_refused_in_the_clients_own_names(session, param):
    error = wire().refused({"type": "session.update", "event_id": "e", "session": session})
    assert (error["param"], error["event_id"]) == (param, "e")


def test_a_response_of_its_own():
    client = wire()
    response = {
        "modalities": ["audio", "text"],
        "max_response_output_tokens": 5,
        "temperature": 0.6,
        "voice": "ash",
        "output_audio_format": "g711_alaw",
        "conversation": "none",
    }
    client.send({"type": "response.create", "response": response})
    (asked,) = client.inputs
    assert asked.options.sampling == Sampling(temperature=0.6, max_tokens=5)
    (created, *_) = client.tell(started(options=asked.options))
    shown = created["response"]
    assert (shown["voice"], shown["output_audio_format"]) == ("ash", "g711_alaw")
    assert shown["max_output_tokens"] == 5


def test_old_content_is_understood():
    client = wire()
    content = [{"type": "text", "text": "Hi"}]
    item = {"type": "message", "role": "assistant", "content": content}
    client.send({"type": "conversation.item.create", "item": item})
    assert client.inputs == [events.ItemPut(AnswerDraft(None, "Hi"))]


def test_a_transcription_session():
    client = wire()
    update = {
        "type": "transcription_session.update",
        "session": {"input_audio_transcription": {"model": "whisper-1"}},
    }
    (told,) = client.send(update, APPLIED)
    assert told["type"] == "transcription_session.updated"
    (configured,) = client.inputs
    assert configured.settings == events.TurnSettings(transcribe=True, respond=False)


def test_an_initial_session_may_be_flat():
    (configured,) = wire().codec.configure({"turn_detection": None})
    assert configured == events.Configured(events.TurnSettings(automatic=False, respond=False))


def test_silence_that_beta_clients_have_no_word_for_is_told_by_its_item_alone():
    assert wire().tell(events.SilenceNoticed(0, 16_000, "item_U")) == []


def test_todays_names_pass_too():
    session = {"type": "realtime", "output_modalities": ["text"], "audio": {"input": {}}}
    assert modern(session, "session") == session
    assert modern({**session, "voice": "ash"}, "session")["audio"] == {
        "input": {},
        "output": {"voice": "ash"},
    }


def test_a_flat_session_that_is_none_is_refused():
    with pytest.raises(BadEvent):
        modern({"audio": 5, "speed": 1}, "session")


@pytest.mark.parametrize(
    ("param", "old"),
    [
        (None, None),
        ("item.id", "item.id"),
        ("session", "session"),
        ("session.tools[0].name", "session.tools[0].name"),
        ("session.audio.input.format.type", "session.input_audio_format.type"),
        ("session.output_modalities[0]", "session.modalities[0]"),
        ("session.output_modalitiesx", "session.output_modalitiesx"),
    ],
)
def test_fields_have_their_old_names(param, old):
    assert old_param(param) == old


def test_every_old_name_has_a_place_in_the_session():
    flat = {"modalities": ["text"], "voice": "x", "speed": 1.0, "max_response_output_tokens": 5}
    assert set(modern(flat, "session")) <= set(PatchJson.__struct_fields__)


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("modalities", "output_modalities"),
        ("max_response_output_tokens", "max_output_tokens"),
        ("input_audio_format", "audio.input.format"),
        ("input_audio_transcription", "audio.input.transcription"),
        ("input_audio_noise_reduction", "audio.input.noise_reduction"),
        ("turn_detection", "audio.input.turn_detection"),
        ("output_audio_format", "audio.output.format"),
        ("voice", "audio.output.voice"),
        ("speed", "audio.output.speed"),
    ],
)
def test_every_flat_field_goes_to_its_place_and_is_blamed_by_its_name(name, place):
    value = "pcm16" if name.endswith("format") else "x"
    whole = modern({name: value, "instructions": "y"}, "session")
    assert whole.pop("instructions") == "y"
    for key in place.split("."):
        assert list(whole) == [key]
        whole = whole[key]
    assert whole == ({"type": "audio/pcm"} if value == "pcm16" else "x")
    for rest in ("", ".type", "[0]"):
        assert old_param(f"session.{place}{rest}") == f"session.{name}{rest}"
    assert old_param(f"session.{place}", given=("temperature",)) == f"session.{place}"
    assert old_param(f"session.{place}", given=(name,)) == f"session.{name}"


@pytest.mark.parametrize(
    ("old", "new"),
    [("pcm16", "audio/pcm"), ("g711_ulaw", "audio/pcmu"), ("g711_alaw", "audio/pcma")],
)
def test_formats_have_old_names(old, new):
    flat = {"input_audio_format": old, "output_audio_format": old}
    audio = modern(flat, "session")["audio"]
    assert audio == {"input": {"format": {"type": new}}, "output": {"format": {"type": new}}}
    with pytest.raises(BadEvent, match="must be one of pcm16, g711_ulaw, g711_alaw") as error:
        modern({"input_audio_format": new}, "session")
    assert error.value.param == "session.input_audio_format"


@pytest.mark.parametrize("both", [["text", "audio"], ["audio", "text"]])
def test_text_and_audio_were_one_answer_in_the_beta(both):
    assert modern({"modalities": both}, "response") == {"output_modalities": ["audio"]}


def test_two_values_for_one_thing_are_refused_and_the_same_twice_is_not():
    nested = {"audio": {"output": {"voice": "ash"}}}
    assert modern({**nested, "voice": "ash"}, "response") == nested
    with pytest.raises(BadEvent) as error:
        modern({**nested, "voice": "sage"}, "response")
    assert str(error.value) == (
        "'response.voice' and 'response.audio.output.voice' stand for the same and differ."
    )
    assert error.value.param == "response.voice"


def test_what_the_client_sent_stays_as_it_is():
    sent = {"audio": {"input": {}}, "voice": "ash"}
    modern(sent, "session")
    assert sent == {"audio": {"input": {}}, "voice": "ash"}


@pytest.mark.parametrize(
    ("kind", "old"),
    [
        ("conversation.item.added", "conversation.item.created"),
        ("response.output_text.delta", "response.text.delta"),
        ("response.output_text.done", "response.text.done"),
        ("conversation.item.done", None),
        ("input_audio_buffer.timeout_triggered", None),
        ("error", "error"),
    ],
)
def test_events_have_their_old_names_or_none(kind, old):
    told = old_event({"type": kind, "event_id": "e"})
    assert told == (None if old is None else {"type": old, "event_id": "e"})


def test_only_an_assistants_message_has_other_content():
    part = {"type": "output_text", "text": "x"}
    message = {"type": "message", "role": "assistant", "content": [part]}
    assert old_item(message)["content"] == [{"type": "text", "text": "x"}]
    assert message["content"] == [part]
    for item in ({**message, "role": "user"}, {**message, "type": "function_call"}):
        assert old_item(item) == item
