"""Any JSON, and any valid event with something changed: an error event, or understood.

Every case also lets the session say everything it can, in any order: what comes out is always a
JSON object with a type and an id of its own, and no delta after the end of its response.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocols.openai.wire import EXPIRES, spoken, started

from realtime.engine.api import Usage
from realtime.errors import BadMessage, ProtocolError, TooMuch
from realtime.protocols import Reply
from realtime.protocols.openai.codec import OpenAiCodec, Truncation
from realtime.protocols.openai.session import Defaults
from realtime.session import events
from realtime.session.items import Answer, OtherItem, SystemItem, UserItem

bounded = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)

MESSAGE = {
    "type": "message",
    "id": "u1",
    "role": "user",
    "content": [
        {"type": "input_audio", "audio": "AAAAAAAA", "transcript": None},
        {"type": "input_text", "text": "What is it?"},
    ],
}
VALID: list[dict[str, Any]] = [
    {
        "type": "session.update",
        "event_id": "e1",
        "session": {
            "type": "realtime",
            "instructions": "Be brief.",
            "output_modalities": ["audio"],
            "tools": [{"type": "function", "name": "f", "parameters": {}}],
            "tool_choice": "auto",
            "max_output_tokens": 100,
            "tracing": "auto",
            "truncation": {"type": "retention_ratio", "retention_ratio": 0.5},
            "prompt": {"id": "p"},
            "audio": {
                "input": {
                    "format": {"type": "audio/pcm", "rate": 24_000},
                    "transcription": {"model": "m"},
                    "noise_reduction": {"type": "near_field"},
                    "turn_detection": {
                        "type": "server_vad",
                        "threshold": 0.5,
                        "prefix_padding_ms": 300,
                        "silence_duration_ms": 500,
                        "idle_timeout_ms": 6_000,
                        "create_response": True,
                        "interrupt_response": False,
                    },
                },
                "output": {"format": {"type": "audio/pcmu"}, "voice": "x", "speed": 1.0},
            },
        },
    },
    {
        "type": "session.update",
        "session": {
            "audio": {"input": {"turn_detection": {"type": "semantic_vad", "eagerness": "low"}}}
        },
    },
    {"type": "session.update", "session": {"audio": {"input": {"turn_detection": None}}}},
    {
        "type": "session.update",
        "session": {
            "modalities": ["text", "audio"],
            "input_audio_format": "g711_alaw",
            "turn_detection": {"type": "server_vad"},
            "temperature": 0.8,
            "max_response_output_tokens": "inf",
        },
    },
    {"type": "transcription_session.update", "session": {"input_audio_format": "pcm16"}},
    {"type": "input_audio_buffer.append", "event_id": "e2", "audio": "AAECAwQFBgcI"},
    {"type": "input_audio_buffer.commit", "event_id": "e3"},
    {"type": "input_audio_buffer.clear"},
    {"type": "output_audio_buffer.clear", "event_id": "e4"},
    {
        "type": "conversation.item.create",
        "event_id": "e5",
        "item": MESSAGE,
        "previous_item_id": "root",
    },
    {
        "type": "conversation.item.create",
        "item": {
            "type": "message",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "Hi"}, {"type": "output_audio"}],
        },
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c"},
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "function_call_output", "output": "5", "call_id": "c"},
    },
    {
        "type": "conversation.item.create",
        "item": {"type": "mcp_list_tools", "server_label": "s", "tools": []},
    },
    {"type": "conversation.item.retrieve", "item_id": "u1"},
    {"type": "conversation.item.delete", "item_id": "u1"},
    {
        "type": "conversation.item.truncate",
        "item_id": "a1",
        "content_index": 0,
        "audio_end_ms": 5,
        "text_chars": 3,
    },
    {
        "type": "response.create",
        "event_id": "e6",
        "response": {
            "conversation": "none",
            "input": [MESSAGE, {"type": "item_reference", "id": "u1"}],
            "instructions": "Be brief.",
            "metadata": {"k": "v"},
            "max_output_tokens": "inf",
            "audio": {"output": {"voice": "x", "format": {"type": "audio/pcm"}}},
            "tools": [],
        },
    },
    {"type": "response.create"},
    {"type": "response.cancel", "response_id": "resp_c:1"},
]
NAMES = sorted(
    {
        name
        for event in VALID
        for level in (event, *(v for v in event.values() if isinstance(v, dict)))
        for name in level
    }
)

words = st.sampled_from(
    ["", "x", "root", "none", "auto", "message", "semantic_vad", "audio/pcmu", "input_image"]
) | st.text('aé😀\x00"\\{', max_size=4)
values = st.recursive(
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 1, 24_000, 2**31, 2**64, -(2**70), 0.5, -0.0, 1e300])
    | words,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(NAMES) | words, inner, max_size=3)
    ),
    max_leaves=8,
)
texts = st.one_of(
    st.text(max_size=40),
    st.text('{}[]":,typesionupdat0123456789.eE+-\\u', max_size=60),
    st.sampled_from(['{"type":"response.cancel","event_id":"\\ud83d"}', "[" * 5_000, "\ud83d"]),
)


def places(data: Any, path: tuple = ()) -> list[tuple]:
    """List the path of everything in it."""
    found = [path] if path else []
    if isinstance(data, dict | list):
        for key, value in data.items() if isinstance(data, dict) else enumerate(data):
            found += places(value, (*path, key))
    return found


@st.composite
def mutated(draw: st.DrawFn) -> dict[str, Any]:
    """Give a valid event in which up to three things were changed, dropped, doubled or added."""
    event = copy.deepcopy(draw(st.sampled_from(VALID)))
    for _ in range(draw(st.integers(0, 3))):
        if not (there := places(event)):
            break
        *outer, last = draw(st.sampled_from(there))
        inside: Any = event
        for key in outer:
            inside = inside[key]
        match draw(st.sampled_from(["change", "drop", "add", "long"])):
            case "change":
                inside[last] = draw(values)
            case "drop" if isinstance(inside, dict):
                inside.pop(last, None)
            case "add" if isinstance(inside, dict):
                inside[draw(st.sampled_from(NAMES))] = draw(values)
            case "long" if isinstance(inside[last], str) and len(inside[last]) < 50:
                inside[last] = inside[last] * draw(st.sampled_from([2, 1_000, 9_000]))
    return event


messages = st.one_of(
    mutated().map(json.dumps),
    values.map(json.dumps),
    texts,
    st.binary(max_size=9),
)
GREETING = events.Ready("s", "secret", "m")
USER = spoken("u1", 0.2, "What?")
notices = st.sampled_from(
    [
        events.SettingsApplied(),
        events.SpeechStarted(0, "u1"),
        events.SpeechStopped(500, 500, "u1"),
        events.SilenceNoticed(0, 500, "u1"),
        events.Committed(USER, None),
        events.Cleared(),
        events.ItemPlaced(UserItem("u2", ("Hi",)), "u1"),
        events.ItemPlaced(SystemItem("s1", "Hi"), None),
        events.ItemPlaced(OtherItem("o1", {"type": "function_call", "name": "f"}), None),
        events.ItemShown(USER),
        events.ItemShown(Answer("a1", 1, [((1,), "Hi")])),
        events.ItemGone("a1"),
        events.ItemTruncated(Truncation("a1", 0, 5)),
        events.Transcribed("u1", "hi", 0.2),
        events.Transcribed("u1", "", 0.2, events.Trouble("busy", "Later.")),
        *(started(f"c:{n}", f"a{n}") for n in (1, 2)),
        *(events.Partial(n, 0, "Hi", f"c:{n}") for n in (1, 2, 3)),
        *(events.Final(n, "Hi", "stop", Usage(9, 3, 2), response=f"c:{n}") for n in (1, 2, 3)),
        events.Final(1, "", "interrupted", response="c:1", reason="speech"),
        events.Cancelled(1, ""),
        events.LimitsLeft((events.Limit("tokens", 5, 4, 1.0),)),
        events.Trouble("item_not_found", "No."),
        events.Trouble("busy", "No.", fatal=True),
    ]
)
steps = st.lists(messages | notices, min_size=1, max_size=12)


class Checked:
    """A codec of which every message is looked at."""

    def __init__(self, codec: OpenAiCodec) -> None:
        self.codec = codec
        self.ids: set[str] = set()
        self.open: set[str] = set()
        self.tell(GREETING)

    def tell(self, notice: events.Notice) -> list[dict[str, Any]]:
        return self.read(self.codec.encode(notice))

    def read(self, messages: Iterable[bytes | str]) -> list[dict[str, Any]]:
        told = [json.loads(message) for message in messages]
        for event in told:
            assert isinstance(event["type"], str)
            assert isinstance(event["event_id"], str)
            assert event["event_id"] not in self.ids
            self.ids.add(event["event_id"])
            self.follow(event)
        return told

    def follow(self, event: dict[str, Any]) -> None:
        """Hold the story of every response to its order."""
        kind = event["type"]
        if kind == "response.created":
            self.open.add(event["response"]["id"])
        elif kind == "response.done":
            self.open.remove(event["response"]["id"])
        elif kind.startswith("response."):
            assert event["response_id"] in self.open

    def send(self, message: bytes | str) -> None:
        try:
            inputs = list(self.codec.decode(message))
        except BadMessage as error:
            (told,) = self.read(self.codec.refuse(error))
            assert told["type"] == "error"
            assert told["error"]["type"] == "invalid_request_error"
            assert isinstance(told["error"]["code"], str)
        except (ProtocolError, TooMuch):
            pass
        else:
            for given_input in inputs:
                if isinstance(given_input, Reply):
                    self.read(given_input.messages)
                    continue
                assert isinstance(given_input, events.PeerInput)
                self.reply(given_input)

    def reply(self, given_input: events.PeerInput) -> None:
        """Answer as a session would, as far as the codec's own words come back."""
        match given_input:
            case events.ItemsResponseAsked(options):
                self.tell(started("c:9", "a9", None, options))
                self.tell(events.Final(9, "", "length", response="c:9"))
            case events.ItemCut():
                self.tell(events.ItemTruncated(given_input))
            case events.Configured():
                self.tell(events.SettingsApplied())
            case events.AudioReceived(pcm):
                assert pcm.dtype == np.int16


@bounded
@given(st.booleans(), st.booleans(), steps)
def test_whatever_comes_in_whatever_order(beta, binary, given_steps):
    codec = OpenAiCodec(expires_at=EXPIRES, defaults=Defaults(), beta=beta, binary=binary)
    checked = Checked(codec)
    for step in given_steps:
        if isinstance(step, bytes | str):
            checked.send(step)
        elif not (
            isinstance(step, events.ResponseStarted) and f"resp_{step.response}" in checked.open
        ):
            checked.tell(step)


@bounded
@given(st.booleans(), mutated())
def test_an_error_names_the_event_that_it_answers(beta, event):
    codec = OpenAiCodec(expires_at=EXPIRES, defaults=Defaults(), beta=beta)
    event["event_id"] = "mine"
    session = copy.deepcopy(codec.session)
    try:
        inputs = list(codec.decode(json.dumps(event)))
    except BadMessage as error:
        (told,) = codec.refuse(error)
        assert json.loads(told)["error"]["event_id"] == "mine"
        assert codec.session == session
    else:
        assert len(inputs) <= 2
