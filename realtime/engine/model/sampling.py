"""How the next token is chosen: as transformers' processors do, but repeatable at any position.

Random numbers are a function of the seed and the position in the answer, not of a generator's
state, so that an answer resumed half-way goes on as it would have. That a seed gives the same
answer again holds in float32 on a CPU only: elsewhere scores depend on who else is in a step.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from realtime.engine.api import Logprob, Sampling
from realtime.engine.model.transfer import fetch, send

MASK = (1 << 64) - 1
BEYOND = 32
"""Scores that are looked at behind top-k's last, which may be equal to it."""


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

    serial: int
    """Of the answer."""
    choice: Choice
    tokens: Sequence[int]
    """Of prompt and answer so far."""
    position: int
    """In the answer."""


class Sampler:
    """Chooses tokens of many answers at once; what each of them needs lies on the device.

    An answer takes a row of those tensors when its first token is chosen. Where there are more
    answers than rows, the one that was last chosen for the longest ago gives its row up. A step
    sends one small tensor, asks the device nothing, and fetches its tokens at the end.
    """

    def __init__(self, rows: int, vocabulary: int, device: torch.device) -> None:
        self.settings = torch.zeros(4, rows, device=device)
        """[4, rows]: temperature, top-k's last place, 1 - top-p, repetition penalty."""
        self.seen = torch.zeros(rows, vocabulary, dtype=torch.bool, device=device)
        """Tokens of prompt and answer; of answers with a repetition penalty only."""
        self.yes = torch.ones((), dtype=torch.bool, device=device)
        self.rows: OrderedDict[int, int] = OrderedDict()
        """By serial, the longest ago first."""
        self.spare = list(range(rows))

    def choose(self, logits: Tensor, draws: Sequence[Draw]) -> list[int | None]:
        """Choose a token for each row of logits [B, V]; None where they are not finite."""
        assert len(draws) <= self.seen.shape[0], "more answers in a step than there are rows"
        choices = [draw.choice for draw in draws]
        if all(c.temperature == 0.0 and c.repetition_penalty == 1.0 for c in choices):
            tokens, finite = fetch(torch.stack(likeliest(logits.float()))).tolist()
            return [token if good else None for token, good in zip(tokens, finite, strict=True)]
        rows = [self._row(draw) for draw in draws]
        latest = [draw.tokens[-1] for draw in draws]
        numbers = [random_bits(draw.choice.seed, draw.position) for draw in draws]
        sent = send([rows, latest, numbers], logits.device)
        size = logits.shape[1]
        width = min(size, max(kept(choice, size) for choice in choices) + BEYOND)
        tokens, finite, *enough = fetch(self._chosen(logits, choices, sent, width)).tolist()
        for narrow in enough:
            if not all(narrow):
                whole = fetch(self._chosen(logits, choices, sent, size))[0].tolist()
                tokens = [tokens[i] if held else whole[i] for i, held in enumerate(narrow)]
        return [token if good else None for token, good in zip(tokens, finite, strict=True)]

    def free(self, serial: int) -> None:
        """Take an answer's row from it; unknown ones are ignored."""
        if (row := self.rows.pop(serial, None)) is not None:
            self.spare.append(row)

    def _row(self, draw: Draw) -> int:
        """Give an answer's row, which it may have to take first."""
        if draw.serial in self.rows:
            self.rows.move_to_end(draw.serial)
            return self.rows[draw.serial]
        row = self.spare.pop() if self.spare else self.rows.popitem(last=False)[1]
        self.rows[draw.serial] = row
        choice = draw.choice
        place = float(kept(choice, self.seen.shape[1]) - 1)
        values = (choice.temperature, place, 1.0 - choice.top_p, choice.repetition_penalty)
        self.settings[:, row].copy_(send(values, self.seen.device, torch.float32))
        if choice.repetition_penalty != 1.0:
            self.seen[row].zero_().index_fill_(0, send(draw.tokens, self.seen.device), True)
        return row

    def _chosen(
        self, logits: Tensor, choices: Sequence[Choice], sent: Tensor, width: int
    ) -> Tensor:
        """Give rows [B]: tokens, whether scores are finite, and if drawn, if `width` is enough."""
        rows, latest, numbers = sent
        scores = logits.float()
        if any(choice.repetition_penalty != 1.0 for choice in choices):
            self.seen.index_put_((rows, latest), self.yes)
            scores = penalise(
                scores, self.seen.index_select(0, rows), self.settings[3, rows][:, None]
            )
        tokens, finite = likeliest(scores)
        if not any(choice.temperature > 0.0 for choice in choices):
            return torch.stack((tokens, finite))
        temperature, place, rest = self.settings[:3, rows][..., None]
        drawn = temperature > 0.0
        left, candidates, enough = survivors(
            scores / torch.where(drawn, temperature, 1.0),
            place.long(),
            rest if any(choice.top_p < 1.0 for choice in choices) else None,
            width,
        )
        index = pick_index(left, numbers.double() * 2.0**-53)
        tokens = torch.where(drawn[:, 0], candidates.gather(1, index[:, None])[:, 0], tokens)
        enough |= ~(drawn[:, 0] & (finite > 0))
        return torch.stack((tokens, finite, enough.long()))


def likeliest(scores: Tensor) -> tuple[Tensor, Tensor]:
    """Give the likeliest token of each row [B, V], and whether all its scores are finite."""
    # Both ends are NaN where any score is; on a CPU this is ten times as fast as asking each.
    return scores.argmax(-1), torch.isfinite(scores.amax(-1) - scores.amin(-1)).long()


def kept(choice: Choice, size: int) -> int:
    """Count the tokens that may be drawn as far as top-k goes."""
    return (min(choice.top_k, size) or size) if choice.temperature > 0.0 else 1


def penalise(scores: Tensor, seen: Tensor, penalty: Tensor) -> Tensor:
    """Make tokens that were seen less likely (Keskar et al. 2019). [B, V], [B, V], [B, 1]."""
    return torch.where(seen, torch.where(scores < 0, scores * penalty, scores / penalty), scores)


def survivors(
    scores: Tensor, place: Tensor, rest: Tensor | None, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Give scores and tokens [B, width], the likeliest first; -inf where they are removed.

    `place` [B, 1] is that of the last score that top-k keeps, `rest` [B, 1] is 1 - top-p. Last
    comes whether `width` holds all that may be kept, [B]: scores equal to top-k's last stay, as in
    TopKLogitsWarper, and there may be many.
    """
    found, tokens = ranked(scores, width)
    least = found.gather(1, place)
    enough = found[:, -1] < least[:, 0]
    if width == scores.shape[1]:
        enough = torch.ones_like(enough)
    found = found.masked_fill(found < least, -torch.inf)
    if rest is not None:
        # TopPLogitsWarper: what the less likely ones sum up to, itself included, must exceed 1 - p.
        below = found.flip(-1).softmax(-1).cumsum(-1).flip(-1)
        removed = (below <= rest) & (rest > 0.0)
        removed[:, :1].zero_()
        found = found.masked_fill(removed, -torch.inf)
    return found, tokens, enough


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


def uniform(seed: int, position: int) -> float:
    """Give a number in [0, 1) for a seed and a position."""
    return random_bits(seed, position) * 2.0**-53


def random_bits(seed: int, position: int) -> int:
    """Give 53 bits for a seed and a position (SplitMix64: Steele et al. 2014)."""
    return _mix(_mix(seed) + position) >> 11


def _mix(state: int) -> int:
    z = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)
