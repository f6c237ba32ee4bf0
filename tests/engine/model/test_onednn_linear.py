"""OneDnnLinear layers compute what they did, and only those are packed that gain by it."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_model
import torch
from torch import nn

from realtime.engine.model import onednn_linear
from realtime.engine.model.load import load

needs_onednn = pytest.mark.skipif(
    not onednn_linear.computes(torch.float32), reason="this torch computes without oneDNN"
)


@needs_onednn
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [1, 2, 16, 33])
def test_a_packed_layer_computes_what_it_did(rows, bias):
    linear = nn.Linear(600, 500, bias=bias).eval()
    model = nn.ModuleDict({"a": nn.ModuleDict({"b": linear})})
    assert onednn_linear.pack(model) == 1
    packed = model["a"]["b"]
    assert (packed.in_features, packed.out_features) == (600, 500)
    with torch.inference_mode():
        given = torch.randn(2, rows, 600).transpose(0, 1)
        torch.testing.assert_close(packed(given), linear(given), atol=1e-5, rtol=1e-5)


@needs_onednn
def test_it_takes_the_memory_that_it_took_and_is_packed_once():
    model = nn.Sequential(nn.Linear(600, 500))
    before = sum(p.nbytes for p in model.parameters())
    assert [onednn_linear.pack(model), onednn_linear.pack(model)] == [1, 0]
    assert sum(p.nbytes for p in model.parameters()) == before


def test_small_layers_and_other_numbers_stay_as_they_are():
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(600, 500).double(), nn.Embedding(600, 500))
    assert onednn_linear.pack(model) == 0


def test_without_onednn_nothing_is_packed(monkeypatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert onednn_linear.pack(nn.Sequential(nn.Linear(600, 500))) == 0


@needs_onednn
def test_tokens_stay_those_of_generate(tmp_path, monkeypatch):
    shape = tiny_model.Tiny(kv_heads=2, seed=1, stops=False)
    loaded = load(str(tiny_model.save(tmp_path, shape)), device="cpu")
    clip = tiny_model.speechlike(1.37).astype(np.float32) / 32768
    heard = loaded.processor(
        text="<|audio_bos|><|AUDIO|><|audio_eos|>What does the person say?",
        audio=[clip],
        sampling_rate=16_000,
        return_tensors="pt",
    )
    said = [loaded.model.generate(**heard, do_sample=False, max_new_tokens=30)]
    monkeypatch.setattr(onednn_linear, "LEAST", 1)
    # Four projections and three of the feed-forward in each of two layers of the language model,
    # its head, four and two in those of the encoder, and the projector between the two.
    assert onednn_linear.pack(loaded.model) == 2 * 7 + 1 + 2 * 6 + 1
    said.append(loaded.model.generate(**heard, do_sample=False, max_new_tokens=30))
    assert torch.equal(*said)
