"""What is measured: the same conversations for both sides."""

from __future__ import annotations

import random
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from random_model import speechlike

from realtime.engine.api import Clip


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured."""

    turns: int = 20
    """Of the conversation whose first tokens are timed."""
    clip_s: float = 2.0
    """Seconds of audio in each of its turns."""
    answer: int = 8
    """Tokens of each of its answers."""
    repeats: int = 3
    """How often our side holds it; the median of each turn counts."""
    conversations: tuple[int, ...] = (1, 2, 4, 8, 16, 32)
    """How many at once."""
    tokens: int = 32
    """New tokens of each of them, at most."""
    one_after_another: int = 4
    """Conversations that tell how fast `generate()` is one after another; more take longer only."""

    sounds: tuple[NDArray[np.int16], ...] = ()
    """Recordings to ask with, for a model that understands them; else sounds are made up."""

    def turn(self, conversation: int, number: int) -> Clip:
        """Give the audio of one turn of the long conversation."""
        name = f"long {conversation}.{number}"
        return Clip(name, self.sound(100 * conversation + number, self.clip_s))

    def crowd(self, count: int, group: int) -> list[Clip]:
        """Give one question each for conversations at once, 1 to 4 s; groups are unlike."""
        draw = random.Random(group)
        return [
            Clip(f"crowd {group}.{i}", self.sound(1000 * group + i, draw.uniform(1.0, 4.0)))
            for i in range(count)
        ]

    def sound(self, number: int, seconds: float) -> NDArray[np.int16]:
        """Give one of the recordings, or make something like a voice."""
        if self.sounds:
            return self.sounds[number % len(self.sounds)]
        return speechlike(seconds, number)


SMOKE = Plan(
    turns=3, clip_s=0.5, answer=4, repeats=1, conversations=(1, 2), tokens=6, one_after_another=1
)
