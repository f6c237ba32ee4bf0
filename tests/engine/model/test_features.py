"""The front end equals transformers' padded one, whatever the length."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_model
import torch

from realtime.engine.audio_tokens import audio_tokens, mel_frames
from realtime.engine.model.features import LogMel, encode

PROCESSOR = tiny_model.processor()
EXTRACTOR = PROCESSOR.feature_extractor
LOG_MEL = LogMel(EXTRACTOR, torch.device("cpu"))
MODELS = {
    kind: tiny_model.model(PROCESSOR, tiny_model.Tiny(spread=0.1)).model
    for kind in ("sdpa", "eager")
}
MODELS["eager"].audio_tower.config._attn_implementation = "eager"

# Odd and even numbers of mel frames, every remainder that has ever mattered, both ends.
LENGTHS = [1600, 1601, 1719, 1720, 1721, 1759, 1760, 3200, 8123, 16_000, 16_001, 31_999, 47_840]
LONG = [479_040, 479_839, 479_840, 479_841, 480_000]


def audio(samples: int, seed: int = 0):
    return tiny_model.speechlike(samples / 16_000, seed)[:samples]


def stock_mel(pcm):
    """The padded log-mel [128, 3000] and its mask, by WhisperFeatureExtractor."""
    features = EXTRACTOR(
        [pcm.astype(np.float32) / 32768],
        sampling_rate=16_000,
        return_attention_mask=True,
        padding="max_length",
        return_tensors="pt",
    )
    return features["input_features"], features["attention_mask"]


def stock_embeddings(model, pcm):
    """What the whole model merges into the prompt, taken at the projector's input."""
    features, mask = stock_mel(pcm)
    taken = {}
    hook = model.multi_modal_projector.register_forward_pre_hook(
        lambda module, inputs: taken.update(value=inputs[0])
    )
    tokens = audio_tokens(len(pcm))
    ids = torch.full((1, tokens + 1), model.config.audio_token_id)
    ids[0, -1] = 0
    with torch.inference_mode():
        model(input_ids=ids, input_features=features, feature_attention_mask=mask)
    hook.remove()
    return taken["value"][0, :tokens]


@pytest.mark.parametrize("samples", LENGTHS + LONG)
def test_log_mel_is_that_of_the_extractor(samples):
    pcm = audio(samples, seed=samples)
    mel = LOG_MEL(pcm)
    features, mask = stock_mel(pcm)
    assert mel.frames == int(mask.sum()) == mel_frames(samples)
    width = mel.values.shape[1]
    assert width == min(mel.frames + 4, 3000)
    torch.testing.assert_close(mel.values, features[0, :, :width], atol=2e-6, rtol=0)


@pytest.mark.parametrize("pcm", [np.zeros(4000, np.int16), np.ones(4000, np.int16)])
def test_log_mel_of_silence(pcm):
    features, _ = stock_mel(pcm)
    mel = LOG_MEL(pcm).values
    torch.testing.assert_close(mel, features[0, :, : mel.shape[1]], atol=2e-6, rtol=0)


@pytest.mark.parametrize("samples", [*LENGTHS, LONG[1], LONG[-1]])
def test_embeddings_are_those_of_the_padded_tower(samples):
    model = MODELS["sdpa"]
    pcm = audio(samples, seed=samples)
    with torch.inference_mode():
        (own,) = encode(model.audio_tower, [LOG_MEL(pcm)])
    assert len(own) == audio_tokens(samples)
    torch.testing.assert_close(own, stock_embeddings(model, pcm), atol=2e-5, rtol=0)


@pytest.mark.parametrize("kind", MODELS)
def test_a_batch_of_any_lengths_equals_each_alone(kind):
    model = MODELS[kind]
    clips = [audio(samples, seed=i) for i, samples in enumerate((5000, 1600, 16_001, 4999, 8000))]
    with torch.inference_mode():
        batch = encode(model.audio_tower, [LOG_MEL(pcm) for pcm in clips])
    for pcm, own in zip(clips, batch, strict=True):
        torch.testing.assert_close(own, stock_embeddings(model, pcm), atol=2e-5, rtol=0)
