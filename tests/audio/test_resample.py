"""Streaming resampling: independent of the cuts, in tune, in time."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
import soxr
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.audio.pcm import SAMPLE_RATE, Pcm
from realtime.audio.resample import LATENCY, Resampler
from realtime.errors import AudioError

RATES = sorted(LATENCY)
OTHER_RATES = [rate for rate in RATES if rate != SAMPLE_RATE]


def noise(rate: int, seconds: float) -> Pcm:
    rng = np.random.default_rng(7)
    return rng.integers(-20_000, 20_000, round(rate * seconds)).astype(np.int16)


def tone(rate: int, hertz: float, seconds: float = 1.0, peak: float = 10_000) -> Pcm:
    t = np.arange(round(rate * seconds)) / rate
    return np.rint(peak * np.sin(2 * np.pi * hertz * t)).astype(np.int16)


def run(rate: int, samples: Pcm, cuts: list[int]) -> Pcm:
    resampler = Resampler(rate)
    places = [0, *sorted(cuts), samples.size]
    parts = [resampler.push(samples[a:b]) for a, b in pairwise(places)]
    return np.concatenate([*parts, resampler.flush()])


def level(samples: Pcm) -> float:
    """Measure the peak of a tone, away from both ends."""
    inner = samples[samples.size // 4 : -samples.size // 4].astype(float)
    return float(np.sqrt(2 * np.mean(inner**2)))


@pytest.mark.parametrize("rate", RATES)
@settings(deadline=None, max_examples=25)
@given(cuts=st.lists(st.integers(0, 8_000), max_size=60))
def test_the_output_does_not_depend_on_how_the_input_was_cut(rate: int, cuts: list[int]):
    samples = noise(rate, 1.0)
    assert np.array_equal(run(rate, samples, cuts), run(rate, samples, []))


@pytest.mark.parametrize("rate", RATES)
def test_sample_by_sample_is_the_same_too(rate: int):
    samples = noise(rate, 0.25)
    assert np.array_equal(run(rate, samples, list(range(samples.size))), run(rate, samples, []))


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("seconds", [0.0, 0.01, 1.0, 7.3])
def test_the_duration_is_kept(rate: int, seconds: float):
    output = run(rate, noise(rate, seconds), [])
    assert abs(output.size - seconds * SAMPLE_RATE) <= 1


def trailing(rate: int, pieces: int = 200, size: int | None = None) -> float:
    """Measure by how many samples the output trails the input at most."""
    resampler = Resampler(rate)
    silence = np.zeros(size or rate // 50, np.int16)
    received, given_back, most = 0, 0, 0.0
    for _ in range(pieces):
        received += silence.size
        given_back += resampler.push(silence).size
        most = max(most, received * SAMPLE_RATE / rate - given_back)
    return most


@pytest.mark.parametrize("rate", RATES)
def test_the_output_never_trails_by_more_than_stated(rate: int):
    assert trailing(rate) <= LATENCY[rate]


@pytest.mark.parametrize("rate", RATES)
def test_it_trails_by_as_many_whole_samples_as_stated(rate: int):
    assert int(trailing(rate, rate // 7, size=7)) == LATENCY[rate]


@pytest.mark.parametrize("rate", OTHER_RATES)
@pytest.mark.parametrize("hertz", [100, 1000, 3400])
def test_a_tone_keeps_its_pitch_and_level(rate: int, hertz: int):
    output = run(rate, tone(rate, hertz), [])
    spectrum = np.abs(np.fft.rfft(output[4000:12000].astype(float)))
    assert np.argmax(spectrum) * SAMPLE_RATE / 8000 == hertz
    assert level(output) == pytest.approx(10_000, rel=0.01)


@pytest.mark.parametrize("rate", [24_000, 44_100, 48_000])
@pytest.mark.parametrize("hertz", [8_200, 9_000, 11_000])
def test_what_cannot_be_represented_is_removed(rate: int, hertz: int):
    assert level(run(rate, tone(rate, hertz), [])) < 10_000 * 10 ** (-60 / 20)


def test_a_telephone_band_gets_no_images():
    output = run(8_000, tone(8_000, 3_000), [])[4000:12000].astype(float)
    spectrum = np.abs(np.fft.rfft(output * np.hanning(output.size)))
    above = spectrum[round(4_100 / 2) :]  # 2 Hz per bin
    assert above.max() < spectrum.max() * 10 ** (-60 / 20)


@pytest.mark.parametrize("rate", OTHER_RATES)
def test_time_is_kept(rate: int):
    """Agree in position with soxr's one-shot conversion of what both pass."""
    samples = np.cumsum(noise(rate, 1.0) - 0.0)
    samples = (samples / np.abs(samples).max() * 20_000).astype(np.int16)
    ours = run(rate, samples, []).astype(float)
    reference = soxr.resample(samples.astype(np.float32), rate, SAMPLE_RATE, "VHQ").astype(float)
    inner = slice(1000, min(ours.size, reference.size) - 1000)
    lags = {
        lag: float(np.dot(np.roll(ours, lag)[inner], reference[inner])) for lag in range(-40, 41)
    }
    assert abs(max(lags, key=lambda lag: lags[lag])) <= 2


@pytest.mark.parametrize("rate", OTHER_RATES)
def test_full_scale_is_clipped_not_wrapped(rate: int):
    square = np.where(np.arange(rate) // (rate // 100) % 2, 32767, -32768).astype(np.int16)
    output = run(rate, square, [])
    assert output.max() == 32767
    assert output.min() == -32768
    held = output[1000:-1000].reshape(-1)
    assert (np.abs(np.diff(held.astype(int))) < 60_000).all()  # a wrap jumps by 65535


@pytest.mark.parametrize("rate", RATES)
def test_silence_stays_silent(rate: int):
    assert not run(rate, np.zeros(rate, np.int16), []).any()


def test_sixteen_kilohertz_passes_through():
    samples = noise(16_000, 0.5)
    resampler = Resampler(16_000)
    assert np.array_equal(resampler.push(samples), samples)
    assert resampler.flush().size == 0


@pytest.mark.parametrize("rate", [8_000, 11_025, 12_000, 22_050, 32_000, 44_099, 44_100, 47_999])
def test_no_rate_trails_by_more_than_the_worst_of_the_usual_ones(rate: int):
    assert trailing(rate) <= max(LATENCY.values())


@pytest.mark.parametrize("rate", [0, -1, 1, 7_999, 48_001, 96_000])
def test_another_rate_is_an_error_that_says_which_there_are(rate: int):
    with pytest.raises(AudioError, match=f"a rate of {rate} Hz is not one from 8000 to 48000 Hz"):
        Resampler(rate)


def test_the_usual_rates_are_these():
    assert RATES == [8_000, 16_000, 24_000, 44_100, 48_000]
