"""Audio of any format, cut anywhere: there and back, in one piece and as a stream."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.audio.g711 import decode_alaw, decode_mulaw
from realtime.audio.ingest import AudioFormat, Encoding, Ingest
from realtime.audio.pcm import Pcm
from realtime.audio.resample import RATES
from realtime.errors import AudioError

ENCODINGS: tuple[Encoding, ...] = get_args(Encoding)
FORMATS = [
    AudioFormat(encoding, rate) for encoding in ENCODINGS for rate in (8_000, 16_000, 24_000)
]
ANY_FORMAT = st.builds(
    AudioFormat,
    st.sampled_from(ENCODINGS),
    st.sampled_from((8_000, 11_025, 16_000, 22_050, 24_000, 44_100, 48_000))
    | st.integers(RATES[0], RATES[-1]),
)
CUTS = st.lists(st.integers(0, 6_000), max_size=12)
EVERY_BYTE = bytes(range(256))


def tone(seconds: float = 1.0, hertz: float = 440) -> Pcm:
    at = np.arange(int(16_000 * seconds)) / 16_000
    return np.round(8_000 * np.sin(2 * np.pi * hertz * at)).astype(np.int16)


def likeness(a: Pcm, b: Pcm) -> float:
    """Give the signal-to-error ratio in dB, off the edges."""
    size = min(a.size, b.size)
    wanted, got = (x[1_000 : size - 1_000].astype(float) for x in (a, b))
    return float(10 * np.log10((wanted**2).sum() / max(1e-9, ((wanted - got) ** 2).sum())))


def cut(data: bytes, at: list[int]) -> list[bytes]:
    """Cut data at these places."""
    places = [0, *sorted(place % (len(data) + 1) for place in at), len(data)]
    return [data[a:b] for a, b in pairwise(places)]


def heard(ingest: Ingest, *pieces: bytes, flush: bool = True) -> Pcm:
    """Give all that a stream gives for these bytes."""
    parts = [pcm for piece in pieces for pcm in ingest.push(piece)]
    rest = [*ingest.flush()] if flush else []
    return np.concatenate([np.empty(0, np.int16), *parts, *rest])


# ---- streams ------------------------------------------------------------------------------------


@given(ANY_FORMAT, st.binary(max_size=6_000), CUTS)
def test_what_comes_out_does_not_depend_on_the_cuts(format, data, at):
    whole = heard(Ingest(format), data)
    np.testing.assert_array_equal(heard(Ingest(format), *cut(data, at)), whole)
    assert whole.dtype == np.int16


@given(ANY_FORMAT, st.binary(max_size=2_000), st.binary(max_size=2_000), CUTS)
def test_nor_does_what_comes_out_behind_a_flush(format, first, second, at):
    whole, pieces = Ingest(format), Ingest(format)
    for data in (first, second):
        np.testing.assert_array_equal(heard(pieces, *cut(data, at)), heard(whole, data))


@pytest.mark.parametrize("format", FORMATS)
def test_byte_by_byte_is_the_same_too(format):
    data = format.write(tone(0.1))
    singly = [data[at : at + 1] for at in range(len(data))]
    np.testing.assert_array_equal(heard(Ingest(format), *singly), heard(Ingest(format), data))


def test_the_encodings_are_those_of_their_names():
    wanted = {
        "s16le": np.frombuffer(EVERY_BYTE, "<i2"),
        "mulaw": decode_mulaw(EVERY_BYTE),
        "alaw": decode_alaw(EVERY_BYTE),
    }
    for encoding in ENCODINGS:
        format = AudioFormat(encoding, 16_000)
        np.testing.assert_array_equal(heard(Ingest(format), EVERY_BYTE), wanted[encoding])
        np.testing.assert_array_equal(format.read(EVERY_BYTE), wanted[encoding])


@pytest.mark.parametrize("format", FORMATS)
def test_a_stream_sounds_like_the_whole(format):
    data = format.write(tone(2))
    stream, whole = heard(Ingest(format), data), format.read(data)
    assert stream.size == pytest.approx(32_000, abs=2)
    # The stream's filter may begin a sample or two later.
    assert max(likeness(whole, np.roll(stream, -lag)) for lag in range(-1, 4)) > 18


@pytest.mark.parametrize("format", FORMATS)
def test_long_audio_comes_in_pieces_of_at_most_a_second(format):
    sizes = [pcm.size for pcm in Ingest(format).push(bytes(3 * format.second + format.second // 2))]
    assert len(sizes) == 4
    assert max(sizes) <= 16_000
    assert sizes[1] == 16_000


def test_nothing_comes_of_nothing_or_of_half_a_sample():
    for format in FORMATS:
        assert list(Ingest(format).push(b"")) == []
    ingest = Ingest(AudioFormat())
    assert list(ingest.push(b"\x01")) == []
    assert [pcm.tolist() for pcm in ingest.push(b"\x02")] == [[0x0201]]


def test_a_flush_in_the_middle_of_a_sample_does_not_shift_what_follows():
    ingest = Ingest(AudioFormat())
    data = tone(0.1).astype("<i2").tobytes()
    first, rest = heard(ingest, data[:101]), heard(ingest, data[101:])
    np.testing.assert_array_equal(np.concatenate([first, rest]), tone(0.1))


@pytest.mark.parametrize("format", FORMATS)
def test_a_flush_gives_all_that_was_held_and_the_stream_begins_anew(format):
    ingest, data = Ingest(format), format.write(tone())
    first = heard(ingest, data)
    assert first.size == pytest.approx(16_000, abs=2)
    assert list(ingest.flush()) == []
    np.testing.assert_array_equal(heard(ingest, data), first)


@pytest.mark.parametrize("rate", [0, RATES[0] - 1, RATES[-1] + 1])
def test_a_rate_that_is_no_rate_of_speech_is_refused(rate):
    with pytest.raises(AudioError, match=f"a rate of {rate} Hz"):
        Ingest(AudioFormat("s16le", rate))


# ---- whole recordings ---------------------------------------------------------------------------


@pytest.mark.parametrize("format", FORMATS)
def test_sound_survives_the_way_out_and_back(format):
    data = format.write(tone())
    assert len(data) == format.second
    back = format.read(data)
    assert back.dtype == np.int16
    assert back.size == 16_000
    assert likeness(tone(), back) > 35


def test_our_own_format_survives_exactly():
    np.testing.assert_array_equal(AudioFormat().read(AudioFormat().write(tone())), tone())


def test_a_second_is_counted_in_bytes():
    assert AudioFormat().second == 32_000
    assert AudioFormat("s16le", 24_000).second == 48_000
    assert AudioFormat("mulaw", 8_000).second == 8_000
    assert AudioFormat("alaw", 8_000).second == 8_000


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_is_nothing(format):
    assert format.read(b"").size == 0
    assert format.write(np.empty(0, np.int16)) == b""


@pytest.mark.parametrize("rate", [8_000, 16_000, 24_000])
def test_half_a_sample_at_the_end_of_a_recording_is_refused(rate):
    with pytest.raises(AudioError, match="even number of bytes, got 3"):
        AudioFormat("s16le", rate).read(b"\x00\x00\x00")


def test_what_is_no_encoding_is_a_mistake_of_the_caller():
    format = AudioFormat("opus", 8_000)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="opus"):
        format.expand(b"")
    with pytest.raises(AssertionError, match="opus"):
        format.compress(np.empty(0, np.int16))
