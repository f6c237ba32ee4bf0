"""Random architectures, and conversations drawn to be hard on an engine that works at many at once.

A crowd of conversations arrives while others are being answered; dialogues are interrupted and
go on from the tokens that were heard; a batch comes all at once. Nothing here waits for a clock.
"""

from __future__ import annotations

import asyncio
import itertools
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from random_model import Shape, speechlike

from realtime.engine.api import AssistantTurn, Clip, Request, Sampling, SystemTurn, UserTurn
from realtime.engine.model.load import Loaded
from realtime.engine.worker.engine import WorkerEngine

from .sides import CUT, SAMPLE_RATE, Answer, Conversation, Result, forced, interrupted, ours, stock

SLOTS = 4
"""Of the engine; fewer than the crowd has conversations, so that some wait."""
CROWD, BATCH, DIALOGUES, TURNS = 8, 4, 3, 3
APART = 3
"""Deltas between two arrivals."""
SAYINGS = (
    "What's that sound?",
    "你好，世界。",
    "And the kitchen light?",
    "One, two, three.\n\nFour",
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A conversation that the engine answered: what was asked, with which limit, what came."""

    name: str
    turns: Conversation
    limit: int
    answer: Answer


def architectures(count: int) -> Iterator[tuple[str, Shape]]:
    """Give shapes that differ in heads, layers and weights; the first is MHA, the second GQA."""
    for seed in range(count):
        heads = (4, 4, 8, 6)[seed % 4]
        kv_heads = (heads, 2, 1)[seed % 3]
        shape = Shape(
            hidden=8 * heads * (1 + seed % 2),
            layers=2 + seed % 2,
            heads=heads,
            kv_heads=kv_heads,
            encoder_layers=2 + seed // 2 % 2,
            seed=seed,
            says_audio=False,
        )
        kind = "MHA" if heads == kv_heads else f"GQA {heads}:{kv_heads}"
        yield f"{kind}, seed {seed}", shape


class Draw:
    """Draws conversations; the same seed draws the same ones."""

    def __init__(self, seed: str) -> None:
        self.seed = seed
        self.random = random.Random(seed)
        self.count = itertools.count(1)

    def apart(self, number: int) -> Draw:
        """Give one for a conversation whose turns are drawn while others draw theirs."""
        return Draw(f"{self.seed} {number}")

    def clip(self) -> Clip:
        """Draw 0.3 to 6 s of something like a voice."""
        number = next(self.count)
        return Clip(f"{self.random.random()}", self.sound(number))

    def sound(self, number: int) -> NDArray[np.int16]:
        """Draw samples; lengths are of any remainder."""
        samples = int(SAMPLE_RATE * 0.3 * 20 ** self.random.random()) + self.random.randrange(160)
        return speechlike(samples / SAMPLE_RATE, number)

    def user(self) -> UserTurn:
        """Draw a user turn: mostly audio alone, or with text before or after it, or two clips."""
        text = self.random.choice(SAYINGS)
        layout = self.random.randrange(6)
        match layout:
            case 0:
                return UserTurn((self.clip(), text))
            case 1:
                return UserTurn((text, self.clip()))
            case 2:
                return UserTurn((self.clip(), self.clip(), text))
            case 3:
                return UserTurn((text,))
            case _:
                return UserTurn((self.clip(),))

    def opening(self) -> Conversation:
        """Draw the beginning of a conversation."""
        system = (SystemTurn("You are brief."),) if self.random.random() < 0.3 else ()
        return (*system, self.user())

    def limit(self) -> int:
        """Draw how many tokens an answer may have."""
        return self.random.randint(1, 30)


def request(name: str, conversation: str, turns: Conversation, limit: int) -> Request:
    """Ask for the likeliest answer."""
    return Request(name, conversation, turns, Sampling(temperature=0.0, max_tokens=limit))


async def crowd(engine: WorkerEngine, draw: Draw) -> list[Asked]:
    """Let conversations arrive one after the other while others are answered."""
    arrivals = [(draw.opening(), draw.limit()) for _ in range(CROWD)]
    doors = [asyncio.Event() for _ in arrivals]
    deltas = itertools.count(1)

    def notice() -> None:
        if next(deltas) % APART == 0:
            open_next(doors)

    async def arrive(number: int) -> Asked:
        turns, limit = arrivals[number]
        await doors[number].wait()
        asked = request(f"crowd {number}", f"crowd {number}", turns, limit)
        answer = await ours(engine, asked, notice=notice)
        open_next(doors)
        return Asked(asked.id, turns, limit, answer)

    doors[0].set()
    return list(await asyncio.gather(*map(arrive, range(CROWD))))


def open_next(doors: list[asyncio.Event]) -> None:
    """Let the next one in."""
    shut = (door for door in doors if not door.is_set())
    if door := next(shut, None):
        door.set()


async def dialogues(engine: WorkerEngine, draw: Draw) -> list[Asked]:
    """Hold dialogues at once; one answer of each is interrupted, and the dialogue goes on."""
    asked = await asyncio.gather(*(dialogue(engine, draw.apart(n), n) for n in range(DIALOGUES)))
    return [one for turns in asked for one in turns]


async def dialogue(engine: WorkerEngine, draw: Draw, number: int) -> list[Asked]:
    """Hold one dialogue; every answer is history for the next by the tokens that were heard."""
    turns = draw.opening()
    asked: list[Asked] = []
    for turn in range(TURNS):
        limit = draw.limit() + 2
        cut = draw.random.randint(1, limit - 1) if turn == 1 else None
        question = request(f"dialogue {number}.{turn}", f"dialogue {number}", turns, limit)
        answer = await ours(engine, question, cut=cut)
        asked.append(Asked(question.id, turns, limit, answer))
        turns = (*turns, AssistantTurn(answer.tokens), draw.user())
    return asked


async def together(engine: WorkerEngine, draw: Draw) -> list[Asked]:
    """Ask several conversations at the same time, with one limit."""
    limit = draw.limit() + 5
    questions = [request(f"batch {n}", f"batch {n}", draw.opening(), limit) for n in range(BATCH)]
    answers = await asyncio.gather(*(ours(engine, question) for question in questions))
    return [
        Asked(question.id, question.turns, limit, answer)
        for question, answer in zip(questions, answers, strict=True)
    ]


def check(loaded: Loaded, asked: Asked) -> Result:
    """Answer the same with `generate()`, alone."""
    (expected,) = stock(loaded, [asked.turns], asked.limit)
    if asked.answer.finish == CUT:
        expected = interrupted(loaded, expected, len(asked.answer.tokens))
    return examined(loaded, asked, expected)


def check_batch(loaded: Loaded, asked: list[Asked]) -> list[Result]:
    """Answer the same with `generate()`, as one batch padded on the left."""
    expected = stock(loaded, [one.turns for one in asked], asked[0].limit)
    return [examined(loaded, one, answer) for one, answer in zip(asked, expected, strict=True)]


def examined(loaded: Loaded, asked: Asked, expected: Answer) -> Result:
    """Compare; where the answers part, look how near the scores were."""
    result = Result(asked.name, asked.answer, expected)
    if result.equal or result.parting == len(expected.tokens):
        return result
    scores = forced(loaded, asked.turns, expected.tokens)[result.parting]
    best, second = scores.topk(2).values.tolist()
    return replace(result, margin=best - second)


@dataclass(frozen=True, slots=True)
class Nearness:
    """How near an engine of less precision stays to transformers, answer by answer forced to it."""

    tokens: int
    gap: float
    """The most that the score of a token chosen by the engine was below the best one."""
    noise: float
    """How far transformers' own scores are from those of float32, root mean square."""

    @property
    def tolerance(self) -> float:
        """Two scores may change places: one is three times the noise up, the other down."""
        return 6 * self.noise

    @property
    def within(self) -> bool:
        """Tell whether every choice may be due to precision."""
        return self.gap <= self.tolerance


def nearness(rough: Loaded, exact: Loaded, asked: list[Asked]) -> Nearness:
    """Hold the tokens of an engine against the scores of transformers in the same precision."""
    gap = square = count = 0.0
    for one in asked:
        said = one.answer.tokens
        if not said:
            continue
        scores = forced(rough, one.turns, said)
        chosen = scores.gather(1, scores.new_tensor(said).long()[:, None])[:, 0]
        gap = max(gap, float((scores.max(-1).values - chosen).max()))
        off = scores - forced(exact, one.turns, said)
        square, count = square + float(off.square().sum()), count + off.numel()
    tokens = sum(len(one.answer.tokens) for one in asked)
    return Nearness(tokens, gap, math.sqrt(square / max(count, 1.0)))
