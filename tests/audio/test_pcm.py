"""Conversions into the one format, and byte strings cut anywhere."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.audio.pcm import (
    FRAME,
    SAMPLE_RATE,
    ByteJoiner,
    from_bytes,
    from_float,
    ms_of,
    samples_of,
    to_bytes,
)
from realtime.errors import AudioError


def test_a_frame_is_20_ms():
    assert FRAME == 320
    assert ms_of(FRAME) == 20
    assert samples_of(20) == FRAME


@pytest.mark.parametrize(("ms", "samples"), [(0, 0), (1, 16), (0.5, 8), (1000, 16_000)])
def test_milliseconds_to_samples(ms: float, samples: int):
    assert samples_of(ms) == samples


@pytest.mark.parametrize(("samples", "ms"), [(0, 0), (15, 0), (16, 1), (16_015, 1000)])
def test_samples_to_milliseconds_round_down(samples: int, ms: int):
    assert ms_of(samples) == ms


@given(st.integers(0, 10**9))
def test_milliseconds_survive_the_way_there_and_back(ms: int):
    assert ms_of(samples_of(ms)) == ms


def test_bytes_are_little_endian():
    assert from_bytes(b"\x01\x00\xff\x7f\x00\x80\xff\xff").tolist() == [1, 32767, -32768, -1]


@given(st.lists(st.integers(-32768, 32767)))
def test_bytes_survive_the_way_there_and_back(samples: list[int]):
    array = np.array(samples, np.int16)
    assert np.array_equal(from_bytes(to_bytes(array)), array)


def test_samples_do_not_share_the_bytes_they_were_read_from():
    data = bytearray(b"\x01\x00")
    samples = from_bytes(data)
    data[0] = 9
    assert samples.tolist() == [1]


def test_an_odd_number_of_bytes_is_an_error():
    with pytest.raises(AudioError, match="even number of bytes, got 3"):
        from_bytes(b"abc")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_floats_have_full_scale_one(dtype: type):
    floats = np.array([0, 0.5, -0.5, -1, 1 / 32768, 0.4 / 32768, 0.6 / 32768], dtype)
    assert from_float(floats).tolist() == [0, 16384, -16384, -32768, 1, 0, 1]


def test_floats_beyond_full_scale_are_clipped():
    assert from_float(np.array([1.0, 1.5, -1.5, 3e38, -1e30])).tolist() == [
        32767,
        32767,
        -32768,
        32767,
        -32768,
    ]


def test_every_sample_survives_as_a_float():
    every = np.arange(-32768, 32768).astype(np.int16)
    assert np.array_equal(from_float(every.astype(np.float32) / 32768), every)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_float_that_is_no_number_is_an_error_that_names_it(bad: float):
    with pytest.raises(AudioError, match=rf"sample 2 is {bad}"):
        from_float(np.array([0.0, 1.0, bad, 0.0, bad]))


def test_no_floats_are_no_samples():
    assert from_float(np.empty(0)).size == 0


@given(st.binary(max_size=200), st.lists(st.integers(0, 200), max_size=20))
def test_joined_bytes_do_not_depend_on_how_they_were_cut(data: bytes, cuts: list[int]):
    joiner = ByteJoiner()
    places = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[a:b] for a, b in pairwise(places)]
    joined = np.concatenate([joiner.push(piece) for piece in pieces])
    assert np.array_equal(joined, from_bytes(data[: len(data) // 2 * 2]))
    assert joiner.odd == data[len(data) // 2 * 2 :]


def test_a_joiner_holds_back_one_byte_at_most():
    joiner = ByteJoiner()
    assert joiner.push(b"\x01").size == 0
    assert joiner.push(b"").size == 0
    assert joiner.push(b"\x02\x03").tolist() == [0x0201]
    assert joiner.odd == b"\x03"


def test_seconds_are_sixteen_thousand_samples():
    assert samples_of(1000) == SAMPLE_RATE
