"""The tokens that audio takes are as many as the checkpoint's own processor makes of it."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_model

from realtime.audio.pcm import SAMPLE_RATE
from realtime.engine.audio_tokens import HOP, audio_positions, audio_tokens, mel_frames

PROCESSOR = tiny_model.processor()

# Odd and even numbers of mel frames, every remainder that has ever mattered, both ends.
LENGTHS = [1600, 1601, 1719, 1720, 1721, 1759, 1760, 3200, 8123, 16_000, 16_001, 31_999, 47_840]
LONG = [479_040, 479_839, 479_840, 479_841, 480_000]


@pytest.mark.parametrize("samples", LENGTHS + LONG)
def test_counts_of_tokens_are_those_of_the_processor(samples):
    audio = np.zeros(samples, np.float32)
    inputs = PROCESSOR(text="<|AUDIO|>", audio=[audio], sampling_rate=SAMPLE_RATE)
    assert len(inputs["input_ids"][0]) == audio_tokens(samples)


@pytest.mark.parametrize(
    ("samples", "tokens"),
    # Measured with the stock processor of Qwen2-Audio.
    [(320, 0), (400, 1), (640, 1), (16000, 25), (16001, 25), (32000, 50), (80000, 125),
     (160000, 250), (480000, 750), (0, 0)],
)  # fmt: skip
def test_audio_tokens_are_those_of_the_model(samples, tokens):
    assert audio_tokens(samples) == tokens


def test_frames_and_positions_are_begun_ones():
    assert [mel_frames(n) for n in (0, 1, HOP, HOP + 1)] == [0, 1, 1, 2]
    assert [audio_positions(n) for n in (1, 2, 3, 4)] == [1, 1, 2, 2]
    assert mel_frames(SAMPLE_RATE) == PROCESSOR.feature_extractor.sampling_rate // (
        PROCESSOR.feature_extractor.hop_length
    )


def test_the_hop_is_that_of_the_extractor():
    assert PROCESSOR.feature_extractor.hop_length == HOP
