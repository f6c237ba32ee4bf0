"""The fake behaves as the Engine contract says, so that what is tested with it holds."""

from __future__ import annotations

import asyncio
from contextlib import aclosing

import pytest

from realtime.engine.api import Delta, Engine, Loading, Request, Sampling, UserTurn
from realtime.engine.fake import FakeEngine
from realtime.errors import Busy


def ask(id: str = "r1", **more) -> Request:
    return Request(id, "c1", (UserTurn(("hello",)),), **more)


async def collect(engine: Engine, request: Request) -> list[Delta]:
    return [delta async for delta in engine.generate(request)]


async def test_text_is_said_word_by_word_and_only_the_last_delta_finishes():
    engine = FakeEngine("One, two,  three.")
    deltas = await collect(engine, ask())
    assert [d.text for d in deltas] == ["One,", " two,", "  three."]
    assert [d.finish for d in deltas] == [None, None, "stop"]
    assert [d.usage is not None for d in deltas] == [False, False, True]
    assert engine.decode(t for d in deltas for t in d.tokens) == "One, two,  three."
    assert (engine.finished, engine.cancelled) == (["r1"], [])


async def test_an_answer_resumes_after_its_prefix():
    engine = FakeEngine("a b c d")
    whole = await collect(engine, ask())
    rest = await collect(engine, ask("r2", prefix=whole[0].tokens + whole[1].tokens))
    assert [d.text for d in rest] == [" c", " d"]
    assert rest[-1].usage.completion_tokens == 4


async def test_max_tokens_cuts_with_finish_length():
    deltas = await collect(FakeEngine("a b c"), ask(sampling=Sampling(max_tokens=2)))
    assert "".join(d.text for d in deltas) == "a b"
    assert deltas[-1].finish == "length"


async def test_an_empty_answer_is_one_finished_delta():
    (delta,) = await collect(FakeEngine(""), ask())
    assert (delta.tokens, delta.text, delta.finish) == ((), "", "stop")


async def test_a_gate_holds_the_answer_and_closing_it_there_is_a_cancellation():
    gate = asyncio.Event()
    engine = FakeEngine(lambda request: [Delta((1,), "a"), gate, Delta((2,), "b", "stop")])
    async with aclosing(engine.generate(ask())) as deltas:
        assert (await anext(deltas)).text == "a"
    assert engine.cancelled == ["r1"]

    task = asyncio.create_task(collect(engine, ask("r2")))
    await engine.until(lambda e: len(e.requests) == 2)
    gate.set()
    assert [d.text for d in await task] == ["a", "b"]
    assert engine.finished == ["r2"]


async def test_cancelling_the_task_at_a_gate_is_a_cancellation():
    engine = FakeEngine(lambda request: [asyncio.Event()])
    task = asyncio.create_task(collect(engine, ask()))
    await engine.until(lambda e: e.requests)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.cancelled == ["r1"]


async def test_scripted_errors_are_raised():
    engine = FakeEngine(lambda request: [Busy("full", retry_after=2.0)])
    with pytest.raises(Busy, match="full") as caught:
        await collect(engine, ask())
    assert caught.value.retry_after == 2.0
    assert engine.finished == ["r1"]


async def test_confirmed_requests_are_remembered():
    engine = FakeEngine()
    engine.confirm("r1")
    await engine.until(lambda e: e.confirmed)
    assert engine.confirmed == ["r1"]


def test_status_is_what_the_test_sets():
    engine = FakeEngine()
    engine.state = Loading("weights", 0.5)
    assert engine.status() == Loading("weights", 0.5)
