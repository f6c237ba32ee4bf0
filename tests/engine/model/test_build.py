"""The worker's loop with the real model, in this process: many conversations, reuse, trouble."""

from __future__ import annotations

import numpy as np
import pytest
import tiny_model
import torch

from realtime.engine.api import AssistantTurn, Clip, Request, Sampling, UserTurn
from realtime.engine.model import build as building
from realtime.engine.model.load import load
from realtime.engine.worker import messages
from realtime.engine.worker.core import EngineCore
from realtime.engine.worker.scheduler import SchedulerConfig

GREEDY = Sampling(temperature=0.0, max_tokens=20)
CLIPS = [Clip(f"c{i}", tiny_model.speechlike(0.5 + 0.4 * i, i)) for i in range(4)]


class Desk:
    """A loop with a real model, and what the gateway is told."""

    def __init__(self, loaded, *, slots: int = 4, chunk: int = 48, **more) -> None:
        self.model, self.info = building.build(loaded, slots=slots, chunk=chunk, **more)
        self.told: list[messages.FromWorker] = []
        config = SchedulerConfig(slots, 16, chunk, self.model.cells)
        self.core = EngineCore(self.model, config, self.told.append)
        self.serial = 0

    def ask(self, *turns, conversation: str = "c", sampling: Sampling = GREEDY, **more) -> int:
        self.serial += 1
        request = Request(f"r{self.serial}", conversation, turns, sampling, **more)
        for clip in messages.clips_of(request).values():
            self.core.receive(messages.hear(clip))
        self.core.receive(messages.generate(self.serial, request))
        return self.serial

    def run(self, steps: int = 10_000) -> None:
        for _ in range(steps):
            if not self.core.step():
                return

    def deltas(self, serial: int):
        return [m.delta for m in self.told if isinstance(m, messages.Piece) and m.serial == serial]

    def tokens(self, serial: int) -> tuple[int, ...]:
        return tuple(token for delta in self.deltas(serial) for token in delta.tokens)

    def usage(self, serial: int):
        return self.deltas(serial)[-1].usage

    def failed(self) -> dict[int, str]:
        return {m.serial: m.reason for m in self.told if isinstance(m, messages.Failed)}


@pytest.fixture(scope="module")
def speaker(endless):
    return load(str(endless))


def test_a_further_turn_needs_only_what_is_new_and_a_repeated_request_next_to_nothing(speaker):
    desk = Desk(speaker)
    first = UserTurn((CLIPS[0],))
    one = desk.ask(first)
    desk.run()
    two = desk.ask(first, AssistantTurn(desk.tokens(one)), UserTurn((CLIPS[1],)))
    desk.run()
    again = desk.ask(first, AssistantTurn(desk.tokens(one)), UserTurn((CLIPS[1],)))
    desk.run()
    alone = Desk(speaker)
    fresh = alone.ask(first, AssistantTurn(desk.tokens(one)), UserTurn((CLIPS[1],)))
    alone.run()
    assert desk.tokens(two) == desk.tokens(again) == alone.tokens(fresh)
    # All but the last token of the answer, which was said and never read.
    assert desk.usage(one).cached_tokens == alone.usage(fresh).cached_tokens == 0
    assert desk.usage(two).cached_tokens == desk.usage(one).prompt_tokens + 19
    assert desk.usage(again).cached_tokens == desk.usage(again).prompt_tokens - 1


def test_an_answer_asked_for_with_its_prefix_goes_on_without_computing_it_again(speaker):
    desk = Desk(speaker)
    one = desk.ask(UserTurn((CLIPS[0],)))
    desk.run(8)
    desk.core.receive(messages.Cancel(one))
    prefix = desk.tokens(one)
    assert 0 < len(prefix) < 20
    rest = desk.ask(UserTurn((CLIPS[0],)), prefix=prefix)
    desk.run()
    whole = Desk(speaker)
    other = whole.ask(UserTurn((CLIPS[0],)))
    whole.run()
    assert prefix + desk.tokens(rest) == whole.tokens(other)
    assert desk.usage(rest).cached_tokens == desk.usage(rest).prompt_tokens


def test_conversations_do_not_see_each_other(speaker):
    desk = Desk(speaker)
    one = desk.ask(UserTurn((CLIPS[0],)), conversation="a")
    desk.run()
    other = desk.ask(UserTurn((CLIPS[0],)), conversation="b")
    desk.run()
    assert desk.tokens(one) == desk.tokens(other)
    # Of what others heard and said nothing is reused, only what every conversation begins with.
    prompt = desk.model.prompts.build(Request("r", "b", (UserTurn((CLIPS[0],)),)))
    assert desk.usage(one).cached_tokens == 0
    assert desk.usage(other).cached_tokens == prompt.head <= prompt.clips[0].start


def trouble(desk: Desk, monkeypatch, most: int, error: Exception) -> None:
    """Let the language model fail whenever it is given more positions than this."""
    model = desk.model.runner.core.language_model
    stock = type(model).forward

    def forward(self, *args, inputs_embeds, **more):
        if inputs_embeds.shape[1] > most:
            raise error
        return stock(self, *args, inputs_embeds=inputs_embeds, **more)

    monkeypatch.setattr(type(model), "forward", forward)


def test_a_batch_that_is_too_much_for_the_memory_runs_one_by_one(speaker, monkeypatch):
    desk = Desk(speaker)
    trouble(desk, monkeypatch, 3, torch.OutOfMemoryError("CUDA out of memory"))
    serials = [desk.ask(UserTurn((str(i),)), conversation=str(i)) for i in range(4)]
    monkeypatch.undo()
    desk.run(3)
    trouble(desk, monkeypatch, 3, torch.OutOfMemoryError("CUDA out of memory"))
    desk.run()
    assert desk.failed() == {}
    assert [len(desk.tokens(serial)) for serial in serials] == [20] * 4


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out of memory"),
        (ZeroDivisionError("a bug"), "ZeroDivisionError: a bug"),
    ],
)
def test_what_fails_while_its_prompt_is_read_fails_alone(speaker, monkeypatch, error, reason):
    desk = Desk(speaker)
    good = desk.ask(UserTurn(("hello",)), conversation="good")
    desk.run(3)
    trouble(desk, monkeypatch, 40, error)
    bad = desk.ask(UserTurn(("x" * 200,)), conversation="bad")
    desk.run()
    assert list(desk.failed()) == [bad]
    assert reason in desk.failed()[bad]
    assert len(desk.tokens(good)) == 20


def test_what_fails_while_its_audio_is_encoded_fails_alone(speaker, monkeypatch):
    desk = Desk(speaker)
    good = desk.ask(UserTurn(("hello",)), conversation="good")
    desk.run(3)

    def fail(*_):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("realtime.engine.model.audio_embeddings.encode", fail)
    bad = desk.ask(UserTurn((CLIPS[0],)), conversation="bad")
    desk.run()
    assert "out of memory" in desk.failed()[bad]
    assert len(desk.tokens(good)) == 20
    monkeypatch.undo()
    again = desk.ask(UserTurn((CLIPS[0],)), conversation="bad")
    desk.run()
    assert len(desk.tokens(again)) == 20


def test_bad_requests_fail_alone_and_are_named(speaker):
    desk = Desk(speaker)
    good = desk.ask(UserTurn(("hello",)))
    empty = desk.ask(UserTurn((Clip("empty", np.zeros(0, np.int16)),)))
    long = desk.ask(UserTurn((CLIPS[0], "word " * 3000)))
    nothing = desk.ask()
    desk.core.receive(
        messages.Generate(
            99, "c", (messages.User((messages.Heard("nobody"),)),), GREEDY, (), True, "normal"
        )
    )
    desk.run()
    failed = desk.failed()
    assert "0.1 to 30 s" in failed[empty]
    assert "context is 2048" in failed[long]
    assert "empty" in failed[nothing]
    assert messages.Missing(99, ("nobody",)) in desk.told
    assert len(desk.tokens(good)) == 20


def test_more_conversations_than_there_are_cells_are_all_answered_as_alone(speaker):
    one = building.build(speaker, slots=1, chunk=64)[0].runner.kv.arenas[0].keys[:, :1].nbytes * 4
    few = Desk(speaker, slots=3, kv_bytes=640 * one)
    many = Desk(speaker)
    said = []
    for desk in (few, many):
        serials = [
            desk.ask(UserTurn((CLIPS[i % 4], f"{i}")), conversation=f"{i % 6}") for i in range(12)
        ]
        desk.run()
        said.append([desk.tokens(serial) for serial in serials])
    assert few.model.cells == 640
    assert said[0] == said[1]
    assert few.failed() == {}
