"""Tokens are chosen as transformers' processors choose, and repeatably at any position."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
from transformers import (
    RepetitionPenaltyLogitsProcessor,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from realtime.engine.api import Sampling
from realtime.engine.model import sampling
from realtime.engine.model.sampling import (
    Choice,
    Draw,
    Sampler,
    decide,
    penalise,
    survivors,
    uniform,
)

VOCABULARY = 2000
CPU = torch.device("cpu")
DEFAULT = Choice(temperature=0.7, top_k=20, top_p=0.5, repetition_penalty=1.1, seed=0)


def scores(seed: int, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    logits = (torch.randn(VOCABULARY, generator=generator) * 4).to(dtype)
    ids = torch.randint(0, VOCABULARY, (300,), generator=generator)
    return logits, ids


def stock(logits, ids, choice: Choice):
    """The distribution [V] that generate() samples from."""
    processors = [
        RepetitionPenaltyLogitsProcessor(choice.repetition_penalty),
        TemperatureLogitsWarper(choice.temperature),
    ]
    if choice.top_k:
        processors.append(TopKLogitsWarper(choice.top_k))
    if choice.top_p < 1.0:
        processors.append(TopPLogitsWarper(choice.top_p))
    result = logits.float()[None]
    for processor in processors:
        result = processor(ids[None], result)
    return result[0].softmax(-1)


def seen_of(ids):
    seen = torch.zeros(VOCABULARY, dtype=torch.bool)
    seen[ids] = True
    return seen


def column(values, dtype=torch.float32):
    return torch.tensor(values, dtype=dtype)[:, None]


def kept_of(scores, choices, width=VOCABULARY):
    """What `survivors` says of rows with these choices."""
    places = column([(min(c.top_k, VOCABULARY) or VOCABULARY) - 1 for c in choices], torch.long)
    return survivors(scores, places, column([1.0 - c.top_p for c in choices]), width)


def own(rows, choices, width=VOCABULARY):
    """The distributions [B, V] that ours are drawn from."""
    logits = torch.stack([logits for logits, _ in rows]).float()
    seen = torch.stack([seen_of(ids) for _, ids in rows])
    scores = penalise(logits, seen, column([c.repetition_penalty for c in choices]))
    left, tokens, enough = kept_of(
        scores / column([c.temperature for c in choices]), choices, width
    )
    assert enough.all()
    return torch.zeros(logits.shape).scatter(1, tokens, left.softmax(-1))


def choose(logits, draws):
    """What a sampler of just so many rows chooses."""
    return Sampler(len(draws), logits.shape[1], CPU).choose(logits, draws)


def draw_of(choice, position=0, tokens=(0,), serial=0):
    return Draw(serial, choice, tokens, position)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("top_p", [0.01, 0.5, 0.9, 1.0])
@pytest.mark.parametrize("top_k", [0, 1, 20, VOCABULARY, 10 * VOCABULARY])
@pytest.mark.parametrize(("penalty", "temperature"), [(1.0, 1.0), (1.1, 0.7), (0.8, 3.0)])
def test_the_distribution_is_that_of_transformers(dtype, top_p, top_k, penalty, temperature):
    choice = Choice(temperature, top_k, top_p, penalty, seed=0)
    # Beside others with other parameters, which must not matter.
    choices = [choice, DEFAULT, choice, Choice(1.3, 0, 0.8, 1.0, 0), choice]
    rows = [scores(seed, dtype) for seed in range(5)]
    for row, chosen, got in zip(rows, choices, own(rows, choices), strict=True):
        expected = stock(*row, chosen)
        if dtype == torch.bfloat16:
            # Many scores are equal; which of them top-p cuts is left to an unstable sort there.
            expected, got = expected.sort().values, got.sort().values
        assert torch.equal(expected > 0, got > 0)
        torch.testing.assert_close(got, expected, atol=1e-6, rtol=1e-5)


def test_many_ties_with_the_last_of_top_k_all_stay():
    logits = torch.zeros(1, VOCABULARY)
    logits[0, :3] = 1.0
    left, *_ = kept_of(logits, [Choice(1.0, 5, 1.0, 1.0, 0)])
    assert int(torch.isfinite(left).sum()) == VOCABULARY


@pytest.mark.parametrize("penalty", [1.0, 1.3])
def test_greedy_takes_the_likeliest_after_the_penalty(penalty):
    logits, ids = scores(7)
    seen = torch.zeros(VOCABULARY, dtype=torch.bool)
    seen[ids] = True
    seen[logits.argmax()] = True
    expected = RepetitionPenaltyLogitsProcessor(penalty)(seen.nonzero().T, logits[None]).argmax()
    draw = draw_of(Choice(0.0, 20, 0.5, penalty, 0), tokens=seen.nonzero()[:, 0].tolist())
    assert choose(logits[None], [draw]) == [int(expected)]


def test_sampled_tokens_follow_the_distribution():
    logits, ids = scores(3)
    choice = Choice(2.0, 8, 1.0, 1.0, seed=11)
    expected = stock(logits, ids, choice)
    count = 4000
    draws = [draw_of(choice, position, serial=position) for position in range(count)]
    drawn = Counter(choose(logits.expand(count, -1), draws))
    assert set(drawn) <= set(expected.nonzero()[:, 0].tolist())
    for token, times in drawn.items():
        p = float(expected[token])
        # Five standard deviations; the seed is fixed, so this never flickers.
        assert abs(times / count - p) < 5 * (p * (1 - p) / count) ** 0.5


def test_the_same_seed_and_position_give_the_same_number_and_others_do_not():
    numbers = [uniform(seed, position) for seed in range(30) for position in range(30)]
    assert numbers == [uniform(seed, position) for seed in range(30) for position in range(30)]
    assert len(set(numbers)) == 900
    assert all(0.0 <= number < 1.0 for number in numbers)
    assert abs(sum(numbers) / 900 - 0.5) < 0.05
    assert uniform(2**63 - 1, 8192) != uniform(2**63 - 2, 8192)


def test_what_is_left_open_is_as_the_checkpoint_says():
    assert decide(Sampling(), DEFAULT) == DEFAULT
    wanted = Sampling(temperature=0.0, top_k=0, top_p=1.0, repetition_penalty=1.0, seed=5)
    assert decide(wanted, DEFAULT) == Choice(0.0, 0, 1.0, 1.0, 5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_fail_their_row_alone(bad):
    logits = torch.stack([scores(0)[0]] * 4)
    logits[1:3, 5] = bad
    greedy = Choice(0.0, 0, 1.0, 1.0, 0)
    choices = (greedy, greedy, DEFAULT, DEFAULT)
    good, *failed, other = choose(logits, [draw_of(c, serial=i) for i, c in enumerate(choices)])
    assert failed == [None, None]
    assert good == int(logits[0].argmax())
    assert other is not None


def test_ties_beyond_what_was_looked_at_are_looked_at_after_all():
    logits = torch.zeros(2, VOCABULARY)
    logits[:, :3] = 1.0
    logits[1, 3:] = torch.linspace(0.9, -5, VOCABULARY - 3)
    _, _, enough = kept_of(logits, [Choice(1.0, 5, 1.0, 1.0, 0)] * 2, width=5 + sampling.BEYOND)
    assert enough.tolist() == [False, True]
    count = 300
    choice = Choice(1.0, 5, 1.0, 1.0, seed=1)
    draws = [draw_of(choice, position, serial=position) for position in range(count)]
    drawn = choose(logits[:1].expand(count, -1), draws)
    # Of 2000 tokens only three have a score of their own.
    assert max(drawn) > VOCABULARY // 2
    assert len(set(drawn)) > count // 2


def test_a_narrow_look_gives_the_same_distribution():
    choices = [DEFAULT, Choice(1.3, 50, 0.8, 1.0, 0)]
    rows = [scores(seed) for seed in range(2)]
    narrow = own(rows, choices, width=50 + sampling.BEYOND)
    torch.testing.assert_close(narrow, own(rows, choices), atol=1e-7, rtol=1e-6)


def test_an_answer_that_gave_its_row_up_goes_on_as_it_would_have():
    """Three answers take turns with two rows; everything they said is seen."""
    logits = scores(5)[0][None].expand(2, -1)
    choice = Choice(1.0, 0, 0.9, 5.0, seed=3)

    def said(rows, orders):
        sampler = Sampler(rows, VOCABULARY, CPU)
        tokens = {serial: [serial] for serial in range(3)}
        for pair in orders:
            draws = [Draw(s, choice, tokens[s], len(tokens[s]) - 1) for s in pair]
            for serial, token in zip(pair, sampler.choose(logits, draws), strict=True):
                tokens[serial].append(token)
        return tokens

    orders = [(0, 1), (1, 2), (2, 0), (0, 1)] * 5
    assert said(2, orders) == said(3, orders)


def test_a_row_that_is_free_again_knows_nothing_of_the_answer_before():
    logits = torch.tensor([[3.0, 2.0, 1.0]])
    choice = Choice(0.0, 0, 1.0, 4.0, 0)
    sampler = Sampler(1, 3, CPU)
    assert sampler.choose(logits, [draw_of(choice, tokens=[0])]) == [1]
    sampler.free(0)
    sampler.free(7)
    assert sampler.choose(logits, [draw_of(choice, tokens=[1])]) == [0]
    assert sampler.choose(logits, [draw_of(choice, tokens=[1, 0])]) == [2]
