"""How the next token is chosen: as transformers' processors do, but repeatable at any position.

Random numbers are a function of the seed and the position in the answer, not of a generator's
state, so that an answer resumed half-way goes on as it would have. Rows are chosen at once, each
with its own parameters.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from realtime.engine.api import Logprob, Sampling
from realtime.engine.transfer import fetch, send

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


@dataclass(frozen=True, slots=True)
class Draw:
    """One token to be chosen."""

    choice: Choice
    position: int
    """In the answer."""
    seen: Tensor | None = None
    """[V] bool: tokens of prompt and answer; needed for a repetition penalty only."""


def choose(logits: Tensor, draws: Sequence[Draw]) -> list[int | None]:
    """Choose a token for each row of logits [B, V]; None where they are not finite."""
    scores = penalise(logits.float(), draws)
    finite = torch.isfinite(scores).all(-1)
    tokens = scores.argmax(-1)
    drawn = [row for row, draw in enumerate(draws) if draw.choice.temperature > 0.0]
    if drawn:
        rows = send(drawn, scores.device)
        tokens[rows] = sample(scores[rows], [draws[row] for row in drawn])
    found = fetch(torch.stack((tokens, finite.long()))).tolist()
    return [token if good else None for token, good in zip(*found, strict=True)]


def penalise(scores: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Make tokens that were seen less likely (Keskar et al. 2019). scores: [B, V]."""
    if all(draw.choice.repetition_penalty == 1.0 for draw in draws):
        return scores
    nothing = torch.zeros(scores.shape[1], dtype=torch.bool, device=scores.device)
    seen = torch.stack([nothing if draw.seen is None else draw.seen for draw in draws])
    penalty = column([draw.choice.repetition_penalty for draw in draws], scores)
    return torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)


def sample(scores: Tensor, draws: Sequence[Draw]) -> Tensor:
    """Draw a token for each row of scores [B, V]; gives [B]."""
    choices = [draw.choice for draw in draws]
    scores = scores / column([choice.temperature for choice in choices], scores)
    scores, tokens = survivors(scores, choices)
    numbers = [uniform(draw.choice.seed, draw.position) for draw in draws]
    index = pick_index(scores, send(numbers, scores.device, torch.float64))
    return tokens.gather(1, index[:, None])[:, 0]


def survivors(scores: Tensor, choices: Sequence[Choice]) -> tuple[Tensor, Tensor]:
    """Give scores and tokens [B, K], the likeliest first; -inf where top-k or top-p removed it."""
    size = scores.shape[1]
    counts = [choice.top_k if 0 < choice.top_k < size else size for choice in choices]
    places = send(counts, scores.device)[:, None] - 1
    width = min(size, 2 * max(counts))
    found, tokens = ranked(scores, width)
    # Ties with the k-th score stay, as in TopKLogitsWarper; there may be many.
    if width < size and bool((found[:, -1:] >= found.gather(1, places)).any()):
        found, tokens = ranked(scores, size)
    found = found.masked_fill(found < found.gather(1, places), -torch.inf)
    if any(choice.top_p < 1.0 for choice in choices):
        # TopPLogitsWarper: what the less likely ones sum up to, itself included, must exceed 1 - p.
        rest = column([1.0 - choice.top_p for choice in choices], scores)
        below = found.flip(-1).softmax(-1).cumsum(-1).flip(-1)
        off = column([float(choice.top_p == 1.0) for choice in choices], scores) > 0
        keep = (below > rest) | off
        keep[:, 0] = True
        found = found.masked_fill(~keep, -torch.inf)
    return found, tokens


def ranked(scores: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Give the `width` highest scores of each row and their tokens, equal ones by token."""
    if width == scores.shape[1]:
        return scores.sort(dim=-1, descending=True, stable=True)
    tokens = scores.topk(width).indices.sort(-1).values
    found, order = scores.gather(1, tokens).sort(dim=-1, descending=True, stable=True)
    return found, tokens.gather(1, order)


def measure(
    logits: Tensor, tokens: Sequence[int | None], tops: Sequence[int | None]
) -> list[Logprob | None]:
    """Tell how likely tokens were by logits [B, V], and the likeliest, for rows that ask."""
    rows = [row for row, top in enumerate(tops) if top is not None and tokens[row] is not None]
    measured: list[Logprob | None] = [None] * len(tops)
    if not rows:
        return measured
    scores = logits[send(rows, logits.device)].float().log_softmax(-1)
    chosen = send([[tokens[row]] for row in rows], logits.device)
    said = fetch(scores.gather(1, chosen)[:, 0]).tolist()
    likeliest = scores.topk(max(tops[row] or 0 for row in rows))
    best, ids = (fetch(part).tolist() for part in likeliest)
    for i, row in enumerate(rows):
        token = tokens[row]
        assert token is not None
        top = tuple(zip(ids[i], best[i], strict=True))[: tops[row]]
        measured[row] = Logprob(token, said[i], top)
    return measured


def pick_index(scores: Tensor, numbers: Tensor) -> Tensor:
    """Pick by numbers [B] in [0, 1) from scores [B, K]: the inverse of the distribution."""
    cumulative = scores.softmax(-1).double().cumsum(-1)
    index = torch.searchsorted(cumulative, numbers[:, None] * cumulative[:, -1:], right=True)
    last = torch.isfinite(scores).sum(-1) - 1
    return torch.minimum(index[:, 0], last).clamp(min=0)


def column(values: Sequence[float], like: Tensor) -> Tensor:
    """Give one value per row, [B, 1]."""
    return send(values, like.device, like.dtype)[:, None]


def uniform(seed: int, position: int) -> float:
    """Give a number in [0, 1) for a seed and a position (SplitMix64: Steele et al. 2014)."""
    mixed = _mix(_mix(seed) + position)
    return (mixed >> 11) * 2.0**-53


def _mix(state: int) -> int:
    z = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)
