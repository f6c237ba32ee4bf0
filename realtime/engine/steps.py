"""The words that the worker's loop and the model share: who is generated for, and what a step does.

Plain data: no tensors, no policy.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import InitVar, dataclass, field
from typing import Protocol

from realtime.engine.api import Clip, Logprob, Request, Sampling
from realtime.engine.audio_tokens import audio_tokens
from realtime.engine.detokenise import Spelling
from realtime.errors import EngineError

BLOCK = 64
"""Cells by which extents grow: 2.6 s of audio."""
ClipStarts = tuple[tuple[int, str], ...]
"""Where clips begin among tokens, and their ids."""


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


@dataclass(slots=True, eq=False)
class Allocation:
    """Cells start to start + size, of which the first `used` hold something."""

    start: int
    size: int
    used: int = 0

    @property
    def stop(self) -> int:
        """Give the first cell behind it."""
        return self.start + self.size


@dataclass(slots=True, eq=False)
class Sequence:
    """One generation, waiting or running; only the scheduler adds tokens to it."""

    serial: int
    prompt: Prompt
    sampling: Sampling
    prefix: InitVar[Iterable[int]] = ()
    """What was said already, of an answer that goes on."""
    tokens: list[int] = field(init=False)
    """Of prompt and answer so far."""
    heard: ClipStarts = field(init=False)
    conversation: str = ""
    low: bool = False
    """Of low priority."""
    alone: bool = False
    """Its prompt may be what kills the worker: nothing else is in its steps until it talks."""
    allocation: Allocation | None = None
    """Its cells while it runs."""
    cached: int | None = None
    """Cells that needed no computation when it was first begun."""
    order: int = 0
    """When it began to run, as a count."""

    def __post_init__(self, prefix: Iterable[int]) -> None:
        """Begin behind the prompt and what was said already."""
        self.tokens = [*self.prompt.ids, *prefix]
        self.heard = tuple((placed.start, placed.clip.id) for placed in self.prompt.clips)

    @property
    def said(self) -> int:
        """Count the tokens of the answer so far."""
        return len(self.tokens) - len(self.prompt.ids)

    @property
    def used(self) -> int:
        """Count the positions that are computed."""
        assert self.allocation is not None
        return self.allocation.used

    @property
    def left(self) -> int:
        """Count the positions that are to be computed."""
        return len(self.tokens) - self.used

    @property
    def decodes(self) -> bool:
        """Tell whether only its last token is to be computed."""
        return self.left == 1


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

    def begin(self, sequence: Sequence) -> None: ...
    def move(self, moves: Iterable[Move]) -> None: ...
    def run(self, parts: Collection[Part]) -> Mapping[int, Sampled | EngineError]: ...
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
