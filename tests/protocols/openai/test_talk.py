"""Codec and session together: what a client does, what it is told, in whatever order.

The session is the real one; the engine is the test, which answers when it likes.
"""

from __future__ import annotations

import base64
import json
from typing import Any

import numpy as np
import pytest
from fakes import LoudVad
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocols.openai.wire import Wire, kinds

from realtime.audio.endpoint import EndpointConfig, Endpointer
from realtime.engine.api import Request, Usage
from realtime.errors import BadMessage
from realtime.protocols import Reply
from realtime.session import events
from realtime.session.conversation import Conversation
from realtime.session.session import Session
from realtime.session.settings import SessionConfig

LOUD = np.where(np.arange(24_000) % 60 < 30, 8_000, -8_000).astype("<i2")
QUIET = np.zeros(24_000, "<i2")


def sound(*pieces: tuple[np.ndarray, int]) -> list[dict[str, Any]]:
    """Give appends of 100 ms for pieces of so many milliseconds."""
    data = b"".join(wave[: ms * 24].tobytes() for wave, ms in pieces)
    return [
        {
            "type": "input_audio_buffer.append",
            "audio": base64.b64encode(data[at : at + 4_800]).decode(),
        }
        for at in range(0, len(data), 4_800)
    ]


QUESTION = sound((QUIET, 200), (LOUD, 400), (QUIET, 700))


class Talk(Wire):
    """A client, the codec and a session; requests wait for the test to answer them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        conversation = Conversation("c")
        self.session = Session(
            conversation, Endpointer(LoudVad(), EndpointConfig()), SessionConfig()
        )
        self.requests: dict[str, Request] = {}
        self.tell(events.Ready("s", "secret", "m"))

    def happen(self, event: events.Input) -> list[dict[str, Any]]:
        """Give the session a fact; collect what the client is told."""
        told = []
        for effect in self.session.receive(event):
            match effect:
                case events.Emit(notice):
                    told += self.tell(notice)
                case events.Generate(request):
                    self.requests[request.id] = request
                case events.Cancel(response):
                    self.requests.pop(response, None)
        return told

    def say(self, *messages: dict[str, Any]) -> list[dict[str, Any]]:
        """Send client events and give all that the client is told."""
        told = []
        for message in messages:
            try:
                for given_input in self.codec.decode(json.dumps(message)):
                    if isinstance(given_input, Reply):
                        told += self.read(given_input.messages)
                    else:
                        told += self.happen(given_input)
            except BadMessage as error:
                told += self.read(self.codec.refuse(error))
        return told

    def answer(self, text: str, *, done: bool = True) -> list[dict[str, Any]]:
        """Answer the latest request with this text, a token per character."""
        id = list(self.requests)[-1]
        told = []
        for character in text:
            told += self.happen(events.TextDelta(id, (ord(character),), character))
        if done:
            del self.requests[id]
            told += self.happen(events.ResponseEnded(id, "stop", Usage(9, 3, len(text), 5)))
        return told


COMMITTED = ["input_audio_buffer.committed", "conversation.item.added", "conversation.item.done"]
CREATED = [
    "response.created",
    "response.output_item.added",
    "conversation.item.added",
    "response.content_part.added",
]
SAID = "response.output_text.delta"
TAIL = [
    "response.output_text.done",
    "response.content_part.done",
    "conversation.item.done",
    "response.output_item.done",
    "response.done",
]


def update(**fields: Any) -> dict[str, Any]:
    return {"type": "session.update", "session": {"audio": {"input": fields}}}


def test_a_spoken_conversation():
    talk = Talk()
    told = talk.say(*QUESTION) + talk.answer("Hi")
    assert kinds(told) == [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        *COMMITTED,
        *CREATED,
        SAID,
        SAID,
        *TAIL,
    ]
    item = told[0]["item_id"]
    assert {told[n]["item_id"] for n in (1, 2)} == {item}
    assert told[3]["item"]["id"] == item
    assert told[0]["audio_start_ms"] == 0
    again = talk.say(*QUESTION)
    assert again[2]["previous_item_id"] == told[-2]["item"]["id"]


def test_barge_in():
    talk = Talk()
    talk.say(*QUESTION)
    talk.answer("It is", done=False)
    told = talk.say(*sound((LOUD, 400)))
    assert kinds(told) == ["input_audio_buffer.speech_started", *TAIL]
    assert told[1]["text"] == "It is"
    assert told[-1]["response"]["status_details"] == {
        "type": "cancelled",
        "reason": "turn_detected",
    }


def test_push_to_talk_then_typing():
    talk = Talk()
    talk.say(update(turn_detection=None))
    assert talk.say(*sound((LOUD, 400), (QUIET, 900))) == []
    assert kinds(talk.say({"type": "input_audio_buffer.commit"})) == COMMITTED
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "What?"}]}
    told = talk.say({"type": "conversation.item.create", "item": item})
    assert kinds(told) == COMMITTED[1:]
    assert kinds(talk.say({"type": "response.create"})) == CREATED
    (request,) = talk.requests.values()
    (turn,) = request.turns
    assert len(turn.parts) == 2, "what was said and written is one turn for the model"
    assert kinds(talk.answer("Ha")) == [SAID, SAID, *TAIL]


@pytest.mark.parametrize("create", [True, False])
@pytest.mark.parametrize("interrupt", [True, False])
def test_answering_and_interrupting_in_all_combinations(create, interrupt):
    talk = Talk()
    fields = {"type": "server_vad", "create_response": create, "interrupt_response": interrupt}
    talk.say(update(turn_detection=fields))
    told = talk.say(*QUESTION)
    assert ("response.created" in kinds(told)) == create
    if not create:
        assert kinds(talk.say({"type": "response.create"})) == CREATED
    talk.answer("It", done=False)
    told = kinds(talk.say(*sound((LOUD, 400))))
    assert told == ["input_audio_buffer.speech_started", *(TAIL if interrupt else [])]


def test_cancelling_and_truncating_leave_what_was_had():
    talk = Talk()
    talk.say(*QUESTION)
    answer = talk.answer("abcdef", done=False)[-1]["item_id"]
    told = talk.say({"type": "response.cancel", "event_id": "x"})
    assert kinds(told) == TAIL
    assert told[-1]["response"]["status_details"]["reason"] == "client_cancelled"
    cut = {
        "type": "conversation.item.truncate",
        "item_id": answer,
        "content_index": 0,
        "audio_end_ms": 10,
    }
    show = {"type": "conversation.item.retrieve", "item_id": answer}
    for chars, left in ((None, "abcdef"), (99, "abcdef"), (4, "abcd"), (4, "abcd"), (0, "")):
        assert kinds(talk.say({**cut, "text_chars": chars})) == ["conversation.item.truncated"]
        (shown,) = talk.say(show)
        assert shown["item"]["content"][0]["text"] == left
        assert shown["item"]["status"] == "incomplete"


def test_impossible_orders_are_errors_and_no_more():
    talk = Talk()
    for message, code in [
        ({"type": "input_audio_buffer.commit"}, "input_audio_buffer_commit_empty"),
        ({"type": "response.cancel"}, "response_cancel_not_active"),
        ({"type": "conversation.item.retrieve", "item_id": "x"}, "item_not_found"),
        ({"type": "conversation.item.delete", "item_id": "x"}, "item_not_found"),
    ]:
        (told,) = talk.say({**message, "event_id": "mine"})
        assert (told["error"]["code"], told["error"]["event_id"]) == (code, "mine")
    talk.say(*QUESTION)
    (told,) = talk.say({"type": "response.create", "event_id": "agents_js_response_create_1"})
    assert told["error"]["code"] == "conversation_already_has_active_response"
    assert told["error"]["event_id"] == "agents_js_response_create_1"


# ---- in whatever order --------------------------------------------------------------------------

TEXT = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "Hi"}]}
ASIDE = {"conversation": "none", "input": [TEXT], "metadata": {"topic": "x"}}
ITEM_IDS = st.sampled_from(["mine", "item_c_1", "item_c_2", "item_c_3"])
client_events = st.one_of(
    st.sampled_from(
        [
            {"type": "input_audio_buffer.commit"},
            {"type": "input_audio_buffer.clear"},
            {"type": "response.create"},
            {"type": "response.create", "response": ASIDE},
            {"type": "response.cancel"},
            {"type": "output_audio_buffer.clear"},
            {"type": "conversation.item.create", "item": TEXT},
            {"type": "conversation.item.create", "item": {**TEXT, "id": "mine"}},
            {"type": "conversation.item.create", "item": TEXT, "previous_item_id": "root"},
            update(turn_detection=None),
            update(turn_detection={"type": "server_vad", "silence_duration_ms": 100}),
            update(turn_detection={"type": "server_vad", "interrupt_response": False}),
            update(turn_detection={"type": "semantic_vad", "create_response": False}),
            update(transcription={"model": "m"}),
            update(format={"type": "audio/pcmu"}),
            update(format={"type": "audio/pcm"}),
            {"type": "dance"},
        ]
    ),
    st.builds(lambda id: {"type": "conversation.item.retrieve", "item_id": id}, ITEM_IDS),
    st.builds(lambda id: {"type": "conversation.item.delete", "item_id": id}, ITEM_IDS),
    st.builds(
        lambda id, chars: {
            "type": "conversation.item.truncate",
            "item_id": id,
            "content_index": 0,
            "audio_end_ms": 0,
            "text_chars": chars,
        },
        ITEM_IDS,
        st.none() | st.integers(0, 3),
    ),
)
SOUNDS = {
    "a question": QUESTION,
    "speech": sound((LOUD, 400)),
    "silence": sound((QUIET, 700)),
    "a click": sound((LOUD, 40)),
    "a pause": sound((QUIET, 100)),
}
bursts = st.sampled_from(list(SOUNDS))
engine_steps = st.sampled_from(["a", "b", "end", "fail"])
steps = st.lists(client_events | bursts | engine_steps, max_size=25)


class Story:
    """What a client may believe of the events so far; anything else is a failure."""

    def __init__(self) -> None:
        self.texts: dict[str, str] = {}
        self.items: set[str] = set()
        self.speaking: str | None = None

    def follow(self, event: dict[str, Any]) -> None:
        kind = event["type"]
        if kind == "response.created":
            self.texts[event["response"]["id"]] = ""
        elif kind == SAID:
            self.texts[event["response_id"]] += event["delta"]
        elif kind == "response.output_text.done":
            assert event["text"] == self.texts[event["response_id"]]
        elif kind == "response.done":
            text = self.texts.pop(event["response"]["id"])
            assert event["response"]["output"][0]["content"][0]["text"] == text
        elif kind == "input_audio_buffer.speech_started":
            assert self.speaking is None
            self.speaking = event["item_id"]
        elif kind == "input_audio_buffer.speech_stopped":
            assert event["item_id"] == self.speaking
            self.speaking = None
        elif kind in ("input_audio_buffer.committed", "input_audio_buffer.cleared"):
            self.speaking = None
        elif kind == "conversation.item.added":
            assert event["item"]["id"] not in self.items
            self.items.add(event["item"]["id"])
        elif kind == "conversation.item.done":
            assert event["item"]["id"] in self.items
        elif kind == "conversation.item.deleted":
            self.items.remove(event["item_id"])


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(steps)
def test_a_client_can_always_follow_the_story(given_steps):
    talk, story = Talk(), Story()
    for step in given_steps:
        if isinstance(step, dict):
            told = talk.say(step)
        elif step in SOUNDS:
            told = talk.say(*SOUNDS[step])
        elif not talk.requests:
            continue
        elif step == "fail":
            id, _ = talk.requests.popitem()
            told = talk.happen(events.ResponseFailed(id, "busy", "Later."))
        else:
            told = talk.answer("" if step == "end" else step, done=step == "end")
        for event in told:
            story.follow(event)


@pytest.mark.parametrize("audio", [{"foo": {"format": 5}}, {"foo": None}, {"foo": {"format": {}}}])
def test_what_is_not_known_of_audio_is_kept_and_harms_nothing(audio):
    talk = Talk()
    (updated,) = talk.say(
        {"type": "session.update", "session": {"type": "realtime", "audio": audio}}
    )
    assert updated["session"]["audio"]["input"]["format"]["rate"] == 24_000


def test_a_beta_client_may_keep_an_item_with_a_role():
    talk = Talk(beta=True, check=False)
    item = {"type": "function_call", "name": "f", "arguments": "{}", "role": "assistant"}
    told = talk.say({"type": "conversation.item.create", "item": item})
    assert [event["type"] for event in told] == ["conversation.item.created"]


def session(**heard: Any) -> dict[str, Any]:
    """Change what is heard."""
    return {"type": "session.update", "session": {"type": "realtime", "audio": {"input": heard}}}


MULAW = {"type": "audio/pcmu"}


def test_after_a_commit_that_was_too_short_the_format_may_change():
    talk = Talk()
    talk.say(session(turn_detection=None), *sound((LOUD, 60)))
    (error,) = talk.say({"type": "input_audio_buffer.commit"})
    assert error["error"]["code"] == "input_audio_buffer_commit_empty"
    assert kinds(talk.say(session(format=MULAW))) == ["session.updated"]


def test_a_recording_that_is_too_short_ends_no_speech():
    talk = Talk()
    talk.say(*sound((QUIET, 200), (LOUD, 400)))
    part = {"type": "input_audio", "audio": base64.b64encode(bytes(480)).decode()}
    item = {"type": "message", "role": "user", "content": [part]}
    talk.say({"type": "conversation.item.create", "item": item})
    assert kinds(talk.say(session(format=MULAW))) == ["error"]


def test_an_item_id_of_a_mebibyte_is_not_echoed():
    (error,) = Talk().say({"type": "conversation.item.retrieve", "item_id": "x" * (1 << 20)})
    assert len(json.dumps(error)) < 1_000
