"""The input buffer by itself: audio in, and what is told of speech in it."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.audio.ingest import AudioFormat
from realtime.protocols.openai.errors import BadEvent
from realtime.protocols.openai.input_buffer import InputBuffer
from realtime.protocols.openai.messages import MAX_AUDIO
from realtime.session.events import (
    AudioReceived,
    ClearAsked,
    CommitAsked,
    PeerInput,
    SilenceNoticed,
    SpeechStarted,
    SpeechStopped,
)

OURS = AudioFormat("s16le", 16_000)
USUAL = AudioFormat("s16le", 24_000)
STARTED = SpeechStarted(32_000, "item_U", 16_000)
STOPPED = SpeechStopped(48_000, 16_000, "item_U")


def samples(inputs: list[PeerInput]) -> list[int]:
    """Give the audio among these inputs."""
    pieces = [given.pcm for given in inputs if isinstance(given, AudioReceived)]
    return np.concatenate([np.empty(0, np.int16), *pieces]).tolist()


def told(buffer: InputBuffer, notice, *, manual: bool = False, asked: bool = False):
    return list(buffer.speech(notice, manual=manual, asked=asked))


def test_what_is_appended_is_heard_in_the_format_of_the_session():
    buffer = InputBuffer(OURS)
    assert samples([*buffer.append(b"\x01\x00\x02", manual=False)]) == [1]
    assert samples([*buffer.append(b"\x00", manual=False)]) == [2]


def test_a_stream_is_heard_as_it_comes_from_the_transport_whatever_the_format():
    buffer = InputBuffer(AudioFormat("mulaw", 8_000))
    assert samples([*buffer.stream(b"\x01\x00\x02\x00", manual=False)]) == [1, 2]


def test_more_than_15_mib_at_once_is_refused():
    buffer = InputBuffer(OURS)
    assert len(list(buffer.append(bytes(MAX_AUDIO), manual=False))) == -(-MAX_AUDIO // 32_000)
    with pytest.raises(BadEvent, match=f"{MAX_AUDIO} bytes of audio; this one has") as error:
        list(buffer.append(bytes(MAX_AUDIO + 1), manual=True))
    assert error.value.param == "audio"
    assert not buffer.appended


def test_a_commit_gives_what_is_held_and_forgets_half_a_sample():
    buffer = InputBuffer(USUAL)
    before = samples([*buffer.append(bytes(48_001), manual=False)])
    *rest, commit = buffer.commit()
    assert len(before) + len(samples(rest)) == 16_000
    assert commit == CommitAsked(respond=False)
    again = samples([*buffer.append(bytes(48_000), manual=False)])
    assert len(again) == len(before)


def test_what_follows_a_commit_begins_with_a_whole_sample():
    buffer = InputBuffer(OURS)
    list(buffer.append(b"\x01", manual=False))
    list(buffer.commit())
    assert samples([*buffer.append(b"\x02\x00", manual=False)]) == [2]


def test_a_clear_forgets_what_is_held():
    buffer = InputBuffer(OURS)
    list(buffer.append(b"\x01", manual=False))
    assert buffer.clear() == ClearAsked()
    assert samples([*buffer.append(b"\x02\x00", manual=False)]) == [2]


@pytest.mark.parametrize("way", ["append", "stream"])
def test_audio_that_is_pushed_to_talk_holds_the_format(way):
    buffer = InputBuffer(OURS)
    hear = getattr(buffer, way)
    list(hear(b"", manual=True))
    list(hear(b"\0\0", manual=False))
    buffer.change(USUAL)
    list(hear(b"\0\0", manual=True))
    list(hear(b"", manual=False))
    buffer.change(USUAL)  # it is that already
    with pytest.raises(BadEvent, match="commit or clear it first") as error:
        buffer.change(OURS)
    assert error.value.param == "session.audio.input.format"
    buffer.empty()
    buffer.change(OURS)
    assert samples([*buffer.append(b"\x01\x00", manual=False)]) == [1]


def test_so_does_speech_that_was_announced():
    buffer = InputBuffer(OURS)
    told(buffer, STARTED, manual=True)
    buffer.change(USUAL)
    told(buffer, STARTED)
    with pytest.raises(BadEvent):
        buffer.change(OURS)
    buffer.empty()
    buffer.change(OURS)


def test_a_format_that_stays_keeps_the_half_sample():
    buffer = InputBuffer(OURS)
    list(buffer.append(b"\x01", manual=False))
    buffer.change(AudioFormat("s16le", 16_000))
    assert samples([*buffer.append(b"\x02", manual=False)]) == [0x0201]


def test_speech_is_told_with_the_place_of_its_audio():
    buffer = InputBuffer(OURS)
    started = {"audio_start_ms": 1_000, "item_id": "item_U"}
    assert told(buffer, STARTED) == [("input_audio_buffer.speech_started", started)]
    stopped = {"audio_end_ms": 3_000, "item_id": "item_U"}
    assert told(buffer, STOPPED) == [("input_audio_buffer.speech_stopped", stopped)]


def test_who_pushes_a_button_is_not_told_of_speech_nor_is_who_ended_it():
    buffer = InputBuffer(OURS)
    assert told(buffer, STARTED, manual=True) == []
    assert told(buffer, STOPPED, manual=True) == []
    assert told(buffer, STOPPED, asked=True) == []


@pytest.mark.parametrize("manual", [False, True])
def test_silence_is_told_to_everybody(manual):
    span = {"audio_start_ms": 1_000, "audio_end_ms": 6_000, "item_id": "item_U"}
    notice = SilenceNoticed(16_000, 96_000, "item_U")
    (event,) = told(InputBuffer(OURS), notice, manual=manual)
    assert event == ("input_audio_buffer.timeout_triggered", span)
