"""A tiny random Qwen2-Audio checkpoint of the exact architecture, made offline in a moment.

Only dimensions and vocabulary are small: the front end is the real one (128 mel bins, 30 s).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2AudioConfig,
    Qwen2AudioEncoderConfig,
    Qwen2AudioForConditionalGeneration,
    Qwen2AudioProcessor,
    Qwen2Config,
    WhisperFeatureExtractor,
)

SPECIAL = (
    "<|endoftext|>",
    "<|im_start|>",
    "<|im_end|>",
    "<|AUDIO|>",
    "<|audio_bos|>",
    "<|audio_eos|>",
)
# How Qwen splits text into words before byte pairs are merged.
WORDS = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
TEXTS = (
    "You are a helpful assistant.\n",
    "system\nuser\nassistant\nAudio 1: Audio 2: \n\n",
    "What does the person say? What's that sound? It is the sound of glass shattering.\n",
    "Okay, the kitchen light is on. One, two, three, four, five, six, seven.\n",
    "Generate the caption in English: Yes, the speaker is female and in her twenties.\n",
    "你好，世界。今天天气怎么样？ مرحبا بالعالم 👋🏽 ñandú Straße naïve Ελλάδα\n",
)


@dataclass(frozen=True, slots=True)
class Tiny:
    """Dimensions and randomness of a tiny checkpoint."""

    hidden: int = 48
    layers: int = 2
    heads: int = 4
    kv_heads: int = 4
    encoder_hidden: int = 32
    encoder_layers: int = 2
    encoder_heads: int = 4
    vocabulary: int = 420
    context: int = 2048
    dtype: torch.dtype = torch.float32
    seed: int = 0
    spread: float = 0.3
    """Standard deviation of the weights; large, so that answers vary and scores are apart."""
    stops: bool = True
    """False: it (almost) never says an end token."""


def tokenizer(vocabulary: int = 420) -> PreTrainedTokenizerFast:
    """Train a byte-level tokenizer that splits many characters into several tokens."""
    tok = Tokenizer(models.BPE())
    tok.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(WORDS), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tok.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tok.train_from_iterator(TEXTS * 4, trainer)
    tok.add_special_tokens([AddedToken(name, special=True) for name in SPECIAL])
    return PreTrainedTokenizerFast(
        tokenizer_object=tok,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"],
    )


def processor(vocabulary: int = 420) -> Qwen2AudioProcessor:
    """Make the processor, with the real front end."""
    extractor = WhisperFeatureExtractor(feature_size=128, return_attention_mask=True)
    return Qwen2AudioProcessor(extractor, tokenizer(vocabulary))


def model(proc: Qwen2AudioProcessor, tiny: Tiny) -> Qwen2AudioForConditionalGeneration:
    """Make the model with random weights."""
    tok = proc.tokenizer
    config = Qwen2AudioConfig(
        audio_config=Qwen2AudioEncoderConfig(
            d_model=tiny.encoder_hidden,
            encoder_layers=tiny.encoder_layers,
            encoder_attention_heads=tiny.encoder_heads,
            encoder_ffn_dim=2 * tiny.encoder_hidden,
            initializer_range=tiny.spread,
        ).to_dict(),
        text_config=Qwen2Config(
            vocab_size=len(tok),
            hidden_size=tiny.hidden,
            intermediate_size=2 * tiny.hidden,
            num_hidden_layers=tiny.layers,
            num_attention_heads=tiny.heads,
            num_key_value_heads=tiny.kv_heads,
            max_position_embeddings=tiny.context,
            initializer_range=tiny.spread,
        ).to_dict(),
        audio_token_index=tok.convert_tokens_to_ids("<|AUDIO|>"),
    )
    with torch.random.fork_rng():
        torch.manual_seed(tiny.seed)
        made = Qwen2AudioForConditionalGeneration(config).eval().to(tiny.dtype)
    end = tok.convert_tokens_to_ids("<|im_end|>")
    if not tiny.stops:
        with torch.no_grad():
            for name in ("<|im_end|>", "<|endoftext|>"):
                made.lm_head.weight[tok.convert_tokens_to_ids(name)] = 0.0
    made.generation_config.eos_token_id = end
    made.generation_config.pad_token_id = tok.convert_tokens_to_ids("<|endoftext|>")
    return made


def save(folder: Path, tiny: Tiny | None = None, **generation: object) -> Path:
    """Write a checkpoint as `save_pretrained` does; `generation` goes into its config."""
    tiny = tiny or Tiny()
    proc = processor(tiny.vocabulary)
    made = model(proc, tiny)
    for name, value in generation.items():
        setattr(made.generation_config, name, value)
    made.save_pretrained(folder)
    proc.save_pretrained(folder)
    return folder


def speechlike(seconds: float, seed: int = 0) -> NDArray[np.int16]:
    """Make audio somewhat like a voice: harmonics that swell and fade, over a little noise."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * 16_000)) / 16_000
    pitch = 130 + 30 * np.sin(2 * np.pi * (0.6 + 0.1 * seed) * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / 16_000
    voice = sum(np.sin(k * phase) / k for k in range(1, 16)) * (1 + np.sin(19 * time + seed))
    audio = 0.08 * voice + random.normal(0, 0.004, len(time))
    return (np.clip(audio, -1, 1) * 32767).astype(np.int16)
