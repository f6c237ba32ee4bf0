"""The session object: what may be set, how it merges, what it means for the turns."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from protocols.openai.wire import SDK

from realtime.engine.api import Sampling
from realtime.protocols.openai.errors import BadEvent
from realtime.protocols.openai.session import (
    MAX_SESSION,
    Defaults,
    default_session,
    hangover,
    merge,
    read_session,
    sampling,
    turn_settings,
    unless,
)
from realtime.protocols.openai.shapes import MAX_TOOLS
from realtime.session.settings import TurnSettings

DEFAULTS = Defaults()
DEFAULT = default_session(DEFAULTS)
SERVER_VAD = DEFAULT["audio"]["input"]["turn_detection"]


def update(*patches: dict, defaults: Defaults = DEFAULTS) -> dict:
    """Give the session after these updates; every one must be shown in the SDK's terms."""
    session = default_session(defaults)
    for patch in patches:
        session = merge(session, patch, defaults)
        event = {"type": "session.updated", "event_id": "e", "session": session}
        assert SDK.validate_python(event, strict=True).type == "session.updated"
    return session


def heard(**fields) -> dict:
    return {"audio": {"input": fields}}


def detection(*asked) -> dict | None:
    return update(*(heard(turn_detection=one) for one in asked))["audio"]["input"]["turn_detection"]


def meant_by(*patches: dict, defaults: Defaults = DEFAULTS) -> TurnSettings:
    return turn_settings(update(*patches, defaults=defaults), defaults)


def test_the_default_is_the_servers_own():
    assert turn_settings(DEFAULT, DEFAULTS) == TurnSettings()
    own = Defaults(hangover_ms=700, prefix_padding_ms=100, threshold=0.3, instructions="Be kind.")
    assert turn_settings(default_session(own), own) == TurnSettings()
    assert default_session(own)["instructions"] == "Be kind."


# ---- merging ------------------------------------------------------------------------------------


def test_an_empty_update_changes_nothing():
    assert update({}) == update({"type": "realtime"}) == DEFAULT


def test_only_what_is_present_changes():
    session = update({"instructions": "Be brief."}, heard(transcription={"model": "m"}))
    assert session["instructions"] == "Be brief."
    assert session["audio"]["input"] == {
        **DEFAULT["audio"]["input"],
        "transcription": {"model": "m"},
    }
    assert session["audio"]["output"] == DEFAULT["audio"]["output"]


def test_an_update_leaves_the_session_before_it_alone():
    before = default_session(DEFAULTS)
    merge(before, heard(turn_detection=None, format={"type": "audio/pcmu"}), DEFAULTS)
    assert before == DEFAULT


@pytest.mark.parametrize(
    ("first", "then"),
    [
        ({"instructions": "x"}, {"instructions": ""}),
        ({"instructions": "x"}, {"instructions": None}),
        ({"tools": [{"type": "function", "name": "f"}]}, {"tools": []}),
        ({"tools": [{"type": "function", "name": "f"}]}, {"tools": None}),
        ({"tool_choice": "none"}, {"tool_choice": None}),
        ({"max_output_tokens": 5}, {"max_output_tokens": None}),
        ({"max_output_tokens": 5}, {"max_output_tokens": "inf"}),
        ({"tracing": "auto"}, {"tracing": None}),
        ({"truncation": "disabled"}, {"truncation": None}),
        (heard(transcription={"model": "m"}), heard(transcription=None)),
        (heard(noise_reduction={"type": "near_field"}), heard(noise_reduction=None)),
        (heard(format={"type": "audio/pcmu"}), heard(format=None)),
        (heard(format={"type": "audio/pcmu"}), {"audio": None}),
        (heard(turn_detection=None), {"audio": {"input": None}}),
        (heard(turn_detection=None), heard(turn_detection={"type": "server_vad"})),
        ({"audio": {"output": {"voice": "x", "speed": 1.2}}}, {"audio": {"output": None}}),
    ],
)
def test_what_was_set_is_taken_back(first, then):
    assert update(first) != DEFAULT
    assert update(first, then) == DEFAULT


def test_turn_detection_off_is_not_turn_detection_absent():
    assert detection(None) is None
    assert update(heard(turn_detection=None), heard())["audio"]["input"]["turn_detection"] is None
    assert update(heard())["audio"]["input"]["turn_detection"] == SERVER_VAD


def test_fields_of_the_same_turn_detection_merge():
    asked = {"type": "server_vad", "threshold": 0.8}
    assert detection(asked, {"silence_duration_ms": 900}) == {
        **SERVER_VAD,
        "threshold": 0.8,
        "silence_duration_ms": 900,
    }
    assert detection(asked, {"type": "server_vad", "threshold": None}) == SERVER_VAD


def test_another_type_of_turn_detection_replaces_the_object():
    semantic = {
        "type": "semantic_vad",
        "eagerness": "auto",
        "create_response": True,
        "interrupt_response": True,
    }
    assert detection({"threshold": 0.8}, {"type": "semantic_vad"}) == semantic
    low = {"type": "semantic_vad", "eagerness": "low", "create_response": False}
    assert detection(low) == {**semantic, **low}
    assert detection(low, {"type": "server_vad"}) == SERVER_VAD
    assert detection(low, {"eagerness": None}) == {**semantic, "create_response": False}


def test_turn_detection_that_is_off_needs_a_type_to_come_back():
    with pytest.raises(BadEvent) as error:
        detection(None, {"threshold": 0.8})
    assert error.value.param == "session.audio.input.turn_detection.type"
    assert error.value.reason == "missing_required_parameter"


def test_a_format_is_replaced_as_a_whole():
    session = update(heard(format={"type": "audio/pcmu", "rate": 8_000}))
    assert session["audio"]["input"]["format"] == {"type": "audio/pcmu"}
    session = merge(session, heard(format={"type": "audio/pcm"}), DEFAULTS)
    assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 24_000}
    session = merge(session, heard(format={"type": "audio/pcm", "rate": 16_000}), DEFAULTS)
    assert session["audio"]["input"]["format"] == {"type": "audio/pcm", "rate": 16_000}


def test_what_only_we_can_say_is_passed_over():
    told = {"id": "x", "object": "x", "model": "gpt-realtime", "expires_at": 5, "resume": "x"}
    assert update(told) == DEFAULT


def test_what_is_kept_for_the_client_is_shown():
    kept = {
        "tracing": {"workflow_name": "w"},
        "truncation": {"type": "retention_ratio", "retention_ratio": 0.8},
        "prompt": {"id": "pmpt_1", "variables": {"city": "Paris"}},
        "include": ["item.input_audio_transcription.logprobs"],
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "tools": [{"type": "function", "name": "f", "parameters": {"type": "object"}}],
        "tool_choice": "required",
        "temperature": 0.8,
    }
    session = update(kept)
    assert {name: session[name] for name in kept} == kept


@pytest.mark.parametrize(
    "patch",
    [
        {"new": {"a": {"b": 1}}},
        {"threshold": 0.9},
        {"audio": {"new": 1}},
        heard(rate=8_000),
        heard(turn_detection={"type": "server_vad", "sensitivity": 3}),
        heard(transcription={"new": 1}) | heard(transcription=None),
        {"audio": {"output": {"new": 1}}},
    ],
)
def test_what_does_nothing_is_not_shown_as_if_it_did(patch):
    assert update(patch) == DEFAULT


def test_of_a_transcription_only_what_is_known_is_shown():
    session = update(heard(transcription={"model": "whisper-1", "new": 1}))
    assert session["audio"]["input"]["transcription"] == {"model": "whisper-1"}


@pytest.mark.parametrize(
    ("flat", "nested"),
    [
        ({"input_audio_format": "g711_ulaw"}, heard(format={"type": "audio/pcmu"})),
        ({"input_audio_format": "g711_alaw"}, heard(format={"type": "audio/pcma"})),
        ({"turn_detection": None}, heard(turn_detection=None)),
        (
            {"turn_detection": {"type": "server_vad", "silence_duration_ms": 900}},
            heard(turn_detection={"type": "server_vad", "silence_duration_ms": 900}),
        ),
        ({"input_audio_transcription": {"model": "w"}}, heard(transcription={"model": "w"})),
        ({"max_response_output_tokens": 7}, {"max_output_tokens": 7}),
        ({"voice": "ash", "speed": 1.2}, {"audio": {"output": {"voice": "ash", "speed": 1.2}}}),
        ({"modalities": ["text", "audio"]}, {"output_modalities": ["audio"]}),
    ],
)
def test_flat_fields_are_understood_as_the_beta_meant_them(flat, nested):
    assert update(flat) == update(nested)
    assert update({**flat, **nested}) == update(nested), "the same may be said twice"


@pytest.mark.parametrize(
    ("patch", "param"),
    [
        ({"input_audio_format": "pcm24"}, "session.input_audio_format"),
        ({"input_audio_format": {"type": "audio/pcmu"}}, "session.input_audio_format"),
        ({"voice": "a", "audio": {"output": {"voice": "b"}}}, "session.voice"),
        (
            {"max_response_output_tokens": 5, "max_output_tokens": 6},
            "session.max_response_output_tokens",
        ),
    ],
)
def test_flat_fields_that_cannot_be_understood_are_refused_by_name(patch, param):
    with pytest.raises(BadEvent) as error:
        update(patch)
    assert error.value.param == param


def test_tool_choice_is_always_shown_as_a_word():
    assert update({"tool_choice": {"type": "function", "name": "f"}})["tool_choice"] == "required"


@pytest.mark.parametrize("asked", [["audio"], ["text"]])
def test_the_modalities_are_honest(asked):
    assert update({"output_modalities": asked})["output_modalities"] == ["text"]


@pytest.mark.parametrize(
    ("patch", "param"),
    [
        ({"type": "dance"}, "session.type"),
        ({"type": 5}, "session.type"),
        ({"model": 5}, "session.model"),
        ({"output_modalities": ["text", "audio"]}, "session.output_modalities"),
        ({"output_modalities": []}, "session.output_modalities"),
        ({"output_modalities": ["smell"]}, "session.output_modalities[0]"),
        ({"instructions": 5}, "session.instructions"),
        ({"instructions": "x" * 16_385}, "session.instructions"),
        ({"instructions": "é" * 8_193}, "session.instructions"),
        ({"tools": {}}, "session.tools"),
        ({"tools": [5]}, "session.tools[0]"),
        ({"tools": [{"type": "function"}]}, "session.tools[0].name"),
        ({"tools": [{"type": "mcp"}]}, "session.tools[0].server_label"),
        ({"tools": [{"type": "dance", "name": "f"}]}, "session.tools[0].type"),
        ({"tools": [{"type": "function", "name": "f"}] * (MAX_TOOLS + 1)}, "session.tools"),
        ({"tools": [{"type": "function", "name": "f" * 70_000}]}, "session.tools"),
        ({"tool_choice": "maybe"}, "session.tool_choice"),
        ({"max_output_tokens": 0}, "session.max_output_tokens"),
        ({"max_output_tokens": 4_097}, "session.max_output_tokens"),
        ({"max_output_tokens": "many"}, "session.max_output_tokens"),
        ({"max_output_tokens": True}, "session.max_output_tokens"),
        ({"max_output_tokens": 1.5}, "session.max_output_tokens"),
        ({"temperature": 2.1}, "session.temperature"),
        ({"tracing": "manual"}, "session.tracing"),
        ({"tracing": 5}, "session.tracing"),
        ({"truncation": "much"}, "session.truncation"),
        ({"truncation": {"type": "retention_ratio"}}, "session.truncation.retention_ratio"),
        ({"prompt": "pmpt"}, "session.prompt"),
        ({"prompt": {}}, "session.prompt.id"),
        ({"include": "x"}, "session.include"),
        ({"parallel_tool_calls": 1}, "session.parallel_tool_calls"),
        ({"audio": []}, "session.audio"),
        ({"audio": {"input": 5}}, "session.audio.input"),
        ({"audio": {"output": {"speed": 9}}}, "session.audio.output.speed"),
        ({"audio": {"output": {"voice": 5}}}, "session.audio.output.voice"),
        (heard(format="pcm16"), "session.audio.input.format"),
        (heard(format={}), "session.audio.input.format.type"),
        (heard(format={"type": "audio/opus"}), "session.audio.input.format.type"),
        (heard(format={"type": "audio/pcm", "rate": 44_100}), "session.audio.input.format.rate"),
        (heard(transcription="whisper-1"), "session.audio.input.transcription"),
        (heard(transcription={"model": 5}), "session.audio.input.transcription.model"),
        (heard(noise_reduction={"type": "x"}), "session.audio.input.noise_reduction.type"),
        *(
            (heard(turn_detection={name: value}), f"session.audio.input.turn_detection.{name}")
            for name, value in [
                ("type", "none"),
                ("threshold", -0.1),
                ("threshold", 1.1),
                ("threshold", "0.5"),
                ("prefix_padding_ms", -1),
                ("prefix_padding_ms", 5_001),
                ("silence_duration_ms", -1),
                ("silence_duration_ms", 60_001),
                ("silence_duration_ms", 2**70),
                ("idle_timeout_ms", 0),
                ("idle_timeout_ms", 600_001),
                ("create_response", "yes"),
                ("interrupt_response", 1),
            ]
        ),
        (
            heard(turn_detection={"type": "semantic_vad", "eagerness": "very"}),
            "session.audio.input.turn_detection.eagerness",
        ),
        (
            heard(turn_detection={"type": "semantic_vad", "idle_timeout_ms": 5_000}),
            "session.audio.input.turn_detection.idle_timeout_ms",
        ),
        ({"prompt": {"id": "x" * MAX_SESSION}}, "session"),
        ({"unheard": json.loads("[" * 40 + "]" * 40)}, "session"),
    ],
)
def test_what_cannot_be_is_refused_by_name(patch, param):
    with pytest.raises(BadEvent) as error:
        update(patch)
    assert error.value.param == param
    assert param in str(error.value) or "idle_timeout_ms" in str(error.value)


def test_a_session_cannot_grow_for_ever():
    session = DEFAULT
    with pytest.raises(BadEvent):  # noqa: PT012
        for large in (
            {"prompt": {"id": "x" * (MAX_SESSION // 3)}},
            {"tracing": {"group_id": "x" * (MAX_SESSION // 3)}},
            {"reasoning": {"effort": "x" * (MAX_SESSION // 3)}},
        ):
            session = merge(session, large, DEFAULTS)
    assert len(json.dumps(session)) <= MAX_SESSION


# ---- initial sessions ---------------------------------------------------------------------------


def test_an_initial_session_is_an_update_of_the_default():
    patch = {"type": "realtime", "model": "gpt-realtime", "instructions": "Be brief."}
    assert read_session(patch, DEFAULTS) == update(patch)
    assert read_session({}, DEFAULTS) == DEFAULT


def test_a_whole_session_object_may_be_given_back():
    session = update(
        heard(turn_detection={"type": "semantic_vad"}, transcription={"model": "m"}),
        {"max_output_tokens": 9, "tracing": "auto"},
    )
    assert read_session(session, DEFAULTS) == session


@pytest.mark.parametrize("data", [None, 5, [], "x"])
def test_an_initial_session_is_an_object(data):
    with pytest.raises(BadEvent) as error:
        read_session(data, DEFAULTS)
    assert error.value.param == "session"


# ---- what it means ------------------------------------------------------------------------------


def test_server_vad_with_all_its_parameters():
    asked = {
        "type": "server_vad",
        "threshold": 0.7,
        "prefix_padding_ms": 200,
        "silence_duration_ms": 800,
        "idle_timeout_ms": 6_000,
        "create_response": False,
        "interrupt_response": False,
    }
    assert meant_by(heard(turn_detection=asked)) == TurnSettings(
        hangover_ms=800,
        prefix_padding_ms=200,
        threshold=0.7,
        respond=False,
        interrupt=False,
        idle_ms=6_000,
    )


@pytest.mark.parametrize("respond", [True, False])
@pytest.mark.parametrize("interrupt", [True, False])
@pytest.mark.parametrize("kind", ["server_vad", "semantic_vad"])
def test_answering_and_interrupting_in_all_combinations(kind, respond, interrupt):
    asked = {"type": kind, "create_response": respond, "interrupt_response": interrupt}
    meant = meant_by(heard(turn_detection=asked))
    assert (meant.respond, meant.interrupt) == (respond, interrupt)
    assert meant.automatic


@pytest.mark.parametrize(
    ("eagerness", "server", "hangover"),
    [
        ("auto", 500, None),
        ("medium", 500, None),
        ("low", 500, 1_000),
        ("high", 500, 300),
        ("high", 30, 20),
        ("low", 40_000, 60_000),
    ],
)
def test_eagerness_stretches_the_servers_hangover(eagerness, server, hangover):
    asked = heard(turn_detection={"type": "semantic_vad", "eagerness": eagerness})
    assert meant_by(asked, defaults=Defaults(hangover_ms=server)).hangover_ms == hangover


def test_a_silence_too_short_for_the_endpointer_is_as_short_as_can_be_and_shown_so():
    asked = heard(turn_detection={"silence_duration_ms": 5})
    session = update(asked)
    assert session["audio"]["input"]["turn_detection"]["silence_duration_ms"] == 20
    assert turn_settings(session, DEFAULTS).hangover_ms == 20


def test_push_to_talk():
    assert meant_by(heard(turn_detection=None)) == TurnSettings(automatic=False, respond=False)


def test_the_system_prompt():
    assert meant_by({"instructions": "Be brief."}).instructions == "Be brief."
    own = Defaults(instructions="Be kind.")
    assert meant_by(defaults=own).instructions is None
    assert meant_by({"instructions": ""}, defaults=own).instructions == ""
    assert meant_by({"instructions": None}, defaults=own).instructions is None


def test_how_tokens_are_chosen():
    own = Defaults(sampling=Sampling(top_k=3, max_tokens=99))
    assert meant_by({"max_output_tokens": "inf"}, defaults=own).sampling is None
    asked = {"max_output_tokens": 7, "temperature": 0}
    wanted = Sampling(top_k=3, max_tokens=7, temperature=0.0)
    assert meant_by(asked, defaults=own).sampling == wanted


@pytest.mark.parametrize("asked", [{}, {"model": "gpt-4o-mini-transcribe", "language": "en"}])
def test_transcription_is_asked_for(asked):
    assert meant_by(heard(transcription=asked)).transcribe
    assert not meant_by(heard(transcription=asked), heard(transcription=None)).transcribe


def test_a_transcription_session_listens_and_says_nothing():
    meant = meant_by({"type": "transcription"})
    assert (meant.transcribe, meant.respond) == (True, False)


# ---- properties ---------------------------------------------------------------------------------

words = st.text("abé", max_size=3)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
detections = st.none() | st.fixed_dictionaries(
    {},
    optional={
        "type": st.sampled_from(["server_vad", "semantic_vad", None]),
        "threshold": st.none() | st.floats(0, 1),
        "silence_duration_ms": st.none() | st.integers(0, 60_000),
        "eagerness": st.sampled_from([None, "low", "high"]),
        "create_response": st.none() | st.booleans(),
    },
)
patches = st.fixed_dictionaries(
    {},
    optional={
        "instructions": st.none() | words,
        "max_output_tokens": st.none() | st.just("inf") | st.integers(1, 4_096),
        "tools": st.none() | st.just([]),
        "audio": st.none()
        | st.fixed_dictionaries(
            {},
            optional={
                "input": st.none()
                | st.fixed_dictionaries(
                    {},
                    optional={
                        "turn_detection": detections,
                        "transcription": st.none() | st.just({"model": "m"}),
                        "format": st.none() | st.just({"type": "audio/pcma"}),
                    },
                )
            },
        ),
        "unheard": json_values,
    },
)


@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(patches, max_size=4))
def test_whatever_is_taken_leaves_a_whole_session_that_means_something(given_patches):
    session = default_session(DEFAULTS)
    for patch in given_patches:
        with contextlib.suppress(BadEvent):  # turn detection that is off comes back by its type
            session = merge(session, patch, DEFAULTS)
        assert session.keys() >= DEFAULT.keys()
        assert session["audio"]["input"].keys() >= DEFAULT["audio"]["input"].keys()
        assert isinstance(turn_settings(session, DEFAULTS), TurnSettings)
        assert merge(session, patch_of(session), DEFAULTS) == session


def patch_of(session: dict) -> dict:
    return json.loads(json.dumps(session))


# ---- bounds and words ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("eagerness", "hangover_ms"), [("low", 1_000), ("medium", 500), ("auto", 500), ("high", 300)]
)
def test_eagerness_stretches_the_hangover(eagerness, hangover_ms):
    shown = detection({"type": "semantic_vad", "eagerness": eagerness})
    assert hangover(shown, DEFAULTS) == hangover_ms


def test_a_stretched_hangover_keeps_to_what_the_endpointer_can_do():
    low, high = ({"type": "semantic_vad", "eagerness": how} for how in ("low", "high"))
    assert hangover(low, Defaults(hangover_ms=40_000)) == 60_000
    assert hangover(high, Defaults(hangover_ms=50, min_hangover_ms=40)) == 40


@pytest.mark.parametrize(
    "field", ["id", "object", "model", "expires_at", "resume", "client_secret", "nonsense"]
)
def test_what_only_we_say_and_what_nobody_knows_changes_nothing(field):
    value = "x" if field == "model" else {"value": "x"}
    assert update({field: value}) == DEFAULT


@pytest.mark.parametrize(
    ("place", "first", "second"),
    [
        *(
            (
                ("audio", way, "format"),
                {"type": "audio/pcm", "rate": 16_000},
                {"type": "audio/pcm"},
            )
            for way in ("input", "output")
        ),
        (("audio", "input", "noise_reduction"), {"type": "near_field"}, {}),
        (("tracing",), {"workflow_name": "w"}, {"group_id": "g"}),
        (
            ("truncation",),
            {"type": "retention_ratio", "retention_ratio": 0.5, "token_limits": {"x": 1}},
            {"type": "retention_ratio", "retention_ratio": 0.8},
        ),
        (("truncation",), {"type": "retention_ratio", "retention_ratio": 0.5}, "disabled"),
        (("prompt",), {"id": "p", "version": "1"}, {"id": "p"}),
    ],
)
def test_some_objects_are_replaced_as_a_whole(place, first, second):
    def at(value):
        for name in reversed(place):
            value = {name: value}
        return value

    session = merge(merge(DEFAULT, at(first), DEFAULTS), at(second), DEFAULTS)
    for name in place:
        session = session[name]
    wanted = {"type": "audio/pcm", "rate": 24_000} if place[-1] == "format" else second
    assert session == wanted


@pytest.mark.parametrize(
    ("place", "first", "second", "both"),
    [
        (
            ("audio", "input", "transcription"),
            {"model": "m", "language": "en"},
            {"language": "de", "prompt": "p"},
            {"model": "m", "language": "de", "prompt": "p"},
        ),
        (("reasoning",), {"effort": "low"}, {}, {"effort": "low"}),
        (
            ("audio", "output"),
            {"voice": "ash"},
            {"speed": 1.5},
            {"format": {"type": "audio/pcm", "rate": 24_000}, "voice": "ash", "speed": 1.5},
        ),
        (
            ("audio",),
            {"input": {"transcription": {"model": "m"}}},
            {"output": {"voice": "ash"}},
            {
                "input": {**DEFAULT["audio"]["input"], "transcription": {"model": "m"}},
                "output": {**DEFAULT["audio"]["output"], "voice": "ash"},
            },
        ),
    ],
)
def test_other_objects_are_merged_field_by_field(place, first, second, both):
    session = DEFAULT
    for value in (first, second):
        for name in reversed(place):
            value = {name: value}
        session = merge(session, value, DEFAULTS)
    for name in place:
        session = session[name]
    assert session == both


def test_a_tool_that_is_to_be_called_is_shown_as_required():
    chosen = {"tool_choice": {"type": "function", "name": "f"}}
    assert merge(DEFAULT, chosen, DEFAULTS)["tool_choice"] == "required"
    assert update(chosen, chosen, {"tool_choice": "none"})["tool_choice"] == "none"


def test_a_session_has_at_most_128_kib():
    assert MAX_SESSION == 128 * 1024
    tools = [{"type": "function", "name": "f", "description": "x" * 60_000}]
    merge(DEFAULT, {"tools": tools}, DEFAULTS)
    prompt = {"id": "p", "variables": {"x": "y" * 71_500}}
    with pytest.raises(BadEvent, match="'session' may have 131072 bytes"):
        merge(DEFAULT, {"tools": tools, "prompt": prompt}, DEFAULTS)


@pytest.mark.parametrize(
    ("tool", "missing"),
    [
        ({"type": "function"}, "name"),
        ({"type": "function", "server_label": "s"}, "name"),
        ({"type": "mcp"}, "server_label"),
        ({"type": "mcp", "name": "f"}, "server_label"),
    ],
)
def test_a_tool_without_its_name_is_refused(tool, missing):
    good = {"type": "function", "name": "f"}
    with pytest.raises(BadEvent) as error:
        merge(DEFAULT, {"tools": [good, tool]}, DEFAULTS)
    assert error.value.param == f"session.tools[1].{missing}"
    assert error.value.reason == "missing_required_parameter"


def test_only_what_differs_from_the_servers_own_is_asked_for():
    assert unless(5, 5) is None
    assert unless(5, 6) == 6
    usual = Sampling(max_tokens=99, temperature=0.7)
    assert sampling({}, usual) is None
    assert sampling({"max_output_tokens": "inf", "temperature": None}, usual) is None
    assert sampling({"max_output_tokens": 5}, usual) == Sampling(max_tokens=5, temperature=0.7)
    assert sampling({"temperature": 0}, usual) == Sampling(max_tokens=99, temperature=0.0)


def test_the_servers_own_words_are_the_documented_ones():
    assert (DEFAULTS.hangover_ms, DEFAULTS.min_hangover_ms) == (500, 20)
    assert (DEFAULTS.prefix_padding_ms, DEFAULTS.threshold) == (300, 0.5)
    assert (DEFAULTS.voice, DEFAULTS.instructions) == ("marin", "")


def test_a_hangover_is_never_shorter_than_a_frame():
    for asked, shown in ((0, 20), (19, 20), (21, 21)):
        found = detection({"type": "server_vad", "silence_duration_ms": asked})
        assert found["silence_duration_ms"] == shown
