"""Items: from the client's JSON to drafts, and from ours to JSON."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from protocols.openai.wire import SDK, spoken

from realtime.audio.ingest import AudioFormat
from realtime.engine.api import Clip
from realtime.protocols.openai.errors import BadEvent
from realtime.protocols.openai.formats import USUAL
from realtime.protocols.openai.items import (
    MAX_CONTENT,
    MAX_INPUT,
    read_audio,
    read_input,
    read_item,
    show_answer,
    show_item,
    spoken_index,
)
from realtime.session.items import (
    Answer,
    AnswerDraft,
    OtherDraft,
    OtherItem,
    Reference,
    SystemDraft,
    SystemItem,
    UserDraft,
    UserItem,
)

PCM = AudioFormat("s16le", 16_000)
ULAW = AudioFormat("mulaw", 8_000)


def message(role: str, *content: dict, **more) -> dict:
    return {"type": "message", "role": role, "content": list(content), **more}


def text(words: str, kind: str = "input_text") -> dict:
    return {"type": kind, "text": words}


def audio(data: bytes, **more) -> dict:
    return {"type": "input_audio", "audio": base64.b64encode(data).decode(), **more}


# ---- as the client writes them ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("item", "draft"),
    [
        (message("system", text("Be kind."), id="s1"), SystemDraft("s1", "Be kind.")),
        (
            message("system", text("Be kind."), text("Be brief.")),
            SystemDraft(None, "Be kind.\nBe brief."),
        ),
        (message("system"), SystemDraft(None, "")),
        (message("assistant", text("Hi", "output_text")), AnswerDraft(None, "Hi")),
        (message("assistant", text("Hi", "text"), id=None), AnswerDraft(None, "Hi")),
        (
            message(
                "assistant", {"type": "output_audio", "transcript": "Hi", "audio": "not base64"}
            ),
            AnswerDraft(None, "Hi"),
        ),
        (message("assistant", {"type": "audio", "transcript": "Hi"}), AnswerDraft(None, "Hi")),
        (message("assistant", {"type": "output_audio"}), AnswerDraft(None, "")),
        (
            message(
                "assistant",
                text("It ", "output_text"),
                {"type": "output_audio", "transcript": "is "},
                text("noon.", "text"),
            ),
            AnswerDraft(None, "It is noon."),
        ),
        (message("assistant"), AnswerDraft(None, "")),
        (
            {"type": "function_call", "name": "f", "arguments": "{}", "call_id": None, "id": "x"},
            OtherDraft("x", {"type": "function_call", "name": "f", "arguments": "{}"}),
        ),
        (
            {"type": "function_call_output", "call_id": "c", "output": "5"},
            OtherDraft(None, {"type": "function_call_output", "call_id": "c", "output": "5"}),
        ),
    ],
)
def test_items_become_drafts(item, draft):
    assert read_item(item, PCM) == draft


MCP = [
    {"type": "mcp_approval_request", "name": "f", "arguments": "{}", "server_label": "s"},
    {"type": "mcp_approval_response", "approval_request_id": "r", "approve": True},
    {"type": "mcp_list_tools", "server_label": "s", "tools": [{"name": "f", "input_schema": {}}]},
    {"type": "mcp_call", "name": "f", "arguments": "{}", "server_label": "s"},
]


@pytest.mark.parametrize("item", MCP)
def test_what_the_model_never_sees_is_kept(item):
    draft = read_item(item, PCM)
    assert draft == OtherDraft(None, item)
    shown = show_item(OtherItem("x", draft.data))
    assert shown.items() >= {**item, "id": "x", "status": "completed"}.items()
    validate(shown)


def test_a_user_item_mixes_what_was_said_and_written():
    sound = np.arange(2_000, dtype="<i2")
    item = message(
        "user", audio(sound.tobytes(), transcript="hm"), text("What is it?"), audio(b""), id="u"
    )
    draft = read_item(item, PCM)
    assert isinstance(draft, UserDraft)
    assert (draft.id, draft.transcript) == ("u", "hm")
    np.testing.assert_array_equal(draft.parts[0], sound)
    assert draft.parts[1] == "What is it?"
    assert draft.parts[2].size == 0


def test_audio_is_in_the_format_of_the_session():
    (sound,) = read_item(message("user", audio(bytes(8_000))), ULAW).parts
    assert sound.size == 16_000


def test_what_was_said_may_be_restored_from_its_transcript_alone():
    item = message("user", {"type": "input_audio", "audio": None, "transcript": "hello"})
    assert read_item(item, PCM).parts == ("hello",)


CONTENT = "item.content"


@pytest.mark.parametrize(
    ("item", "param", "code"),
    [
        ({}, "item.type", "missing_required_parameter"),
        ({"type": None}, "item.type", "invalid_type"),
        ({"type": "dance"}, "item.type", "invalid_value"),
        (message("user", text("x"), id=5), "item.id", "invalid_type"),
        (message("user", text("x"), id=""), "item.id", "invalid_value"),
        (message("user", text("x"), id="x" * 65), "item.id", "string_above_max_length"),
        (message("user", text("x"), id="root"), "item.id", "invalid_value"),
        ({"type": "message", "content": []}, "item.role", "missing_required_parameter"),
        (message("developer", text("x")), "item.role", "invalid_value"),
        (message(None, text("x")), "item.role", "invalid_type"),
        ({"type": "message", "role": "user"}, CONTENT, "missing_required_parameter"),
        ({"type": "message", "role": "user", "content": "x"}, CONTENT, "invalid_type"),
        ({"type": "message", "role": "user", "content": ["x"]}, f"{CONTENT}[0]", "invalid_type"),
        (message("user"), CONTENT, "invalid_value"),
        (message("user", {}), f"{CONTENT}[0].type", "missing_required_parameter"),
        (message("user", {"type": 5}), f"{CONTENT}[0].type", "invalid_type"),
        (message("user", text("x", "output_text")), f"{CONTENT}[0].type", "invalid_value"),
        (
            message("user", {"type": "input_text"}),
            f"{CONTENT}[0].text",
            "missing_required_parameter",
        ),
        (message("user", text(None)), f"{CONTENT}[0].text", "invalid_type"),
        (message("user", text("x"), text(5)), f"{CONTENT}[1].text", "invalid_type"),
        (message("user", text("x" * 16_385)), CONTENT, "string_above_max_length"),
        (message("user", text("x" * 9_000), text("x" * 9_000)), CONTENT, "string_above_max_length"),
        (message("user", *[text("x")] * (MAX_CONTENT + 1)), CONTENT, "array_above_max_length"),
        (
            message("user", {"type": "input_audio"}),
            f"{CONTENT}[0].audio",
            "missing_required_parameter",
        ),
        (
            message("user", {"type": "input_audio", "audio": 5}),
            f"{CONTENT}[0].audio",
            "invalid_type",
        ),
        (
            message("user", {"type": "input_audio", "audio": "!"}),
            f"{CONTENT}[0].audio",
            "invalid_value",
        ),
        (message("user", audio(b"abc")), f"{CONTENT}[0].audio", "invalid_value"),
        (message("user", audio(b"", transcript=5)), f"{CONTENT}[0].transcript", "invalid_type"),
        (
            message("user", {"type": "input_image", "image_url": "data:"}),
            f"{CONTENT}[0].type",
            "invalid_value",
        ),
        (
            message("assistant", {"type": "output_text"}),
            f"{CONTENT}[0].text",
            "missing_required_parameter",
        ),
        (message("assistant", audio(b"")), f"{CONTENT}[0].type", "invalid_value"),
        (message("system", audio(b"")), f"{CONTENT}[0].type", "invalid_value"),
        (message("system", text("é" * 9_000)), CONTENT, "string_above_max_length"),
        ({"type": "function_call", "arguments": "{}"}, "item.name", "missing_required_parameter"),
        ({"type": "function_call", "name": "f"}, "item.arguments", "missing_required_parameter"),
        ({"type": "function_call", "name": "f", "arguments": {}}, "item.arguments", "invalid_type"),
        (
            {"type": "function_call_output", "output": ""},
            "item.call_id",
            "missing_required_parameter",
        ),
        (
            {"type": "function_call_output", "call_id": "c"},
            "item.output",
            "missing_required_parameter",
        ),
        (
            {"type": "function_call_output", "call_id": "c", "output": "x" * 70_000},
            "item",
            "invalid_value",
        ),
    ],
)
def test_what_is_no_item_is_refused_by_name(item, param, code):
    with pytest.raises(BadEvent) as error:
        read_item(item, PCM)
    assert (error.value.param, error.value.reason) == (param, code)


def test_this_model_does_not_see():
    with pytest.raises(BadEvent, match="hears, it does not see"):
        read_item(message("user", {"type": "input_image", "image_url": "data:"}), PCM)


def test_an_item_may_have_five_minutes_of_audio():
    assert read_item(message("user", audio(bytes(8_000 * 300))), ULAW).parts[0].size == 4_800_000
    for content in ([audio(bytes(8_000 * 301))], [audio(bytes(8_000 * 160))] * 2):
        with pytest.raises(BadEvent, match="300 seconds"):
            read_item(message("user", *content), ULAW)


def test_the_input_of_a_response_may_refer_to_items():
    data = [{"type": "item_reference", "id": "i"}, message("user", text("x"), id="u")]
    first, second = read_input(data, PCM)
    assert first == Reference("i")
    assert (second.id, second.parts) == ("u", ("x",))


@pytest.mark.parametrize(
    ("data", "param"),
    [
        ([{"type": "item_reference"}], "response.input[0].id"),
        ([{"type": "item_reference", "id": 5}], "response.input[0].id"),
        ([message("user", text("x")), {"type": "dance"}], "response.input[1].type"),
        ([message("user", text(5))], "response.input[0].content[0].text"),
        ([message("user", text("x"))] * (MAX_INPUT + 1), "response.input"),
    ],
)
def test_a_bad_input_of_a_response_is_refused_by_name(data, param):
    with pytest.raises(BadEvent) as error:
        read_input(data, PCM)
    assert error.value.param == param


# ---- as we write them ---------------------------------------------------------------------------


def validate(item: dict) -> None:
    """Check an item against the SDK, and that nothing in it is null but a transcript."""
    event = {"type": "conversation.item.done", "event_id": "e", "item": item}
    assert SDK.validate_python(event, strict=True).type == "conversation.item.done"
    assert None not in item.values()
    for part in item.get("content", []):
        assert {name for name, value in part.items() if value is None} <= {"transcript"}


@pytest.mark.parametrize(
    ("item", "role", "content"),
    [
        (SystemItem("i", "Be kind."), "system", [text("Be kind.")]),
        (UserItem("i", ("Hi",)), "user", [text("Hi")]),
        (spoken("i"), "user", [{"type": "input_audio", "transcript": None}]),
        (
            UserItem(
                "i",
                ("Look:", Clip("k", np.zeros(9, np.int16)), Clip("l", np.zeros(9, np.int16))),
                "hm",
            ),
            "user",
            [
                text("Look:"),
                {"type": "input_audio", "transcript": "hm"},
                {"type": "input_audio", "transcript": None},
            ],
        ),
        (
            Answer("i", 1, [((1,), "It "), ((2,), "is")]),
            "assistant",
            [text("It is", "output_text")],
        ),
    ],
)
def test_items_are_shown_in_their_shape(item, role, content):
    shown = show_item(item)
    assert shown == {
        "id": "i",
        "object": "realtime.item",
        "type": "message",
        "status": "completed",
        "role": role,
        "content": content,
    }
    validate(shown)


@pytest.mark.parametrize("format", [USUAL, PCM, ULAW, AudioFormat("alaw", 8_000)])
def test_an_item_with_audio_can_be_put_back(format):
    item = spoken("i", 0.5, "What is it?")
    shown = show_item(item, format=format)
    validate(shown)
    draft = read_item(shown, format)
    assert (draft.id, draft.parts[1]) == ("i", "What is it?")
    error = draft.parts[0].astype(int) - item.clips[0].pcm
    assert np.sqrt((error[500:-500] ** 2).mean()) < 250
    assert draft.parts[0].size == 8_000


@pytest.mark.parametrize(
    "item", [SystemItem("i", "x"), Answer("i", 1, [((), "x")]), OtherItem("i", MCP[0])]
)
def test_items_without_audio_can_be_put_back(item):
    shown = show_item(item)
    draft = read_item(shown, PCM)
    assert draft.id == "i"
    assert getattr(draft, "text", "x") == "x"


def test_where_the_audio_stands_in_an_item():
    clip = Clip("k", np.zeros(9, np.int16))
    assert spoken_index(UserItem("i", ("a", "b", clip, clip))) == 2
    assert spoken_index(UserItem("i", ("a",))) == 0
    assert spoken_index(SystemItem("i", "a")) == 0


def test_an_item_may_have_64_parts_and_a_response_256_items():
    assert (MAX_CONTENT, MAX_INPUT) == (64, 256)
    assert len(read_item(message("user", *[text("x")] * 64), PCM).parts) == 64
    assert len(read_input([message("user", text("x"))] * 256, PCM)) == 256


KEPT = [
    *MCP,
    {"type": "function_call", "name": "f", "arguments": "{}"},
    {"type": "function_call_output", "call_id": "c", "output": "5"},
]


@pytest.mark.parametrize("item", KEPT, ids=lambda item: item["type"])
def test_what_is_kept_has_all_that_it_must_have(item):
    read_item(item, PCM)
    for field in item.keys() - {"type"}:
        rest = {name: value for name, value in item.items() if name != field}
        with pytest.raises(BadEvent) as error:
            read_item(rest, PCM, "response.input[0]")
        assert error.value.param == f"response.input[0].{field}"
        assert error.value.reason == "missing_required_parameter"


def test_other_types_are_told_which_there_are():
    with pytest.raises(BadEvent) as error:
        read_item({"type": "dance"}, PCM)
    for item in KEPT:
        assert item["type"] in str(error.value)
    assert str(error.value).startswith("There are items of type message, ")


@pytest.mark.parametrize("parts", [1, 2])
def test_the_last_sample_of_five_minutes_is_taken_and_one_more_is_not(parts):
    size = 2 * 16_000 * 300 // parts
    clips = [audio(bytes(size)) for _ in range(parts)]
    assert sum(len(part) for part in read_item(message("user", *clips), PCM).parts) == 4_800_000
    clips[-1] = audio(bytes(size + 2))
    with pytest.raises(BadEvent, match="300 seconds of audio") as error:
        read_item(message("user", *clips), PCM)
    assert error.value.param == (f"{CONTENT}[0].audio" if parts == 1 else CONTENT)


@pytest.mark.parametrize("format", [USUAL, PCM, ULAW, AudioFormat("alaw", 8_000)])
def test_a_recording_that_is_too_long_is_not_read(format):
    class Unread:
        def __len__(self) -> int:
            return 300 * format.second + 1

    with pytest.raises(BadEvent, match="300 seconds of audio") as error:
        read_audio(Unread(), format, "x")
    assert error.value.param == "x"


def test_what_was_written_and_said_is_counted_together():
    half = "x" * 8_192
    read_item(message("user", text(half), audio(b"", transcript=half)), PCM)
    with pytest.raises(BadEvent, match="16384 bytes of UTF-8; it has 16385"):
        read_item(message("user", text(half + "x"), audio(b"", transcript=half)), PCM)


def test_the_transcript_is_that_of_the_first_recording_that_has_one():
    item = message("user", audio(b""), audio(b"", transcript="a"), audio(b"", transcript="b"))
    assert read_item(item, PCM).transcript == "a"


@pytest.mark.parametrize("status", ["in_progress", "completed", "incomplete"])
def test_an_item_is_shown_with_its_status(status):
    for item in (SystemItem("i", "x"), spoken("i"), Answer("i", 1), OtherItem("i", KEPT[0])):
        assert show_item(item, status=status)["status"] == status


def test_of_an_answer_nothing_may_be_there_yet():
    assert show_answer("i", None, "in_progress")["content"] == []
    assert show_answer("i", "", "completed")["content"] == [text("", "output_text")]
