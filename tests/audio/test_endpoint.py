"""The endpointer against scripts of speech and silence, frame by frame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from realtime.audio.endpoint import (
    Continued,
    Ended,
    EndpointConfig,
    Endpointer,
    EndpointEvent,
    Paused,
    Resumed,
    Started,
    Utterance,
)
from realtime.audio.pcm import FRAME, SAMPLE_RATE, Pcm

MS = SAMPLE_RATE // 1000
DEFAULT = EndpointConfig()
SHORT = EndpointConfig(window_s=2.0)
MANUAL = EndpointConfig(automatic=False, window_s=2.0)


class ScriptedVad:
    """Answer frame by frame from a script, then silence."""

    def __init__(self, script: Iterable[int]) -> None:
        self.script = iter(script)
        self.calls = 0

    def __call__(self, frame: Pcm) -> int:
        assert frame.shape == (FRAME,)
        self.calls += 1
        return next(self.script, False)

    def reset(self) -> None:
        raise AssertionError("the endpointer never needs a reset")


def script(*spans: tuple[int, int]) -> list[int]:
    """Spell out (speech?, milliseconds) spans in frames of 20 ms."""
    return [speech for speech, ms in spans for _ in range(ms // 20)]


def ramp(samples: int) -> Pcm:
    """Make audio in which every sample tells its own position (modulo 65536)."""
    return np.arange(samples).astype(np.int16)


def run(
    frames: Sequence[int], config: EndpointConfig = DEFAULT, audio: Pcm | None = None
) -> list[EndpointEvent]:
    audio = ramp(len(frames) * FRAME) if audio is None else audio
    return Endpointer(ScriptedVad(frames), config).push(audio)


def kinds(events: Iterable[EndpointEvent]) -> list[str]:
    return [type(event).__name__ for event in events]


def utterances(events: Iterable[EndpointEvent]) -> list[Utterance]:
    """List what was finally handed over."""
    return [event.utterance for event in events if isinstance(event, Continued | Ended)]


SPEAK_ONCE = script((False, 1000), (True, 600), (False, 1000))


# --- one utterance


def test_one_utterance_from_prefix_to_tail():
    events = run(SPEAK_ONCE)
    start, end = (1000 - 300) * MS, (1600 + 200) * MS
    whole = Utterance(start, end, ramp(len(SPEAK_ONCE) * FRAME)[start:end])
    assert events == [Started(1000 * MS), Paused(whole), Ended(whole)]


def test_decisions_fall_when_they_are_due():
    """Started after min_speech, Paused after pause, Ended after hangover; not a frame later."""
    endpointer = Endpointer(ScriptedVad(SPEAK_ONCE), DEFAULT)
    due = {}
    for frame in np.split(ramp(len(SPEAK_ONCE) * FRAME), len(SPEAK_ONCE)):
        for event in endpointer.push(frame):
            due[type(event)] = endpointer.position // MS
    assert due == {Started: 1000 + 80, Paused: 1600 + 200, Ended: 1600 + 500}


def test_the_hangover_does_not_change_the_utterance():
    ends = [run(SPEAK_ONCE, replace(DEFAULT, hangover_ms=ms))[-1] for ms in (200, 500, 1000)]
    assert ends[0] == ends[1] == ends[2]


def test_paused_and_ended_are_the_same_object():
    _, paused, ended = run(SPEAK_ONCE)
    assert isinstance(paused, Paused)
    assert isinstance(ended, Ended)
    assert paused.utterance is ended.utterance


def test_an_utterance_cannot_be_changed_by_who_reads_it():
    ended = run(SPEAK_ONCE)[-1]
    assert isinstance(ended, Ended)
    with pytest.raises(ValueError, match="read-only"):
        ended.utterance.pcm[0] = 1


def test_reusing_the_pushed_array_does_not_change_the_utterance():
    endpointer = Endpointer(ScriptedVad(SPEAK_ONCE), DEFAULT)
    array = np.empty(500, np.int16)
    events: list[EndpointEvent] = []
    audio = ramp(len(SPEAK_ONCE) * FRAME)
    for at in range(0, audio.size - 500, 500):
        array[:] = audio[at : at + 500]
        events += endpointer.push(array)
        array[:] = -1
    assert utterances(events) == utterances(run(SPEAK_ONCE))


def test_speech_at_the_very_beginning_has_what_prefix_there_is():
    (utterance,) = utterances(run(script((False, 100), (True, 200), (False, 600))))
    assert utterance.start == 0


def test_silence_tells_nothing():
    assert run(script((False, 60_000))) == []


def test_no_audio_tells_nothing():
    assert Endpointer(ScriptedVad([]), DEFAULT).push(np.empty(0, np.int16)) == []


# --- minimum speech


@pytest.mark.parametrize("ms", [20, 40, 60])
def test_a_click_is_no_speech(ms: int):
    assert run(script((False, 500), (True, ms), (False, 2000))) == []


def test_many_clicks_are_no_speech():
    assert run(script((False, 500), *[(True, 40), (False, 120)] * 50)) == []


def test_a_short_no_is_speech():
    events = run(script((False, 500), (True, 80), (False, 600)))
    assert kinds(events) == ["Started", "Paused", "Ended"]


def test_a_flickering_onset_counts_from_its_first_frame():
    events = run(script((False, 500), (True, 20), (False, 40), (True, 60), (False, 600)))
    assert events[0] == Started(500 * MS)


# --- speech recognised late


def test_speech_recognised_late_began_where_the_vad_says():
    """At 600 ms the model says: this and the five frames before."""
    frames = [*script((False, 600)), 6, *script((True, 200), (False, 600))]
    events = run(frames)
    assert events[0] == Started(500 * MS)
    assert utterances(events)[0].start == 200 * MS


def test_what_is_dated_back_does_not_count_as_minimum_speech():
    assert run([*script((False, 600)), 20, *script((False, 600))]) == []


def test_nothing_is_dated_back_before_the_beginning():
    events = run([99, *script((True, 200), (False, 600))])
    assert events[0] == Started(0)


def test_nothing_is_dated_back_into_the_previous_utterance():
    frames = script((True, 400), (False, 500))
    events = run([*frames, 40, *script((True, 200), (False, 600))])
    first, second = utterances(events)
    assert first.end == second.start == 600 * MS
    assert [event.at for event in events if isinstance(event, Started)] == [0, 600 * MS]


def test_a_resumption_is_dated_back_to_the_pause_at_most():
    frames = [*script((True, 400), (False, 300)), 40, *script((True, 200), (False, 600))]
    events = run(frames)
    assert kinds(events) == ["Started", "Paused", "Resumed", "Paused", "Ended"]
    assert events[2] == Resumed(400 * MS)


# --- pause and resume


def test_speech_after_a_pause_resumes_the_utterance():
    frames = script((False, 400), (True, 400), (False, 300), (True, 200), (False, 600))
    events = run(frames)
    assert kinds(events) == ["Started", "Paused", "Resumed", "Paused", "Ended"]
    assert events[2] == Resumed(1100 * MS)
    assert utterances(events) == [Utterance(100 * MS, 1500 * MS, ramp(48_000)[1600:24_000])]


def test_a_gap_shorter_than_the_pause_is_no_pause():
    frames = script((True, 400), (False, 180), (True, 400), (False, 600))
    assert kinds(run(frames)) == ["Started", "Paused", "Ended"]


def test_a_click_in_the_pause_neither_resumes_nor_delays():
    quiet = script((True, 400), (False, 600))
    click = script((True, 400), (False, 460), (True, 20), (False, 120))
    assert run(quiet) == run(click)


def test_speech_that_resumes_as_the_hangover_ends_is_not_cut_in_two():
    frames = script((True, 400), (False, 480), (True, 40), (False, 20), (True, 200), (False, 600))
    events = run(frames)
    assert kinds(events) == ["Started", "Paused", "Resumed", "Paused", "Ended"]
    assert utterances(events)[0].end == (1140 + 200) * MS


def test_pause_as_long_as_the_hangover_ends_at_once():
    config = replace(DEFAULT, pause_ms=500)
    assert kinds(run(SPEAK_ONCE, config)) == ["Started", "Paused", "Ended"]


def test_quick_following_speech_loses_nothing():
    frames = script((True, 400), (False, 520), (True, 400), (False, 600))
    first, second = utterances(run(frames))
    assert first.end == 600 * MS
    assert second.start == (920 - 300) * MS
    tight = utterances(run(frames, replace(DEFAULT, prefix_padding_ms=1000)))
    assert tight[1].start == tight[0].end  # never the same sample twice


# --- the window


def test_a_monologue_is_handed_over_in_parts_that_join():
    audio = ramp(600 * SAMPLE_RATE)
    endpointer = Endpointer(ScriptedVad([True] * 30_000), DEFAULT)
    events: list[EndpointEvent] = []
    retained = 0
    for at in range(0, audio.size, 3200):
        events += endpointer.push(audio[at : at + 3200])
        retained = max(retained, len(endpointer.frames))
    events += endpointer.commit()
    parts = utterances(events)
    assert kinds(events) == ["Started", *["Continued"] * (len(parts) - 1), "Ended"]
    assert len(parts) in (20, 21, 22)
    assert (parts[0].start, parts[-1].end) == (0, audio.size)
    assert all(left.end == right.start for left, right in pairwise(parts))
    assert all(28 * SAMPLE_RATE <= part.pcm.size <= 30 * SAMPLE_RATE for part in parts[:-1])
    assert np.array_equal(np.concatenate([part.pcm for part in parts]), audio)
    assert retained <= 30 * 50 + 1


def test_a_full_window_is_cut_where_it_is_quietest():
    audio = np.full(40 * SAMPLE_RATE, 1000, np.int16)
    audio[29 * SAMPLE_RATE : 29 * SAMPLE_RATE + FRAME] = 10
    audio[27 * SAMPLE_RATE : 27 * SAMPLE_RATE + FRAME] = 0  # too early to be chosen
    part = utterances(run([True] * 2000, audio=audio))[0]
    assert part.end == 29 * SAMPLE_RATE + FRAME // 2


def test_loud_frames_are_compared_without_overflow():
    audio = np.full(40 * SAMPLE_RATE, -32768, np.int16)
    audio[29 * SAMPLE_RATE : 29 * SAMPLE_RATE + FRAME] = 3000
    part = utterances(run([True] * 2000, audio=audio))[0]
    assert part.end == 29 * SAMPLE_RATE + FRAME // 2


def test_a_tail_never_exceeds_the_window():
    """Speech just fills the window; the tail beyond it is for whatever comes next."""
    events = run(script((True, 2000), (False, 1000)), SHORT)
    assert kinds(events) == ["Started", "Paused", "Ended"]
    assert utterances(events)[0].end == 2000 * MS


def test_minutes_of_silence_retain_one_window():
    endpointer = Endpointer(ScriptedVad([]), DEFAULT)
    second = ramp(SAMPLE_RATE)
    for _ in range(300):
        assert endpointer.push(second) == []
    assert len(endpointer.frames) == 30 * 50
    (ended,) = endpointer.commit()
    assert isinstance(ended, Ended)
    assert (ended.utterance.start, ended.utterance.end) == (270 * 16_000, 300 * 16_000)


# --- commit


def committed(
    frames: list[int], extra: int = 0, config: EndpointConfig = DEFAULT
) -> list[EndpointEvent]:
    """Push the frames and some samples of the next one, then commit."""
    audio = ramp(len(frames) * FRAME + extra)
    endpointer = Endpointer(ScriptedVad(frames), config)
    return endpointer.push(audio) + endpointer.commit()


def test_commit_in_speech_takes_everything_received():
    events = committed(script((False, 1000), (True, 500)), extra=123)
    assert kinds(events) == ["Started", "Ended"]
    assert utterances(events)[0] == Utterance(11_200, 24_123, ramp(24_123)[11_200:])


def test_commit_in_silence_ends_at_the_tail():
    events = committed(script((True, 500), (False, 300)), extra=100)
    assert kinds(events) == ["Started", "Paused", "Ended"]
    assert utterances(events)[0].end == 700 * MS


def test_commit_before_the_tail_is_full_takes_what_there_is():
    events = committed(script((True, 500), (False, 100)), extra=7)
    assert utterances(events)[0].end == 600 * MS + 7


def test_commit_while_speech_resumes_takes_it_in():
    events = committed(script((True, 500), (False, 300), (True, 40)))
    assert kinds(events) == ["Started", "Paused", "Resumed", "Ended"]
    assert utterances(events)[0].end == 840 * MS


def test_commit_without_speech_takes_everything_retained():
    events = committed(script((False, 1000)), extra=5)
    assert events == [Ended(Utterance(0, 16_005, ramp(16_005)))]


def test_commit_takes_a_sound_too_short_to_be_speech():
    assert kinds(committed(script((False, 200), (True, 60)))) == ["Ended"]


def test_commit_of_nothing_is_nothing():
    endpointer = Endpointer(ScriptedVad([]), DEFAULT)
    assert endpointer.commit() == []
    endpointer.push(ramp(1000))
    assert kinds(endpointer.commit()) == ["Ended"]
    assert endpointer.commit() == []
    assert not endpointer.speaking


def test_commit_after_an_utterance_takes_only_what_came_after_it():
    endpointer = Endpointer(ScriptedVad(SPEAK_ONCE), DEFAULT)
    (first,) = utterances(endpointer.push(ramp(len(SPEAK_ONCE) * FRAME)))
    (second,) = utterances(endpointer.commit())
    assert (second.start, second.end) == (first.end, endpointer.position)


def test_speech_over_a_commit_starts_again_without_overlap():
    endpointer = Endpointer(ScriptedVad([True] * 200), DEFAULT)
    (first,) = utterances(endpointer.push(ramp(10_000)) + endpointer.commit())
    events = endpointer.push(ramp(10_000))
    assert first.end == 10_000
    assert events == [Started(10_000)]
    assert utterances(endpointer.commit())[0].start == 10_000


# --- clear


def test_clear_drops_the_open_utterance():
    endpointer = Endpointer(ScriptedVad(script((True, 500), (False, 2000))), DEFAULT)
    endpointer.push(ramp(500 * MS))
    assert endpointer.speaking
    endpointer.clear()
    assert not endpointer.speaking
    assert endpointer.push(ramp(2000 * MS)) == []


def test_clear_drops_what_is_retained():
    endpointer = Endpointer(ScriptedVad([]), DEFAULT)
    endpointer.push(ramp(5_001))
    endpointer.clear()
    assert endpointer.commit() == []
    endpointer.push(ramp(100))
    (utterance,) = utterances(endpointer.commit())
    assert (utterance.start, utterance.end) == (5_001, 5_101)


def test_clear_bounds_the_next_prefix():
    endpointer = Endpointer(ScriptedVad(script((False, 500), (True, 500))), DEFAULT)
    endpointer.push(ramp(450 * MS))
    endpointer.clear()
    assert endpointer.push(ramp(550 * MS)) == [Started(500 * MS)]
    assert utterances(endpointer.commit())[0].start == 450 * MS


def test_clear_forgets_speech_not_yet_believed():
    endpointer = Endpointer(ScriptedVad(script((True, 60), (False, 20), (True, 60))), DEFAULT)
    endpointer.push(ramp(60 * MS))
    endpointer.clear()
    assert endpointer.push(ramp(80 * MS)) == []


# --- manual turns


def test_manual_turns_never_ask_the_vad():
    vad = ScriptedVad([True] * 1000)
    endpointer = Endpointer(vad, MANUAL)
    assert endpointer.push(ramp(7)) == [Started(0)]
    assert endpointer.push(ramp(20_000)) == []
    assert utterances(endpointer.commit()) == [
        Utterance(0, 20_007, np.concatenate((ramp(7), ramp(20_000))))
    ]
    assert vad.calls == 0


def test_manual_turns_start_anew_after_commit_and_clear():
    endpointer = Endpointer(ScriptedVad([]), MANUAL)
    endpointer.push(ramp(1000))
    endpointer.commit()
    assert endpointer.push(ramp(1)) == [Started(1000)]
    endpointer.clear()
    assert endpointer.commit() == []
    assert endpointer.push(ramp(1)) == [Started(1001)]


def test_manual_turns_continue_when_the_window_is_full():
    endpointer = Endpointer(ScriptedVad([]), MANUAL)
    audio = ramp(5 * SAMPLE_RATE + 11)
    events = endpointer.push(audio) + endpointer.commit()
    assert set(kinds(events)) == {"Started", "Continued", "Ended"}
    assert np.array_equal(np.concatenate([u.pcm for u in utterances(events)]), audio)


def test_manual_commit_just_past_the_window_loses_nothing():
    endpointer = Endpointer(ScriptedVad([]), MANUAL)
    audio = ramp(2 * SAMPLE_RATE + 11)
    events = endpointer.push(audio) + endpointer.commit()
    assert kinds(events) == ["Started", "Continued", "Ended"]
    assert np.array_equal(np.concatenate([u.pcm for u in utterances(events)]), audio)


# --- settings


@pytest.mark.parametrize(
    ("settings_", "text"),
    [
        ({"tail_ms": 300}, "tail_ms"),
        ({"tail_ms": -1}, "tail_ms"),
        ({"pause_ms": 600}, "pause_ms"),
        ({"pause_ms": 0, "tail_ms": 0}, "pause_ms"),
        ({"hangover_ms": 10**6}, "hangover_ms"),
        ({"min_speech_ms": 0}, "min_speech_ms"),
        ({"prefix_padding_ms": -1}, "prefix_padding_ms"),
        ({"window_s": 0.5}, "window_s"),
        ({"window_s": 30.02}, "encoder"),
        ({"window_s": float("nan")}, "window_s"),
        ({"window_s": float("inf")}, "window_s"),
    ],
)
def test_settings_are_validated_at_birth(settings_: dict[str, float], text: str):
    with pytest.raises(ValueError, match=text):
        EndpointConfig(**settings_)  # type: ignore[arg-type]


# --- invariants over random scripts, cuts and commands

COUNTS = st.sampled_from([0, 1, 1, 3, 30])  # silence, speech, speech recognised late
SPANS = st.lists(
    st.tuples(COUNTS, st.integers(20, 1500).map(lambda ms: ms - ms % 20)), max_size=12
).map(lambda spans: script(*spans))
CONFIGS = st.builds(
    EndpointConfig,
    prefix_padding_ms=st.sampled_from([0, 50, 300]),
    min_speech_ms=st.sampled_from([20, 80, 150]),
    pause_ms=st.sampled_from([100, 210]),
    hangover_ms=st.sampled_from([210, 500]),
    tail_ms=st.sampled_from([0, 33, 100]),
    window_s=st.sampled_from([1.5, 2.0, 30.0]),
    automatic=st.booleans(),
)
COMMANDS = st.lists(
    st.tuples(st.sampled_from(["commit", "clear"]), st.integers(0, 200_000)), max_size=3
)
Command = tuple[str, int]


def drive(
    frames: list[int], config: EndpointConfig, commands: list[Command], cuts: list[int]
) -> list[EndpointEvent]:
    """Push the script's audio cut at the cuts, with commands at their sample positions."""
    audio = ramp(len(frames) * FRAME + 77)
    endpointer = Endpointer(ScriptedVad(frames), config)
    events: list[EndpointEvent] = []
    due = sorted((min(at, audio.size), verb) for verb, at in commands)
    places = sorted({0, audio.size, *(at for at, _ in due), *(c % (audio.size + 1) for c in cuts)})
    for left, right in pairwise([*places, audio.size]):
        for at, verb in due:
            if at == left and verb == "commit":
                events += endpointer.commit()
            elif at == left:
                endpointer.clear()
        events += endpointer.push(audio[left:right])
        assert endpointer.position == right
    return events


@settings(deadline=None, max_examples=150)
@given(SPANS, CONFIGS, COMMANDS, st.lists(st.integers(0, 2**20), max_size=40))
def test_events_do_not_depend_on_how_the_audio_was_cut(
    frames: list[int], config: EndpointConfig, commands: list[Command], cuts: list[int]
):
    assert drive(frames, config, commands, cuts) == drive(frames, config, commands, [])


@settings(deadline=None, max_examples=300)
@given(SPANS, CONFIGS, COMMANDS)
@example(script((True, 3000), (False, 400), (True, 3000), (False, 600)), SHORT, [])
def test_every_sample_is_handed_over_in_place_and_at_most_once(
    frames: list[int], config: EndpointConfig, commands: list[Command]
):
    audio = ramp(len(frames) * FRAME + 77)
    parts = utterances(drive(frames, config, commands, []))
    for part in parts:
        assert 0 < part.end - part.start == part.pcm.size <= config.window_s * SAMPLE_RATE
        assert part.pcm.dtype == np.int16
        assert np.array_equal(part.pcm, audio[part.start : part.end])
    assert all(left.end <= right.start for left, right in pairwise(parts))


@settings(deadline=None, max_examples=300)
@given(SPANS, CONFIGS, COMMANDS)
def test_events_follow_the_diagram(
    frames: list[int], config: EndpointConfig, commands: list[Command]
):
    commands = [command for command in commands if command[0] == "commit"]
    legal = {
        "idle": {Started: "speaking", Ended: "idle"},  # Ended: a commit without speech
        "speaking": {Paused: "paused", Continued: "speaking", Ended: "idle"},
        "paused": {Resumed: "speaking", Ended: "idle"},
    }
    state, onset, joint, frozen = "idle", 0, None, None
    for event in drive(frames, config, commands, []):
        previous, state = state, legal[state][type(event)]  # KeyError: an illegal move
        match event:
            case Started(at) | Resumed(at):
                onset = at
            case Paused(utterance):
                frozen = utterance
            case Continued(utterance) | Ended(utterance):
                if joint is not None:
                    assert utterance.start == joint
                if previous == "paused":
                    assert utterance == frozen
                if previous != "idle" and joint is None:
                    assert utterance.start <= onset or config.window_s < 30
                joint = utterance.end if isinstance(event, Continued) else None


@settings(deadline=None, max_examples=200)
@given(SPANS, st.sampled_from([0, 50, 300, 1000]))
def test_an_onset_is_never_clipped(frames: list[int], prefix: int):
    """All the padding there is: back to the previous end, or to the beginning."""
    events = run(frames, replace(DEFAULT, prefix_padding_ms=prefix))
    before = 0
    for event in events:
        if isinstance(event, Started):
            begin = max(before, event.at - prefix * MS)
        elif isinstance(event, Paused):
            assert event.utterance.start == begin
        elif isinstance(event, Ended):
            before = event.utterance.end


@settings(deadline=None, max_examples=200)
@given(SPANS)
def test_no_long_speech_is_left_out(frames: list[int]):
    """Any run of speech of the minimum length is inside what is handed over."""
    events = run([*frames, *[False] * 30])
    parts = utterances(events)
    for at in range(len(frames) - 3):
        if all(frames[at : at + 4]):
            position = at * FRAME
            assert any(p.start <= position and position + 4 * FRAME <= p.end for p in parts)


# --- settings that change


def test_a_longer_hangover_holds_for_what_is_being_said():
    endpointer = Endpointer(ScriptedVad(script((True, 400), (False, 2000))), DEFAULT)
    endpointer.push(ramp(700 * MS))
    endpointer.configure(replace(DEFAULT, hangover_ms=1000))
    assert kinds(endpointer.push(ramp(600 * MS))) == []
    assert kinds(endpointer.push(ramp(200 * MS))) == ["Ended"]


def test_between_automatic_and_manual_no_sample_is_lost_or_invented():
    audio = ramp(60 * SAMPLE_RATE)
    endpointer = Endpointer(ScriptedVad([False] * 5_000), SHORT)
    endpointer.push(audio[: 5 * SAMPLE_RATE])
    endpointer.configure(replace(SHORT, automatic=False))
    events = endpointer.push(audio[5 * SAMPLE_RATE : 6 * SAMPLE_RATE]) + endpointer.commit()
    parts = utterances(events)
    assert events[0] == Started(parts[0].start)
    assert parts[-1].end == 6 * SAMPLE_RATE
    assert all(left.end == right.start for left, right in pairwise(parts))
    assert all(np.array_equal(part.pcm, audio[part.start : part.end]) for part in parts)
    endpointer.push(audio[6 * SAMPLE_RATE : 7 * SAMPLE_RATE])
    endpointer.configure(SHORT)
    assert not endpointer.speaking
    (part,) = utterances(endpointer.commit())
    assert np.array_equal(part.pcm, audio[6 * SAMPLE_RATE : 7 * SAMPLE_RATE])


@given(st.integers(-(10**9), 10**9), st.integers(-(10**9), 10**9), st.booleans())
def test_any_wish_gives_settings_that_can_be_kept(hangover: int, prefix: int, automatic: bool):
    config = SHORT.adjusted(automatic=automatic, hangover_ms=hangover, prefix_padding_ms=prefix)
    assert config.automatic == automatic
    assert config == config.adjusted(automatic=automatic)


# --- bounds, to the millisecond and to the frame


@pytest.mark.parametrize(
    ("setting", "least", "most"),
    [("prefix_padding_ms", 0, 5_000), ("min_speech_ms", 20, 1_000), ("hangover_ms", 200, 60_000)],
)
def test_a_setting_may_be_at_its_bound_and_not_beyond(setting: str, least: int, most: int):
    for value in (least, most):
        assert getattr(replace(DEFAULT, **{setting: value}), setting) == value
    for value in (least - 1, most + 1):
        with pytest.raises(ValueError, match="must"):
            replace(DEFAULT, **{setting: value})


def test_tail_pause_and_hangover_may_be_alike():
    for ms in (20, 60_000):
        EndpointConfig(tail_ms=ms, pause_ms=ms, hangover_ms=ms)
    EndpointConfig(tail_ms=0, pause_ms=20, hangover_ms=20)
    with pytest.raises(ValueError, match="pause_ms must be at least 20"):
        EndpointConfig(tail_ms=0, pause_ms=19, hangover_ms=20)
    for wrong in ({"tail_ms": 21}, {"hangover_ms": 19}, {"tail_ms": -1}):
        with pytest.raises(ValueError, match="tail_ms <= pause_ms <= hangover_ms"):
            EndpointConfig(**{"tail_ms": 20, "pause_ms": 20, "hangover_ms": 20} | wrong)


def test_a_window_holds_twice_the_padding_and_four_times_the_minimum():
    assert EndpointConfig(window_s=0.92).window_s == 0.92
    with pytest.raises(ValueError, match="window_s must hold twice"):
        EndpointConfig(window_s=0.9199)
    assert EndpointConfig(window_s=30).window_s == 30
    with pytest.raises(ValueError, match="at most 30"):
        EndpointConfig(window_s=30.001)


def test_the_settings_are_these_unless_others_are_given():
    assert EndpointConfig(300, 80, 200, 500, 200, 30.0, True) == DEFAULT


@pytest.mark.parametrize(
    ("hangover", "prefix", "wanted"),
    [
        (None, None, {}),
        (1_000, 400, {"hangover_ms": 1_000, "prefix_padding_ms": 400}),
        (150, None, {"hangover_ms": 150, "pause_ms": 150, "tail_ms": 150}),
        (0, 0, {"hangover_ms": 20, "pause_ms": 20, "tail_ms": 20, "prefix_padding_ms": 0}),
        (70_000, -1, {"hangover_ms": 60_000, "prefix_padding_ms": 0}),
        (None, 9_000, {"prefix_padding_ms": 5_000}),
    ],
)
def test_a_wish_is_moved_to_the_nearest_that_can_be(
    hangover: int | None, prefix: int | None, wanted: dict[str, int]
):
    wished = DEFAULT.adjusted(automatic=False, hangover_ms=hangover, prefix_padding_ms=prefix)
    assert wished == replace(DEFAULT, automatic=False, **wanted)


@pytest.mark.parametrize(("window", "room"), [(2.0, 840), (10.0, 4_840), (11.0, 5_000)])
def test_the_padding_has_half_the_window_less_twice_the_minimum(window: float, room: int):
    config = replace(DEFAULT, window_s=window)
    wished = config.adjusted(automatic=True, prefix_padding_ms=100_000)
    assert wished.prefix_padding_ms == room


def test_utterances_are_alike_by_place_and_by_sound():
    one = Utterance(5, 8, ramp(3))
    assert one == Utterance(5, 8, ramp(3))
    assert hash(one) == hash(Utterance(5, 8, ramp(3)))
    assert one not in (Utterance(5, 8, ramp(3) + 1), Utterance(4, 7, ramp(3)), "something else")
    assert Started(5).start == 0
    assert Started(5, 3) == Started(5, 4)


@pytest.mark.parametrize(
    ("frames", "onset"),
    [
        ([1, 0, 0, 0, 0, 1, 1, 1], 0),
        ([1, 0, 0, 0, 0, 0, 1, 1, 1], None),
        ([1, 0, 0, 0, 0, 0, 1, 0, 1, 1, 1], 6),
        ([1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1], 11),
    ],
)
def test_min_speech_comes_within_twice_its_time(frames: list[int], onset: int | None):
    started = [] if onset is None else [Started(onset * FRAME)]
    assert run(frames) == started


@pytest.mark.parametrize(("ms", "needed"), [(20, 1), (21, 2), (40, 2), (79, 4), (81, 5)])
def test_min_speech_is_counted_in_frames_begun(ms: int, needed: int):
    config = replace(DEFAULT, min_speech_ms=ms)
    assert run([1] * needed, config) == [Started(0)]
    assert run([1] * (needed - 1), config) == []


@pytest.mark.parametrize("ms", [200, 201, 220])
def test_a_pause_is_due_in_the_frame_in_which_it_is_full(ms: int):
    config = replace(DEFAULT, pause_ms=ms)
    frames = script((True, 400), (False, 200))
    assert kinds(run(frames, config)) == (["Started", "Paused"] if ms == 200 else ["Started"])
    assert kinds(run([*frames, 0], config)) == ["Started", "Paused"]


@pytest.mark.parametrize(("speech", "delayed"), [(20, False), (40, True), (60, True)])
def test_half_of_the_minimum_delays_the_end(speech: int, delayed: bool):
    frames = script((True, 400), (False, 480 - speech), (True, speech), (False, 20))
    assert kinds(run(frames)) == ["Started", "Paused", *([] if delayed else ["Ended"])]


@pytest.mark.parametrize(
    ("window", "first", "found"),
    [
        (30.0, 28.0, True),
        (30.0, 27.98, False),
        (30.0, 29.98, True),
        (2.0, 1.0, True),
        (2.0, 0.98, False),
        (2.0, 1.98, True),
    ],
)
def test_a_window_is_cut_in_its_last_two_seconds_or_its_second_half(
    window: float, first: float, found: bool
):
    audio = np.full(round((window + 1) * SAMPLE_RATE), 1_000, np.int16)
    at = round(first * SAMPLE_RATE)
    audio[at : at + FRAME] = 0
    events = run([True] * (audio.size // FRAME), replace(DEFAULT, window_s=window), audio)
    end = utterances(events)[0].end
    assert (end == at + FRAME // 2) is found
    if not found:
        assert end == round((window - min(2, window / 2)) * SAMPLE_RATE) + FRAME // 2


def test_a_window_that_is_just_full_is_not_cut():
    assert kinds(run([True] * 100, SHORT)) == ["Started"]
    assert kinds(run([True] * 101, SHORT)) == ["Started", "Continued"]
    for config in (SHORT, MANUAL):
        endpointer = Endpointer(ScriptedVad([True] * 100), config)
        events = endpointer.push(ramp(2 * SAMPLE_RATE)) + endpointer.commit()
        assert kinds(events) == ["Started", "Ended"]
        assert utterances(events)[0].end == 2 * SAMPLE_RATE


def test_no_more_is_retained_than_can_be_used():
    endpointer = Endpointer(ScriptedVad(script((False, 5_000), (True, 500), (False, 5_000))), SHORT)
    retained = []
    for _ in range(500):
        endpointer.push(ramp(FRAME))
        retained.append(len(endpointer.frames))
    assert retained[:100] == list(range(1, 101))
    assert set(retained[100:253]) == {100}
    assert retained[253] == 4 + 15  # the utterance is open: from its padding on
    assert retained[-1] == 100


def test_a_threshold_is_passed_on_where_one_is_given():
    asked: list[float] = []
    vad = ScriptedVad([])
    vad.demand = asked.append  # type: ignore[attr-defined]
    endpointer = Endpointer(vad, DEFAULT)
    endpointer.configure(DEFAULT)
    endpointer.configure(DEFAULT, 0.0)
    endpointer.configure(DEFAULT, 0.7)
    assert asked == [0.0, 0.7]


def test_what_was_half_heard_is_forgotten_with_the_way_of_deciding():
    endpointer = Endpointer(ScriptedVad(script((True, 60), (False, 20), (True, 60))), DEFAULT)
    endpointer.push(ramp(60 * MS))
    endpointer.configure(MANUAL)
    endpointer.configure(DEFAULT)
    assert endpointer.push(ramp(80 * MS)) == []
