"""Mixing down: nothing that is heard in some channel is lost."""

from __future__ import annotations

import numpy as np
import pytest

from realtime.audio.mixdown import Mixdown
from realtime.audio.pcm import Pcm
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
