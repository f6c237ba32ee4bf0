"""The formats by OpenAI's names."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from realtime.audio.ingest import AudioFormat
from realtime.protocols.openai.errors import BadEvent
from realtime.protocols.openai.formats import (
    USUAL,
    FormatJson,
    read_format,
    read_recording,
    show_format,
)

NAMES = {
    USUAL: {"type": "audio/pcm", "rate": 24_000},
    AudioFormat("s16le", 16_000): {"type": "audio/pcm", "rate": 16_000},
    AudioFormat("s16le", 8_000): {"type": "audio/pcm", "rate": 8_000},
    AudioFormat("mulaw", 8_000): {"type": "audio/pcmu"},
    AudioFormat("alaw", 8_000): {"type": "audio/pcma"},
}


@pytest.mark.parametrize(("format", "name"), NAMES.items(), ids=str)
def test_formats_are_read_as_they_are_written(format, name):
    assert show_format(format) == name
    assert read_format(name) == format
    assert msgspec.convert(name, FormatJson).type == name["type"]


@pytest.mark.parametrize("name", [{"type": "audio/pcm"}, {"type": "audio/pcm", "rate": None}])
def test_pcm_without_a_rate_has_24_khz(name):
    assert read_format(name) == USUAL


@pytest.mark.parametrize("kind", ["audio/pcmu", "audio/pcma"])
def test_a_telephone_has_8_khz_whatever_is_said(kind):
    assert read_format({"type": kind, "rate": 24_000}).rate == 8_000


@pytest.mark.parametrize(
    "name", [{}, {"type": "audio/opus"}, {"type": "audio/pcm", "rate": 44_100}], ids=str
)
def test_there_are_no_other_formats(name):
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(name, FormatJson)


def test_a_recording_is_read_to_16_khz():
    sound = np.arange(-800, 800, dtype=np.int16)
    ours = AudioFormat("s16le", 16_000)
    np.testing.assert_array_equal(read_recording(ours.write(sound), ours, "audio"), sound)
    assert read_recording(bytes(48_000), USUAL, "audio").size == 16_000


def test_half_a_sample_at_the_end_of_a_recording_is_refused():
    with pytest.raises(BadEvent, match="odd size") as error:
        read_recording(b"\x00\x00\x00", USUAL, "item.content[0].audio")
    assert error.value.param == "item.content[0].audio"
