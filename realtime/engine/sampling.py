"""How the next token is chosen: as transformers' processors do, but repeatable at any position.

Random numbers are a function of the seed and the position in the answer, not of a generator's
state, so that an answer resumed half-way goes on as it would have.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from realtime.engine.api import Sampling
from realtime.errors import EngineError

MASK = (1 << 64) - 1


@dataclass(frozen=True, slots=True)
class Choice:
    """Sampling with every value decided."""

    temperature: float
    """0 is greedy."""
    top_k: int
    """0 is off."""
    top_p: float
    repetition_penalty: float
    seed: int


def decide(wanted: Sampling, default: Choice) -> Choice:
    """Fill what is left open from the checkpoint's generation config."""
    names = ("temperature", "top_k", "top_p", "repetition_penalty", "seed")
    given = {name: getattr(wanted, name) for name in names}
    return replace(default, **{name: value for name, value in given.items() if value is not None})


def choose(logits: Tensor, seen: Tensor, choice: Choice, position: int) -> int:
    """Choose the next token. logits: [V], seen: [V] bool (prompt and answer), position in it."""
    scores = penalise(logits.float(), seen, choice.repetition_penalty)
    if not bool(torch.isfinite(scores).all()):
        raise EngineError("the model computed scores that are not finite")
    if choice.temperature == 0.0:
        return int(scores.argmax())
    scores, tokens = survivors(scores / choice.temperature, choice)
    return int(tokens[pick_index(scores, uniform(choice.seed, position))])


def penalise(scores: Tensor, seen: Tensor, penalty: float) -> Tensor:
    """Make tokens that were seen less likely (Keskar et al. 2019). scores, seen: [V]."""
    if penalty == 1.0:
        return scores
    return torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)


def survivors(scores: Tensor, choice: Choice) -> tuple[Tensor, Tensor]:
    """Give the scores and ids [K] that top-k and then top-p leave, the likeliest first."""
    tokens = torch.arange(len(scores), device=scores.device)
    if 0 < choice.top_k < len(scores):
        # Ties with the k-th score stay, as in TopKLogitsWarper.
        tokens = tokens[scores >= scores.topk(choice.top_k).values[-1]]
    scores, order = scores[tokens].sort(descending=True, stable=True)
    tokens = tokens[order]
    if choice.top_p < 1.0:
        # TopPLogitsWarper: what the less likely ones sum up to, itself included, must exceed 1 - p.
        below = scores.flip(0).softmax(-1).cumsum(-1).flip(0)
        keep = below > 1.0 - choice.top_p
        keep[0] = True
        scores, tokens = scores[keep], tokens[keep]
    return scores, tokens


def pick_index(scores: Tensor, number: float) -> Tensor:
    """Pick by a number in [0, 1): the inverse of the cumulative distribution."""
    cumulative = scores.softmax(-1).double().cumsum(-1)
    index = torch.searchsorted(cumulative, number * cumulative[-1], right=True)
    return index.clamp(max=len(scores) - 1)


def uniform(seed: int, position: int) -> float:
    """Give a number in [0, 1) for a seed and a position (SplitMix64: Steele et al. 2014)."""
    mixed = _mix(_mix(seed) + position)
    return (mixed >> 11) * 2.0**-53


def _mix(state: int) -> int:
    z = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)
