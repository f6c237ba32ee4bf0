"""The words that the worker's loop and the model share: what a step computes, and what it gives.

Plain data: no tensors, no policy.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from realtime.engine.api import Clip, Logprob, Request, Sampling
from realtime.engine.audio_tokens import audio_tokens
from realtime.engine.detokenise import Spelling
from realtime.errors import EngineError

BLOCK = 64
"""Cells by which extents grow: 2.6 s of audio."""
Cell = int | tuple[str, int]
"""A token, or a frame of a clip by its id."""


@dataclass(frozen=True, slots=True)
class Placed:
    """A clip, whose audio tokens begin at this position of the prompt."""

    start: int
    clip: Clip

    @property
    def stop(self) -> int:
        """Give the position behind its audio tokens."""
        return self.start + audio_tokens(len(self.clip.pcm))


@dataclass(frozen=True, slots=True)
class Prompt:
    """Token ids with a run of audio tokens for each clip.

    Clips are found by position: a model may say the audio token itself, which stands for nothing.
    """

    ids: tuple[int, ...]
    clips: tuple[Placed, ...]
    head: int = 0
    """Ids before the first word of a user: what other conversations may begin with, too."""

    def cells(self) -> list[Cell]:
        """Name what is computed at each position: a token, or a frame of a clip."""
        cells: list[Cell] = list(self.ids)
        for placed in self.clips:
            count = placed.stop - placed.start
            cells[placed.start : placed.stop] = [(placed.clip.id, i) for i in range(count)]
        return cells


@dataclass(frozen=True, slots=True)
class Move:
    """Copy so many cells; source and target may overlap."""

    source: int
    target: int
    count: int


@dataclass(frozen=True, slots=True)
class Part:
    """What one answer gets in a step: its positions start to stop are computed."""

    serial: int
    start: int
    stop: int
    base: int
    """The cache's cell of position 0."""
    last: bool
    """Whether the answer's next token follows."""


@dataclass(frozen=True, slots=True)
class Step:
    """Cells to copy first, in this order, then positions to compute, all at once."""

    moves: tuple[Move, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class Sampled:
    """The next token of an answer."""

    token: int
    logprob: Logprob | None = None


class Prompter(Protocol):
    """Makes a prompt of a request."""

    def build(self, request: Request) -> Prompt: ...


class Computer(Protocol):
    """Computes tokens; see `runner.Runner`."""

    def begin(
        self, serial: int, prompt: Prompt, sampling: Sampling, prefix: tuple[int, ...]
    ) -> None: ...
    def move(self, moves: Iterable[Move]) -> None: ...
    def run(self, parts: Sequence[Part]) -> Mapping[int, Sampled | EngineError]: ...
    def free(self, serial: int) -> None: ...


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """What a loaded model gives to the loop."""

    prompts: Prompter
    runner: Computer
    spelling: Spelling
    ends: frozenset[int]
    """Tokens that end an answer."""
    context: int
    """Positions of one conversation; at most `cells`."""
    cells: int
    """Positions of keys and values, all conversations together."""
