"""Audio formats: there and back, in one piece and as a stream."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.protocols.openai.errors import BadEvent
from realtime.protocols.openai.formats import AudioFormat, Ingest

FORMATS = [
    AudioFormat(),
    AudioFormat("audio/pcm", 16_000),
    AudioFormat("audio/pcm", 8_000),
    AudioFormat("audio/pcmu", 8_000),
    AudioFormat("audio/pcma", 8_000),
]


def tone(seconds: float = 1.0, hertz: float = 440) -> np.ndarray:
    at = np.arange(int(16_000 * seconds)) / 16_000
    return np.round(8_000 * np.sin(2 * np.pi * hertz * at)).astype(np.int16)


def likeness(a: np.ndarray, b: np.ndarray) -> float:
    """Give the signal-to-error ratio in dB, off the edges."""
    size = min(a.size, b.size)
    wanted, got = (x[1_000 : size - 1_000].astype(float) for x in (a, b))
    return 10 * np.log10((wanted**2).sum() / max(1e-9, ((wanted - got) ** 2).sum()))


@pytest.mark.parametrize("format", FORMATS)
def test_sound_survives_the_way_out_and_back(format):
    sound = tone()
    data = format.write(sound)
    assert len(data) == format.second
    back = format.read(data, "audio")
    assert back.dtype == np.int16
    assert back.size == 16_000
    assert likeness(sound, back) > 35


def test_our_own_rate_survives_exactly():
    format = AudioFormat("audio/pcm", 16_000)
    np.testing.assert_array_equal(format.read(format.write(tone()), "audio"), tone())


@pytest.mark.parametrize("format", FORMATS)
def test_a_stream_sounds_like_the_whole(format):
    data = format.write(tone(2))
    ingest = Ingest(format)
    pieces = [*ingest.push(data), *ingest.flush()]
    stream = np.concatenate(pieces)
    assert stream.size == pytest.approx(32_000, abs=2)
    whole = format.read(data, "audio")
    # The stream's filter may begin a sample or two later.
    assert max(likeness(whole, np.roll(stream, -lag)) for lag in range(-1, 4)) > 18


@pytest.mark.parametrize("format", FORMATS)
def test_after_a_flush_a_stream_begins_anew(format):
    data = format.write(tone())
    used = Ingest(format)
    list(used.push(data[:-1]))
    list(used.flush())
    again = [*used.push(data), *used.flush()]
    fresh = Ingest(format)
    np.testing.assert_array_equal(
        np.concatenate(again), np.concatenate([*fresh.push(data), *fresh.flush()])
    )


@pytest.mark.parametrize("format", FORMATS)
@given(data=st.binary(max_size=3_000))
def test_any_bytes_are_sound(format, data):
    if format.type == "audio/pcm":
        data = data[: len(data) // 2 * 2]
    assert format.read(data, "audio").dtype == np.int16


def test_half_a_sample_at_the_end_of_a_recording_is_refused():
    with pytest.raises(BadEvent) as error:
        AudioFormat().read(b"\x00\x00\x00", "item.content[0].audio")
    assert error.value.param == "item.content[0].audio"


def test_nothing_is_nothing():
    for format in FORMATS:
        assert format.read(b"", "audio").size == 0
        assert format.write(np.empty(0, np.int16)) == b""


def test_formats_are_read_as_they_are_written():
    for format in FORMATS:
        assert AudioFormat.of(format.json()) == format
    assert AudioFormat.of({"type": "audio/pcm"}) == AudioFormat()
    assert AudioFormat.of({"type": "audio/pcm", "rate": None}) == AudioFormat()
    assert AudioFormat.of({"type": "audio/pcmu", "rate": 24_000}).rate == 8_000
