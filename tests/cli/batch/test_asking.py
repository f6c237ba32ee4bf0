"""Conversations through a fake engine: turns in order, many at once, each alone in error."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest
import soundfile

from realtime.cli.batch.asking import answer, answer_all
from realtime.cli.batch.manifest import Job, Recording
from realtime.cli.batch.recordings import Recordings
from realtime.cli.batch.results import Answered, Failed
from realtime.engine.api import AssistantTurn, Delta, Sampling, SystemTurn, UserTurn
from realtime.engine.fake import PROMPT_TOKENS, FakeEngine
from realtime.errors import Busy, ContextTooLong, EngineError, ModelError, WorkerLost

GREEDY = Sampling(temperature=0.0, max_tokens=5)


@pytest.fixture
def recordings(tmp_path):
    for seed, name in enumerate(("a.wav", "b.wav")):
        pcm = np.random.default_rng(seed).integers(-900, 900, 3_200).astype(np.int16)
        soundfile.write(tmp_path / name, pcm, 16_000)
    return Recordings(tmp_path, 60.0)


def job(*questions, line: int = 1, id: str | int | None = None, system=None, template=True) -> Job:
    return Job(line if id is None else id, line, questions, system, GREEDY, template)


def text(*words: str, line: int = 1) -> Job:
    return job(*((word,) for word in words), line=line)


async def test_turns_are_answered_in_order_each_with_its_history_by_token_ids(recordings):
    engine = FakeEngine(lambda request: f"answer {len(request.turns)}")
    asked = job((Recording("a.wav"),), (Recording("b.wav"), "And that?"), id="x", system="Be brief")
    record = await answer(engine, asked, recordings)
    first, second = engine.requests
    system, hears, said, looks = second.turns
    assert first.turns == (SystemTurn("Be brief"), hears)
    assert (system, said) == (
        SystemTurn("Be brief"),
        AssistantTurn(tuple(engine.encode("answer 2"))),
    )
    assert isinstance(hears, UserTurn)
    assert looks.parts[1] == "And that?"
    assert first.conversation == second.conversation
    assert first.id != second.id
    assert first.sampling == GREEDY
    assert isinstance(record, Answered)
    assert (record.id, record.line) == ("x", 1)
    assert [one.text for one in record.answers] == ["answer 2", "answer 4"]
    last = record.answers[1]
    counts = (last.finish, last.prompt_tokens, last.cached_tokens, last.completion_tokens)
    assert counts == ("stop", PROMPT_TOKENS, 0, 2)


async def test_a_prompt_goes_without_template(recordings):
    engine = FakeEngine()
    await answer(
        engine, job(("<|audio_bos|>", Recording("a.wav"), "x"), template=False), recordings
    )
    assert not engine.requests[0].template
    assert engine.requests[0].turns[0].parts[0] == "<|audio_bos|>"


async def test_as_many_at_once_as_allowed_and_records_as_they_finish(recordings):
    gates = {line: asyncio.Event() for line in range(1, 8)}

    def script(request):
        line = int(request.id.split(":")[0])
        yield gates[line]
        yield from engine.say(f"line {line}", request)

    engine, told = FakeEngine(script), []
    jobs = (text("Hi", line=line) for line in gates)
    running = asyncio.create_task(answer_all(engine, jobs, recordings, 3, told.append))
    await engine.until(lambda e: len(e.requests) == 3)
    gates[2].set()
    await engine.until(lambda e: len(e.requests) == 4)
    assert [record.line for record in told] == [2]
    assert [request.id for request in engine.requests] == ["1:1", "2:1", "3:1", "4:1"]
    for gate in gates.values():
        gate.set()
    await running
    assert sorted(record.line for record in told) == list(gates)
    assert recordings.closed.is_set()


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ContextTooLong("far too long"), "context_too_long"),
        (WorkerLost("died"), "worker_lost"),
        (EngineError("NaN"), "engine_error"),
        (ZeroDivisionError("a bug"), "internal_error"),
    ],
)
async def test_an_error_is_the_record_of_its_line_and_the_others_go_on(
    recordings, error, code, capsys
):
    engine = FakeEngine(lambda request: [error] if request.id == "2:1" else "Fine.")
    told = []
    await answer_all(engine, [text("Hi", line=n) for n in (1, 2, 3)], recordings, 2, told.append)
    (failed,) = [record for record in told if isinstance(record, Failed)]
    assert (failed.id, failed.line, failed.error.code) == (2, 2, code)
    assert str(error) in failed.error.message
    assert len(told) == 3


async def test_the_turn_that_failed_is_told(recordings):
    def script(request):
        return "Fine." if len(request.turns) == 1 else [ContextTooLong("too long")]

    failed = await answer(FakeEngine(script), text("Hi", "Ho"), recordings)
    assert (failed.error.code, failed.error.message) == ("context_too_long", "turn 2: too long")


async def test_what_cannot_be_heard_is_found_before_anything_is_asked(recordings):
    engine = FakeEngine()
    failed = await answer(engine, job(("Hi",), (Recording("gone.wav"),)), recordings)
    assert failed.error.code == "bad_audio"
    assert "gone.wav" in failed.error.message
    assert not engine.requests


async def test_an_engine_without_room_is_asked_again(recordings):
    refusals = iter([Busy("full", retry_after=0.0)] * 3)

    def script(request):
        refusal = next(refusals, None)
        return "Fine." if refusal is None else [refusal]

    record = await answer(FakeEngine(script), text("Hi"), recordings)
    assert record.answers[0].text == "Fine."


async def test_an_engine_that_never_has_room_fails_the_line(recordings):
    engine = FakeEngine(lambda request: [Busy("full", retry_after=0.0)])
    failed = await answer(engine, text("Hi"), recordings)
    assert failed.error.code == "busy"
    assert len(engine.requests) > 10


async def test_a_stream_without_end_is_an_error(recordings):
    failed = await answer(FakeEngine(lambda _: [Delta((1,), "Hi")]), text("Hi"), recordings)
    assert (failed.error.code, failed.id) == ("engine_error", 1)


async def test_a_lost_engine_stops_everything_and_blames_no_line(recordings):
    gate = asyncio.Event()
    engine = FakeEngine(lambda r: [ModelError("gone")] if r.id == "2:1" else [gate])
    told = []
    with pytest.raises(EngineError, match="the engine is lost: gone"):
        await answer_all(
            engine, [text("Hi", line=n) for n in (1, 2, 3)], recordings, 2, told.append
        )
    assert told == []
    assert engine.cancelled == ["1:1"]


async def test_cancelling_stops_what_is_under_way(recordings):
    gate = asyncio.Event()
    engine, told = FakeEngine(lambda _: [gate]), []
    running = asyncio.create_task(answer_all(engine, [text("Hi")], recordings, 2, told.append))
    await engine.until(lambda e: e.requests)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert engine.cancelled == ["1:1"]
    assert told == []
