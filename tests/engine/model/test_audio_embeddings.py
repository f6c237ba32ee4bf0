"""Clips are encoded once, together with others of about their length, and forgotten in time."""

from __future__ import annotations

import tiny_model
import torch

from realtime.engine.api import Clip
from realtime.engine.model.audio_embeddings import FRAMES, PADDING, AudioEmbeddingCache, batches
from realtime.engine.model.features import Mel

BUDGET = 1 << 20


def clips(*seconds: float) -> list[Clip]:
    return [Clip(f"b{i}", tiny_model.speechlike(s, i)) for i, s in enumerate(seconds)]


@torch.inference_mode()
def test_audio_is_encoded_once_and_forgotten_beyond_the_budget(loaded):
    three = clips(1.0, 1.0, 1.0)
    kept = AudioEmbeddingCache(loaded, budget=BUDGET)
    first, again = kept.of(three), kept.of(three)
    assert all(first[id] is again[id] for id in first)

    small = AudioEmbeddingCache(loaded, budget=2 * first["b0"].nbytes)
    assert len(small.of(three)) == 3
    assert list(small.kept) == ["b1", "b2"]
    small.of(three[1:2])
    small.of(three[:1])
    assert list(small.kept) == ["b1", "b0"]


@torch.inference_mode()
def test_clips_encoded_together_are_as_those_encoded_alone(loaded):
    several = clips(0.1, 1.0, 1.1, 1.24, 2.9, 3.0)
    together = AudioEmbeddingCache(loaded, budget=BUDGET).of(several)
    for clip in several:
        alone = AudioEmbeddingCache(loaded, budget=BUDGET).of([clip])[clip.id]
        torch.testing.assert_close(together[clip.id], alone, atol=2e-5, rtol=1e-4)


def test_batches_are_of_about_the_same_length_and_not_too_large():
    mels = {
        str(i): Mel(torch.zeros(1), frames)
        for i, frames in enumerate([3000] * 9 + [100, 120, 130, 10, 1000])
    }
    made = list(batches(mels))
    assert sorted(id for batch in made for id in batch) == sorted(mels)
    for batch in made:
        frames = [mels[id].frames for id in batch]
        assert max(frames) <= PADDING * min(frames)
        assert max(frames) * len(frames) <= FRAMES
    assert len(made) == 7
