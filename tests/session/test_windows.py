"""Recordings cut into windows of the encoder."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.session.windows import windows

SECOND = 16_000


def seconds(pcm: np.ndarray) -> list[float]:
    return [len(part) / SECOND for part in windows(pcm)]


@pytest.mark.parametrize(
    ("length", "cut"),
    [
        (0, []),
        (0.05, [0.05]),
        (30, [30]),
        (30.1, [15.1, 15]),
        (60, [30, 30]),
        (60.3, [20.1, 20.1, 20.1]),
        (61, [20.4, 20.4, 20.2]),
    ],
)
def test_a_recording_is_cut_into_few_windows_of_about_the_same_length(length, cut):
    assert seconds(np.zeros(round(length * SECOND), np.int16)) == cut


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 95 * SECOND))
def test_nothing_is_lost_and_no_window_is_too_long_or_much_shorter_than_the_others(samples):
    recording = (np.arange(samples) % 30_011).astype(np.int16)
    parts = list(windows(recording))
    assert np.array_equal(np.concatenate([recording[:0], *parts]), recording)
    assert len(parts) == -(-samples // (30 * SECOND))
    assert all(len(part) <= 30 * SECOND for part in parts)
    assert len(parts) < 2 or min(map(len, parts)) >= 14 * SECOND
