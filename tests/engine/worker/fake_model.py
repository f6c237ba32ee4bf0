"""A model without tensors for the worker's loop: the last text of a request says what it does.

A token is one byte of the answer's text; token 256 ends it.
"""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

from realtime.engine.api import Logprob, Request, UserTurn
from realtime.engine.steps import LoadedModel, Placed, Sampled, Sequence
from realtime.errors import ContextTooLong, EngineError

END = 256
CONTEXT = 10_000


class Bytes:
    """Every token is its byte."""

    def __getitem__(self, token: int) -> bytes:
        return bytes([token])


@dataclass(frozen=True)
class FakePrompt:
    ids: tuple[int, ...]
    text: str
    clips: tuple[Placed, ...] = ()
    head: int = 0


class FakePrompts:
    """The prompt is the last text; `long` does not fit."""

    def build(self, request: Request) -> FakePrompt:
        last = request.turns[-1]
        assert isinstance(last, UserTurn)
        text = "".join(part for part in last.parts if isinstance(part, str))
        if text == "long":
            raise ContextTooLong("too long for a fake")
        return FakePrompt(tuple(text.encode()), text)


class FakeRunner:
    """Says what the prompt says after `say `; a word before it makes trouble.

    `die 5 say ...` kills the process after five steps of this answer in each process's life,
    `poison` at its prefill; `break say ...` and `fail say ...` raise after three tokens.
    """

    def __init__(self) -> None:
        self.answers: dict[int, tuple[str, list[int]]] = {}
        self.steps: dict[int, int] = {}
        self.widths: list[int] = []
        """Answers in each step."""

    def begin(self, sequence: Sequence) -> None:
        order, _, text = sequence.prompt.text.rpartition("say ")
        self.answers[sequence.serial] = order, [*text.encode(), END][sequence.said :]
        self.steps[sequence.serial] = 0

    def move(self, moves) -> None:
        pass

    def run(self, parts) -> dict[int, Sampled]:
        self.widths.append(len(parts))
        for part in parts:
            self.trouble(part.serial)
        for part in parts:
            self.steps[part.serial] += 1
        return {part.serial: self.say(part.serial) for part in parts if part.last}

    def say(self, serial: int) -> Sampled:
        token = self.answers[serial][1].pop(0)
        return Sampled(token, Logprob(token, -0.5))

    def trouble(self, serial: int) -> None:
        """Do what the prompt orders before it says anything."""
        word, _, number = self.answers[serial][0].strip().partition(" ")
        if word == "poison" or (word == "die" and self.steps[serial] >= int(number)):
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "break" and self.steps[serial] >= 3:
            raise ZeroDivisionError("a bug")
        if word == "fail" and self.steps[serial] >= 3:
            raise EngineError("out of memory: a fake's")

    def free(self, serial: int) -> None:
        self.answers.pop(serial, None)


def fake_model() -> LoadedModel:
    return LoadedModel(FakePrompts(), FakeRunner(), Bytes(), frozenset({END}), CONTEXT, 4 * CONTEXT)
