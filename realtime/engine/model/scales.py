"""How far keys and values reach, and what they are divided by to be kept in fp8.

The largest fp8 number is 448, and some models' keys go beyond it: their projections have large
biases. So a little text and noise is read once in the model's own dtype before keys and values are
kept in fp8, and a layer that comes near the end is kept divided by a power of two, which costs no
precision. What then still goes beyond is cut off.
"""

from __future__ import annotations

import math
import sys
from typing import Any

import numpy as np
import torch

from realtime.audio.pcm import SAMPLE_RATE
from realtime.engine.api import Clip, Sampling
from realtime.engine.audio_tokens import audio_tokens
from realtime.engine.model.kv_cache import FP8_MOST, PLAIN, Scale
from realtime.engine.model.load import Loaded
from realtime.engine.model.runner import Runner
from realtime.engine.steps import Part, Placed, Prompt, Sequence
from realtime.errors import ModelError

WORDS = 160
"""Tokens that are read, of anywhere in the vocabulary."""
NOISE = SAMPLE_RATE * 2
"""Samples that are heard."""
HEADROOM = 2.0
"""Times the largest number seen that must fit: what people say may go further."""


def measured(loaded: Loaded) -> tuple[Scale, ...]:
    """Give each layer's scale; raise ModelError when keys or values are not finite."""
    reached = reaches(loaded)
    if not all(map(math.isfinite, (number for pair in reached for number in pair))):
        raise ModelError("keys or values of the model are not finite: they cannot be kept in fp8")
    found = tuple(Scale(fitting(keys), fitting(values)) for keys, values in reached)
    if divided := [scale for scale in found if scale != PLAIN]:
        print(
            f"keys and values reach {max(map(max, reached)):,.0f} where fp8 ends at "
            f"{FP8_MOST:.0f}: "
            f"{len(divided)} of {len(found)} layers are kept divided by up to "
            f"{max(max(scale.keys, scale.values) for scale in divided):.0f}",
            file=sys.stderr,
            flush=True,
        )
    return found


@torch.inference_mode()
def reaches(loaded: Loaded) -> list[tuple[float, float]]:
    """Give the largest key and value of each layer, as numbers without a sign."""
    draw = np.random.default_rng(0)
    noise = Clip("noise", (draw.normal(0, 3000, NOISE)).clip(-32768, 32767).astype(np.int16))
    heard = audio_tokens(NOISE)
    model: Any = loaded.model
    words = draw.integers(0, model.config.text_config.vocab_size, WORDS + heard)
    prompt = Prompt(tuple(words.tolist()), (Placed(WORDS // 2, noise),))
    size = len(prompt.ids)
    runner = Runner(loaded, cells=size, slots=1)
    runner.begin(Sequence(0, prompt, Sampling()))
    runner.run((Part(0, 0, size, 0, False),))
    found = [(layer.keys.abs().amax(), layer.values.abs().amax()) for layer in runner.kv.arenas]
    return [(float(keys), float(values)) for keys, values in found]


def fitting(reached: float) -> float:
    """Give the power of two by which such numbers fit with some room; 1 where they do already."""
    return 2.0 ** max(0, math.ceil(math.log2(max(reached, 1.0) * HEADROOM / FP8_MOST)))
