"""Random Qwen2-Audio checkpoints of the exact architecture and any size, made offline.

Only dimensions and vocabulary differ: the front end is the real one (128 mel bins, 30 s).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
class Shape:
    """Dimensions and randomness of a checkpoint; tiny by default."""

    hidden: int = 48
    layers: int = 2
    heads: int = 4
    kv_heads: int = 4
    inner: int | None = None
    """Of the feed-forward layers; None: twice `hidden`."""
    encoder_hidden: int = 32
    encoder_layers: int = 2
    encoder_heads: int = 4
    encoder_inner: int | None = None
    vocabulary: int = 420
    """Tokens of the tokenizer, but for the special ones."""
    rows: int | None = None
    """Tokens that the model knows; None: those of the tokenizer."""
    context: int = 2048
    norm_eps: float = 1e-6
    dtype: torch.dtype = torch.float32
    seed: int = 0
    spread: float = 0.3
    """Standard deviation of the weights; large, so that answers vary and scores are apart."""
    stops: bool = True
    """False: it (almost) never says an end token."""
    says_audio: bool = True
    """False: it never says the audio token, which transformers cannot read in an answer."""
    plain: bool = False
    """It (almost) only says tokens of whole ASCII letters, so that each one is text at once."""


MID = Shape(
    hidden=1024, layers=12, heads=16, kv_heads=16, inner=2816,
    encoder_hidden=512, encoder_layers=6, encoder_heads=8, encoder_inner=2048,
    rows=32_000, context=8192, spread=0.02, stops=False, plain=True,
)  # fmt: skip
"""About 240 million parameters."""
QWEN_7B = Shape(
    hidden=4096, layers=32, heads=32, kv_heads=32, inner=11_008,
    encoder_hidden=1280, encoder_layers=32, encoder_heads=20, encoder_inner=5120,
    rows=156_032, context=8192, norm_eps=1e-5, dtype=torch.bfloat16, spread=0.02, stops=False,
    plain=True,
)  # fmt: skip
"""The dimensions of Qwen2-Audio-7B's config.json."""


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
    make: Any = PreTrainedTokenizerFast
    made: PreTrainedTokenizerFast = make(
        tokenizer_object=tok,
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
        additional_special_tokens=["<|im_start|>", "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"],
    )
    return made


def processor(vocabulary: int = 420) -> Any:
    """Make the processor, with the real front end."""
    hear: Any = WhisperFeatureExtractor
    make: Any = Qwen2AudioProcessor
    extractor = hear(feature_size=128, return_attention_mask=True)
    return make(extractor, tokenizer(vocabulary))


def config(tok: Any, shape: Shape) -> Qwen2AudioConfig:
    """Describe the model."""
    return Qwen2AudioConfig(
        audio_config=Qwen2AudioEncoderConfig(
            d_model=shape.encoder_hidden,
            encoder_layers=shape.encoder_layers,
            encoder_attention_heads=shape.encoder_heads,
            encoder_ffn_dim=shape.encoder_inner or 2 * shape.encoder_hidden,
            initializer_range=shape.spread,
        ).to_dict(),
        text_config=Qwen2Config(
            vocab_size=shape.rows or len(tok),
            hidden_size=shape.hidden,
            intermediate_size=shape.inner or 2 * shape.hidden,
            num_hidden_layers=shape.layers,
            num_attention_heads=shape.heads,
            num_key_value_heads=shape.kv_heads,
            max_position_embeddings=shape.context,
            rms_norm_eps=shape.norm_eps,
            initializer_range=shape.spread,
        ).to_dict(),
        audio_token_index=tok.convert_tokens_to_ids("<|AUDIO|>"),
    )


def model(proc: Any, shape: Shape, device: str = "cpu") -> Any:
    """Make the model with random weights, on the device."""
    tok = proc.tokenizer
    with torch.random.fork_rng(), torch.device(device), default_dtype(shape.dtype, device):
        torch.manual_seed(shape.seed)
        made: Any = Qwen2AudioForConditionalGeneration(config(tok, shape))
        made = made.eval().to(shape.dtype)
    made.requires_grad_(False)
    for token in unsaid(tok, shape):
        made.lm_head.weight[token] = 0.0
    made.generation_config.eos_token_id = tok.convert_tokens_to_ids("<|im_end|>")
    made.generation_config.pad_token_id = tok.convert_tokens_to_ids("<|endoftext|>")
    return made


@contextmanager
def default_dtype(dtype: torch.dtype, device: str) -> Iterator[None]:
    """Make large models in their own dtype at once; on a CPU numbers are drawn in float32."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(before if device == "cpu" else dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


def unsaid(tok: Any, shape: Shape) -> list[int]:
    """List the tokens whose score is to be 0, which is never the highest of many."""
    if shape.plain:
        rows = shape.rows or len(tok)
        words = [tok.convert_ids_to_tokens(i) if i < len(tok) else None for i in range(rows)]
        # "\u0120" is how byte-level vocabularies write a space.
        said = {i for i, w in enumerate(words) if w and w.lstrip("\u0120").isascii()}
        return sorted(set(range(rows)) - said | set(map(tok.convert_tokens_to_ids, SPECIAL)))
    ends = [] if shape.stops else ["<|im_end|>", "<|endoftext|>"]
    audio = [] if shape.says_audio else ["<|AUDIO|>"]
    return [tok.convert_tokens_to_ids(name) for name in (*ends, *audio)]


def save(
    folder: Path, shape: Shape | None = None, *, device: str = "cpu", **generation: object
) -> Path:
    """Write a checkpoint as `save_pretrained` does; `generation` goes into its config."""
    shape = shape or Shape()
    proc = processor(shape.vocabulary)
    made = model(proc, shape, device)
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
    harmonics = np.sum([np.sin(k * phase) / k for k in range(1, 16)], axis=0)
    voice = harmonics * (1 + np.sin(19 * time + seed))
    audio = 0.08 * voice + random.normal(0, 0.004, len(time))
    pcm: NDArray[np.int16] = (np.clip(audio, -1, 1) * 32767).astype(np.int16)
    return pcm
