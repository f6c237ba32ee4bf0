"""Mixing down: nothing that is heard in some channel is lost."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.audio.mixdown import Mixdown, check_duration, check_rate
from realtime.audio.pcm import Pcm, from_float
from realtime.errors import AudioError

RNG = np.random.default_rng(7)
VOICE = (0.2 * RNG.standard_normal(16_000)).astype(np.float32)
OTHER = (0.2 * RNG.standard_normal(16_000)).astype(np.float32)
SILENCE = np.zeros_like(VOICE)


def mixed(*channels: np.ndarray, rate: int = 16_000, blocks: int = 1) -> Pcm:
    mixdown = Mixdown(max_s=60)
    for block in np.array_split(np.stack(channels, axis=1), blocks):
        mixdown.push(block, rate)
    return mixdown.finish()


def loudness(samples: Pcm) -> float:
    return float(np.sqrt(np.mean((samples / 32_768) ** 2)))


@pytest.mark.parametrize("share", [-1.0, -0.9, -0.5])
@pytest.mark.parametrize("blocks", [1, 7])
def test_a_voice_in_antiphase_is_heard(share: float, blocks: int):
    for channels in ((VOICE, share * VOICE), (share * VOICE, VOICE)):
        samples = mixed(*channels, blocks=blocks)
        assert 0.2 / np.sqrt(2) < loudness(samples) < 0.21
        assert abs(np.corrcoef(samples, VOICE)[0, 1]) > 0.999


@pytest.mark.parametrize(
    "channels",
    [
        pytest.param((VOICE, VOICE), id="the same"),
        pytest.param((VOICE, SILENCE), id="one is silent"),
        pytest.param((VOICE, OTHER), id="unrelated"),
        pytest.param((VOICE, OTHER, SILENCE, SILENCE, SILENCE, SILENCE), id="six"),
        pytest.param((SILENCE, SILENCE), id="all are silent"),
    ],
)
def test_channels_that_do_not_cancel_out_are_mixed_evenly(channels: tuple[np.ndarray, ...]):
    even = np.mean(channels, axis=0)
    assert np.abs(mixed(*channels) - even * 32_768).max() <= 1


def test_the_channel_stays_the_same_while_it_is_about_as_loud():
    """A change of channel in antiphase is a click."""
    rising = np.linspace(0.8, 1.2, VOICE.size, dtype=np.float32)
    samples = mixed(VOICE, -rising * VOICE, blocks=10)
    assert np.abs(samples - VOICE * 32_768).max() <= 1


def test_channels_may_come_and_go():
    mixdown = Mixdown(max_s=60)
    mixdown.push(np.stack([SILENCE, -VOICE, VOICE], axis=1), 16_000)
    mixdown.push(np.stack([VOICE, -VOICE], axis=1), 16_000)
    mixdown.push(VOICE[:, None], 16_000)
    assert loudness(mixdown.finish()) == pytest.approx(0.2, rel=0.02)


def test_a_change_of_rate_loses_nothing():
    mixdown = Mixdown(max_s=60)
    for rate in (48_000, 8_000, 16_000, 48_000):
        mixdown.push(np.zeros((rate, 1), np.float32), rate)
    assert abs(mixdown.finish().size - 4 * 16_000) <= 2


def test_seconds_are_counted_at_each_rate():
    mixdown = Mixdown(max_s=2)
    mixdown.push(np.zeros((8_000, 1), np.float32), 8_000)
    mixdown.push(np.zeros((16_000, 1), np.float32), 16_000)
    with pytest.raises(AudioError, match="at most 2 s"):
        mixdown.push(np.zeros((1_000, 1), np.float32), 48_000)


def test_the_channel_changes_once_another_is_twice_as_loud():
    for louder, heard in ((1.9, 1.0), (2.1, 2.1)):
        gain = np.float32(np.sqrt(louder))
        mixdown = Mixdown(max_s=60)
        mixdown.push(np.stack([VOICE, -VOICE], axis=1), 16_000)
        mixdown.push(np.stack([VOICE, -gain * VOICE], axis=1)[:1_000], 16_000)
        ratio = loudness(mixdown.finish()[16_000:]) / loudness(mixdown.finish()[:1_000])
        assert ratio**2 == pytest.approx(heard, rel=0.02)


def test_channels_cancel_out_where_half_of_their_power_is_lost():
    """Of two channels of equal power, mixed evenly; -c is how much they are alike."""
    for alike, whole in ((0.45, True), (0.55, False)):
        second = -alike * VOICE + np.sqrt(1 - alike**2).astype(np.float32) * OTHER
        second *= np.float32(loudness(from_float(VOICE)) / loudness(from_float(second)))
        samples = mixed(VOICE, second)
        even = np.abs(samples - (VOICE + second) / 2 * 32_768).max() <= 1
        assert even is np.bool_(whole)


@pytest.mark.parametrize("rate", [4_000, 384_000])
def test_every_rate_of_speech_is_taken(rate: int):
    mixdown = Mixdown(max_s=60)
    mixdown.push(np.zeros((rate, 1), np.float32), rate)
    assert abs(mixdown.finish().size - 16_000) <= 4


@pytest.mark.parametrize("rate", [-1, 0, 1, 3_999, 384_001])
def test_any_other_rate_is_refused(rate: int):
    with pytest.raises(AudioError, match=f"a rate of {rate} Hz is not one of speech"):
        Mixdown(max_s=60).push(np.zeros((10, 1), np.float32), rate)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_no_number_is_refused_with_its_place(bad: float):
    mixdown = Mixdown(max_s=60)
    mixdown.push(np.zeros((100, 2), np.float32), 16_000)
    block = np.zeros((100, 2), np.float32)
    block[7:9, 1] = bad
    with pytest.raises(AudioError, match="sample 107 is not a finite number"):
        mixdown.push(block, 16_000)


def test_nothing_is_no_audio():
    with pytest.raises(AudioError, match="no audio"):
        Mixdown(max_s=60).finish()
    mixdown = Mixdown(max_s=60)
    mixdown.push(np.zeros((0, 2), np.float32), 16_000)
    with pytest.raises(AudioError, match="no audio"):
        mixdown.finish()


def test_the_bound_itself_may_be_reached():
    check_duration(2.0, 2.0)
    with pytest.raises(AudioError, match="lasts 3 s or more; at most 2 s are read"):
        check_duration(2.6, 2.0)


def test_samples_and_seconds_are_counted():
    mixdown = Mixdown(max_s=60)
    mixdown.push(np.zeros((8_000, 1), np.float32), 16_000)
    mixdown.push(np.zeros((8_000, 1), np.float32), 8_000)
    assert (mixdown.samples, mixdown.seconds, mixdown.rate) == (16_000, 1.5, 8_000)


def test_the_resampler_is_flushed_into_the_end():
    tone = np.sin(2 * np.pi * 440 * np.arange(48_000) / 48_000).astype(np.float32)[:, None] / 2
    mixdown = Mixdown(max_s=60)
    for block in np.array_split(tone, 13):
        mixdown.push(block, 48_000)
    samples = mixdown.finish()
    assert abs(samples.size - 16_000) <= 1
    assert np.abs(samples[-400:]).max() == pytest.approx(16_384, rel=0.05)


def test_the_rates_of_speech_are_these():
    for rate in (4_000, 384_000):
        check_rate(rate)
    for rate in (3_999, 384_001):
        with pytest.raises(AudioError):
            check_rate(rate)


def rows(*channels: list[float]) -> list[int]:
    """Mix these samples of each channel down; full scale is 4."""
    mixdown = Mixdown(max_s=60)
    mixdown.push(np.array(channels, np.float32).T / 4, 16_000)
    return [round(sample / 8_192, 3) for sample in mixdown.finish().tolist()]


def test_half_of_the_power_is_enough_and_twice_the_power_too_little_to_change_channels():
    assert rows([2, 0, 0, 0], [-2, 2, 2, 0]) == [0, 1, 1, 0]
    assert rows([2, 0], [-2, 2]) == [2, 0]
    assert rows([2, 0], [-2, 2.01]) == [-2, 2.01]


def test_the_channel_that_was_heard_may_be_gone():
    mixdown = Mixdown(max_s=60)
    mixdown.push(np.stack([VOICE / 2, VOICE / 2, -VOICE], axis=1), 16_000)
    assert mixdown.channel == 2
    mixdown.push(np.stack([VOICE, -VOICE], axis=1), 16_000)
    assert mixdown.channel == 0


def test_a_block_of_nothing_changes_nothing():
    mixdown = Mixdown(max_s=60)
    mixdown.push(np.stack([VOICE, -VOICE], axis=1), 16_000)
    mixdown.push(np.zeros((0, 2), np.float32), 16_000)
    assert mixdown.finish().size == VOICE.size
