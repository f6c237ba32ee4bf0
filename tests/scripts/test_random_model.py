"""Random checkpoints have the sizes that they claim, and say what they are told to say."""

from __future__ import annotations

import pytest
import tiny_model
import torch

from scripts.random_model import MID, QWEN_7B, SPECIAL, Shape, config, model, processor, unsaid


def parameters(shape: Shape) -> int:
    """Count without making anything."""
    from transformers import Qwen2AudioForConditionalGeneration

    with torch.device("meta"):
        made = Qwen2AudioForConditionalGeneration(config(tiny_model.tokenizer(), shape))
    return sum(p.numel() for p in made.parameters())


def test_the_large_shapes_have_the_sizes_that_they_claim():
    assert 200_000_000 < parameters(MID) < 260_000_000
    # 8,397,094,912 is Qwen2-Audio-7B's, whose language model has biases at q, k and v as here.
    assert parameters(QWEN_7B) == 8_397_094_912


@pytest.mark.parametrize("rows", [None, 1000])
def test_a_plain_model_says_only_whole_letters_and_never_ends(rows):
    shape = Shape(plain=True, rows=rows, seed=3)
    proc = processor()
    made = model(proc, shape)
    assert made.lm_head.out_features == (rows or len(proc.tokenizer))
    states = torch.randn(200, shape.hidden, generator=torch.Generator().manual_seed(1))
    said = made.lm_head(states).argmax(-1).tolist()
    assert len(set(said)) > 20
    words = proc.tokenizer.convert_ids_to_tokens(said)
    assert all(proc.tokenizer.decode([token]).isascii() for token in said)
    assert not set(words) & set(SPECIAL)


def test_what_is_unsaid_is_what_was_asked_for():
    tok = tiny_model.tokenizer()
    names = tok.convert_ids_to_tokens
    assert unsaid(tok, Shape()) == []
    assert names(unsaid(tok, Shape(stops=False))) == ["<|im_end|>", "<|endoftext|>"]
    assert names(unsaid(tok, Shape(says_audio=False))) == ["<|AUDIO|>"]
