"""The questions that speculation is measured on hold a pause where they should."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import bench_speculation
from bench_speculation import LOUD, PAUSE_MS, RATE, voiced


def test_the_silence_around_a_recording_is_cut_off():
    sound = np.array([0, 5, LOUD + 1, 0, -LOUD - 1, 3], np.int16)
    assert voiced(sound).tolist() == [LOUD + 1, 0, -LOUD - 1]


def test_some_questions_hold_a_pause_in_the_middle(tmp_path):
    plain, paused = bench_speculation.write(tmp_path, 1, 1)
    assert np.abs(soundfile.read(plain, dtype="int16")[0][: RATE // 2]).max() == 0
    loud = np.abs(soundfile.read(paused, dtype="int16")[0].astype(np.int32)) > LOUD
    gaps = np.diff(np.flatnonzero(loud)) * 1000 // RATE
    assert PAUSE_MS in gaps


def test_the_page_of_metrics_tells_what_became_of_speculations():
    page = 'realtime_guesses_total{outcome="kept"} 8.0\nrealtime_guesses_total{outcome="lost"} 2.0'
    assert bench_speculation.COUNTED.findall(page) == [("kept", "8.0"), ("lost", "2.0")]
