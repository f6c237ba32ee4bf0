"""The worker's loop, without process or tensors: who is answered, cancelled, failed, and when."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from engine.worker.fake_model import fake_model

from realtime.engine.api import Clip, Delta, Request, Sampling, Usage, UserTurn
from realtime.engine.worker import messages
from realtime.engine.worker.core import ClipStore, EngineCore
from realtime.engine.worker.scheduler import SchedulerConfig


class Loop:
    """The loop with a gateway that writes down what it is told."""

    def __init__(self, *, model=None, clip_bytes: int = 1000, **config) -> None:
        self.told: list[messages.FromWorker] = []
        self.core = EngineCore(
            model or fake_model(),
            SchedulerConfig(**{"slots": 8, "queue": 64, "chunk": 256, "cells": 1 << 16} | config),
            self.told.append,
            clip_bytes=clip_bytes,
        )

    def ask(self, serial: int, *parts, **more) -> None:
        request = Request("r", "c", (UserTurn(parts),), **more)
        self.core.receive(messages.generate(serial, request))

    def receive(self, message: messages.ToWorker) -> None:
        self.core.receive(message)

    def run(self, steps: int = 10_000) -> int:
        """Run so many steps, or until there are none; tell how many ran."""
        return next((i for i in range(steps) if not self.core.step()), steps)

    def deltas(self, serial: int) -> list[Delta]:
        pieces = [m for m in self.told if isinstance(m, messages.Piece)]
        return [piece.delta for piece in pieces if piece.serial == serial]

    def text(self, serial: int) -> str:
        return "".join(delta.text for delta in self.deltas(serial))


def test_an_answer_ends_with_its_usage_and_leaves_nothing():
    loop = Loop()
    loop.ask(1, "say héllo")
    loop.run()
    assert loop.text(1) == "héllo"
    assert [d.text for d in loop.deltas(1)] == ["h", "", "é", "l", "l", "o", ""]
    assert [len(d.tokens) for d in loop.deltas(1)] == [1, 0, 2, 1, 1, 1, 0]
    assert loop.deltas(1)[-1] == Delta((), "", "stop", Usage(10, 0, 6))
    # Whatever is held back for a whole character, each token brings its own.
    assert all(tuple(lp.token for lp in d.logprobs) == d.tokens for d in loop.deltas(1))
    assert not loop.core.outputs
    assert not loop.core.model.runner.answers


def test_the_gateway_knows_which_answers_the_model_is_at():
    loop = Loop(slots=1)
    loop.ask(1, "say a")
    loop.ask(2, "say b")
    loop.run(1)
    assert loop.told[0] == messages.Begun((1,))
    assert not any(isinstance(m, messages.Begun) and 2 in m.serials for m in loop.told)


def test_answers_take_turns():
    loop = Loop()
    loop.ask(1, "say aaaa")
    loop.ask(2, "say bbbb")
    loop.run(4)
    assert len(loop.deltas(1)) == len(loop.deltas(2)) == 4
    assert loop.core.model.runner.widths == [2] * 4


def test_a_cancelled_answer_says_nothing_more():
    loop = Loop()
    loop.ask(1, "say abcdef")
    loop.ask(2, "say uvwxyz")
    loop.run(3)
    said = loop.text(1)
    loop.receive(messages.Cancel(1))
    loop.receive(messages.Cancel(99))
    loop.run()
    assert loop.text(1) == said != "abcdef"
    assert loop.text(2) == "uvwxyz"
    assert not loop.core.model.runner.answers


def test_a_waiting_answer_can_be_cancelled():
    loop = Loop(slots=1)
    loop.ask(1, "say a")
    loop.ask(2, "say b")
    loop.receive(messages.Cancel(2))
    loop.run()
    assert (loop.text(1), loop.text(2)) == ("a", "")


def test_an_answer_goes_on_after_its_prefix_and_counts_it():
    loop = Loop()
    loop.ask(1, "say abcdef", prefix=tuple(b"abc"))
    loop.run()
    assert loop.text(1) == "def"
    assert loop.deltas(1)[-1].usage.completion_tokens == 6


@pytest.mark.parametrize(
    ("limit", "text", "finish"), [(3, "abc", "length"), (6, "abcdef", "length")]
)
def test_the_limit_on_tokens_ends_an_answer(limit, text, finish):
    loop = Loop()
    loop.ask(1, "say abcdef", sampling=Sampling(max_tokens=limit))
    loop.run()
    assert (loop.text(1), loop.deltas(1)[-1].finish) == (text, finish)


def test_a_prefix_that_reached_the_limit_needs_no_step():
    loop = Loop()
    loop.ask(1, "say abc", prefix=tuple(b"abc"), sampling=Sampling(max_tokens=3))
    assert loop.run() == 0
    assert loop.deltas(1) == [Delta((), "", "length", Usage(7, 0, 3))]


def test_the_context_ends_an_answer():
    loop = Loop(model=replace(fake_model(), context=14))
    loop.ask(1, "say abcdef")
    loop.run()
    assert (loop.text(1), loop.deltas(1)[-1].finish) == ("abcd", "length")


def test_a_character_cut_by_the_limit_is_told_as_broken():
    loop = Loop()
    loop.ask(1, "say aé", sampling=Sampling(max_tokens=2))
    loop.run()
    assert loop.deltas(1)[-1].text == "\ufffd"
    assert loop.deltas(1)[-1].tokens == ("é".encode()[0],)


@pytest.mark.parametrize(
    ("text", "code", "reason"),
    [
        ("long", "context_too_long", "too long for a fake"),
        ("fail say abcdefgh", "engine_error", "out of memory"),
        ("break say abcdefgh", "engine_error", "ZeroDivisionError: a bug"),
    ],
)
def test_an_error_ends_its_answer_alone(text, code, reason):
    loop = Loop()
    loop.ask(1, "say abcdefgh")
    loop.ask(2, text)
    loop.run()
    (failed,) = [m for m in loop.told if isinstance(m, messages.Failed)]
    assert (failed.serial, failed.code) == (2, code)
    assert reason in failed.reason
    assert loop.text(1) == "abcdefgh"
    assert not loop.core.outputs


def test_answers_go_on_when_one_of_their_batch_fails():
    loop = Loop()
    loop.ask(1, "say abcdefgh")
    loop.ask(2, "fail say abcdefgh")
    loop.ask(3, "say ijklmnop")
    loop.run()
    # The step that failed was run again, each answer on its own.
    assert loop.core.model.runner.widths == [3, 3, 3, 3, 1, 1, 1, 2, 2, 2, 2, 2]
    assert (loop.text(1), loop.text(3)) == ("abcdefgh", "ijklmnop")


def test_a_further_request_of_a_conversation_tells_what_it_reused():
    loop = Loop()
    for serial, text in ((1, "say abc"), (2, "say abcd"), (3, "say abcd")):
        loop.ask(serial, text)
        loop.run()
    assert [loop.deltas(n)[-1].usage.cached_tokens for n in (1, 2, 3)] == [0, 7, 7]


def test_nothing_of_an_answer_that_failed_is_reused():
    loop = Loop()
    loop.ask(1, "break say abcdefgh")
    loop.run()
    loop.ask(2, "break say ab")
    loop.run()
    assert loop.deltas(2)[-1].usage.cached_tokens == 0


def test_a_suspect_is_at_the_model_alone():
    loop = Loop()
    loop.ask(1, "say abc")
    loop.receive(messages.generate(2, Request("r", "d", (UserTurn(("say de",)),)), alone=True))
    loop.run()
    assert loop.core.model.runner.widths[0] == 1
    assert (loop.text(1), loop.text(2)) == ("abc", "de")


def test_more_answers_than_may_wait_are_failed_as_busy():
    loop = Loop(slots=1, queue=1)
    for serial in (1, 2, 3):
        loop.ask(serial, "say x")
    (failed,) = loop.told
    assert (failed.serial, failed.code) == (3, "busy")


def test_low_priority_waits():
    loop = Loop(slots=1)
    loop.ask(1, "say a", priority="low")
    loop.ask(2, "say b")
    loop.run(1)
    assert (loop.text(1), loop.text(2)) == ("", "b")


def test_what_is_confirmed_waits_no_longer_behind_normal_answers():
    loop = Loop(slots=1)
    loop.ask(1, "say a", priority="low")
    loop.ask(2, "say b")
    loop.receive(messages.Confirm(1))
    loop.receive(messages.Confirm(99))
    loop.run(1)
    assert (loop.text(1), loop.text(2)) == ("a", "")


def test_clips_are_named_after_they_were_sent():
    loop = Loop()
    clip = Clip("c", np.arange(100, dtype=np.int16))
    loop.ask(1, clip, "say x")
    assert loop.told == [messages.Missing(1, ("c",))]
    loop.receive(messages.hear(clip))
    loop.ask(1, clip, "say x")
    loop.run()
    assert loop.text(1) == "x"


def test_clips_are_kept_within_the_budget_the_least_recently_used_goes():
    store = ClipStore(budget=600)
    clips = {id: Clip(id, np.zeros(100, np.int16)) for id in "abcd"}
    for id in "abc":
        store.put(clips[id])
    store.get(["a"])
    store.put(clips["b"])
    store.put(clips["d"])
    here, missing = store.get(["c", "a", "b", "d", "c"])
    assert (list(here), missing) == (["a", "b", "d"], ("c",))
    assert store.bytes == 600


def test_a_clip_beyond_the_whole_budget_is_not_kept():
    store = ClipStore(budget=100)
    store.put(Clip("big", np.zeros(100, np.int16)))
    assert store.get(["big"]) == ({}, ("big",))
    assert store.bytes == 0
