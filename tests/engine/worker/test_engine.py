"""The engine over a worker process: nothing lost or repeated, whatever becomes of the worker.

Most tests run a real process with a fake model (fake_worker.py); the last run the real model.
"""

from __future__ import annotations

import asyncio
import os
import resource
import signal
import subprocess
import sys
from contextlib import aclosing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import pytest_asyncio
import structlog
import tiny_model
import virtual_time
from hypothesis import given
from hypothesis import strategies as st

from realtime.engine.api import (
    STALLED,
    Clip,
    Delta,
    Loading,
    ModelInfo,
    Request,
    Sampling,
    Usage,
    UserTurn,
)
from realtime.engine.worker import messages
from realtime.engine.worker.config import WorkerConfig
from realtime.engine.worker.engine import Ending, WorkerEngine
from realtime.engine.worker.live import PENDING, LiveRequest
from realtime.engine.worker.process import SILENCE_S
from realtime.errors import Busy, ContextTooLong, EngineError, ModelError, WorkerLost

ROOT = Path(__file__).parents[3]
FAKE_WORKER = Path(__file__).with_name("fake_worker.py")
DOOMED_WORKER = Path(__file__).with_name("doomed_worker.py")
GREEDY = Sampling(temperature=0.0, max_tokens=900)


def ask(*parts, id: str = "r", sampling: Sampling = GREEDY, **more) -> Request:
    return Request(id, "c", (UserTurn(parts),), sampling, **more)


def text(deltas) -> str:
    return "".join(delta.text for delta in deltas)


def tokens(deltas) -> list[int]:
    return [token for delta in deltas for token in delta.tokens]


async def collect(engine: WorkerEngine, request: Request) -> list[Delta]:
    return [delta async for delta in engine.generate(request)]


def fake(model: str = "good", *, clip_bytes: int = 1 << 20, on_loading=None, **config):
    """An engine whose worker has a fake model."""

    def command() -> list[str]:
        return [sys.executable, str(FAKE_WORKER), f"--clip-bytes={clip_bytes}"]

    settings = WorkerConfig(model, backoff=0.0, **config)
    return WorkerEngine(settings, on_loading=on_loading, command=command)


def worker_of(engine: WorkerEngine) -> int:
    assert engine.worker is not None
    return engine.worker.process.pid


async def collect_killing(engine: WorkerEngine, request: Request, marks: list[int]) -> list[Delta]:
    """Kill the worker, each time a new one, when so many tokens have come."""
    deltas: list[Delta] = []
    killed: set[int] = set()
    async for delta in engine.generate(request):
        deltas.append(delta)
        new = engine.worker and worker_of(engine) not in killed
        if new and marks and len(tokens(deltas)) >= marks[0]:
            marks.pop(0)
            killed.add(worker_of(engine))
            os.kill(worker_of(engine), signal.SIGKILL)
    assert not marks
    return deltas


async def ended(pid: int) -> None:
    """Wait until a process that need not be a child has ended."""
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    loop = asyncio.get_running_loop()
    gone = asyncio.Event()
    loop.add_reader(descriptor, gone.set)
    await gone.wait()
    loop.remove_reader(descriptor)
    os.close(descriptor)


async def test_an_answer_with_its_usage():
    async with fake() as engine:
        assert (await engine.ready()).name == "fake"
        deltas = await collect(engine, ask("say hello"))
    assert text(deltas) == "hello"
    assert [d.finish for d in deltas] == [None] * 5 + ["stop"]
    assert deltas[-1].usage == Usage(prompt_tokens=9, cached_tokens=0, completion_tokens=5)


async def test_progress_is_told_and_ends_in_what_was_loaded():
    told = []
    engine = fake(on_loading=told.append)
    assert engine.status() == Loading("starting", 0.0)
    async with engine:
        info = await engine.ready()
        assert engine.status() == info == ModelInfo("fake", 10_000, 0, "none", "none")
    assert told == [Loading("starting", 0.0), Loading("weights", 0.5)]


async def test_a_request_waits_while_the_model_loads():
    async with fake() as engine:
        assert isinstance(engine.status(), Loading)
        assert text(await collect(engine, ask("say patience"))) == "patience"


async def test_too_many_requests_are_busy_even_while_loading():
    async with fake("never", slots=1, queue=1) as engine, asyncio.TaskGroup() as group:
        waiting = [group.create_task(collect(engine, ask("say a", id=i))) for i in "ab"]
        await asyncio.sleep(0)
        assert len(engine.live) == 2
        with pytest.raises(Busy) as caught:
            await collect(engine, ask("say b"))
        assert caught.value.retry_after > 0
        for task in waiting:
            task.cancel()
    assert not engine.live


async def test_a_killed_worker_costs_nothing_of_the_answer():
    long = "".join(chr(97 + i % 26) for i in range(890))
    async with fake() as engine:
        # It is so quick that the first life may have told everything before it ends.
        deltas = await collect_killing(engine, ask(f"say {long}"), [3])
    assert text(deltas) == long
    assert deltas[-1].usage.completion_tokens == 890


async def test_an_answer_goes_on_across_many_deaths_when_each_life_brings_it_further():
    async with fake() as engine:
        deltas = await collect(engine, ask("die 7 say " + "0123456789" * 6))
    assert text(deltas) == "0123456789" * 6
    assert engine.restarts == 8
    assert engine.restarts > engine.config.deaths


async def test_a_request_that_kills_every_worker_is_lost_and_the_others_are_not():
    async with fake(deaths=3) as engine:
        long = "👋你好abcdefghij" * 20
        async with aclosing(engine.generate(ask(f"say {long}"))) as other:
            deltas = [await anext(other)]
            with pytest.raises(WorkerLost, match="died 3 times"):
                await collect(engine, ask("poisonsay x"))
            deltas += [delta async for delta in other]
        assert text(deltas) == long
        assert engine.restarts == 3
        assert text(await collect(engine, ask("say on"))) == "on"


async def test_those_who_wait_behind_it_are_not_to_blame_either():
    async with fake(slots=1, deaths=2) as engine:
        requests = [ask("poisonsay x"), *(ask(f"say {name}") for name in "aé👋")]
        lost, *answers = await asyncio.gather(
            *(collect(engine, request) for request in requests), return_exceptions=True
        )
    assert isinstance(lost, WorkerLost)
    assert [text(deltas) for deltas in answers] == ["a", "é", "👋"]


async def test_of_several_prompts_that_are_read_at_once_the_one_that_kills_is_found():
    async with fake(deaths=2) as engine:
        heard = Clip("c", np.zeros(400, np.int16))
        requests = [*(ask(f"say {name}") for name in "aé👋"), ask(heard, "poisonsay x")]
        *answers, lost = await asyncio.gather(
            *(collect(engine, request) for request in requests), return_exceptions=True
        )
        # One death more than it may cost, if the first was at others too; then it was read alone.
        assert engine.restarts in (2, 3)
    assert isinstance(lost, WorkerLost)
    assert [text(deltas) for deltas in answers] == ["a", "é", "👋"]


def test_a_death_at_several_prompts_counts_against_none_until_it_was_at_one_alone():
    engine = fake(deaths=2)
    engine.live = {serial: LiveRequest(serial, ask("x")) for serial in (1, 2, 3)}

    def die(*serials: int) -> list[tuple[int, bool]]:
        for serial in serials:
            engine.live[serial].begun = True
        engine._bury(SimpleNamespace(prefilling=frozenset(serials)))
        return [(answer.deaths, answer.suspect) for answer in engine.live.values()]

    assert die(1, 2) == [(0, True), (0, True), (0, False)]
    engine.live[1].push(Delta((5,), "a"))
    assert die(2) == [(0, False), (1, True), (0, False)]
    assert die(2) == [(0, False), (2, True), (0, False)]
    assert isinstance(engine.live[2].error, WorkerLost)
    assert engine.live[1].error is None


async def test_what_a_busy_engine_tells_to_wait_follows_what_answers_take():
    async with fake(slots=1, queue=0) as engine:
        await engine.ready()
        async with aclosing(engine.generate(ask("say " + "x" * 800))) as deltas:
            await anext(deltas)
            with pytest.raises(Busy) as first:
                await collect(engine, ask("say b"))
            assert len([delta async for delta in deltas]) > 1
        assert engine.retry_after.known
        async with aclosing(engine.generate(ask("say " + "x" * 800))) as deltas:
            await anext(deltas)
            with pytest.raises(Busy) as second:
                await collect(engine, ask("say b"))
        assert second.value.retry_after == engine.retry_after.seconds != first.value.retry_after


def test_what_a_busy_worker_tells_to_wait_follows_the_same_pace():
    engine = fake()
    engine.retry_after.ended(6.0, 2)
    engine.live = {1: LiveRequest(1, ask("x"))}
    engine._heard(messages.Failed(1, "busy", "full", 1.0), SimpleNamespace(reading=frozenset()))
    assert engine.live[1].error.retry_after == 3.0


async def test_a_stalled_worker_is_killed_and_its_answer_goes_on():
    async with fake(stall_after=1.0) as engine:
        await engine.ready()
        pid = worker_of(engine)
        os.kill(pid, signal.SIGSTOP)
        assert text(await collect(engine, ask("say again"))) == "again"
        assert worker_of(engine) != pid


async def until(engine: WorkerEngine, condition) -> None:
    """Wait until the engine's state is such."""
    while not condition(engine.status()):
        engine.news.clear()
        await engine.news.wait()


async def test_a_stopped_worker_is_told_and_so_is_one_that_goes_on():
    async with fake() as engine:
        info = await engine.ready()
        pid = worker_of(engine)
        since = asyncio.get_running_loop().time()
        os.kill(pid, signal.SIGSTOP)
        await until(engine, lambda state: isinstance(state, Loading))
        assert engine.status() == Loading(STALLED, 1.0, "the worker gives no sign of life")
        assert asyncio.get_running_loop().time() - since >= SILENCE_S - messages.PULSE_S
        os.kill(pid, signal.SIGCONT)
        await until(engine, lambda state: state == info)
        assert worker_of(engine) == pid
        assert engine.restarts == 0
        assert text(await collect(engine, ask("say on"))) == "on"


async def test_a_worker_that_hangs_while_it_loads_is_killed_and_counted():
    async with fake("never", load_stall_after=0.5, deaths=2) as engine:
        with pytest.raises(
            ModelError, match=r"2 times.*signal 9, for it came no further for 0.5 s"
        ):
            await engine.ready()
    assert engine.restarts == 2


def failing(engine: WorkerEngine, *commands: list[str]) -> None:
    """Have the engine start these programs next, and then its worker again."""
    command, rest = engine.command, list(commands)
    engine.command = lambda: rest.pop(0) if rest else command()


def fake_command(model: str) -> list[str]:
    return [sys.executable, str(FAKE_WORKER), f"--model={model}"]


WAYS_TO_FAIL = {
    "exec": (["/nowhere/worker"], "the worker cannot be started: No such file or directory"),
    "killed": (fake_command("crash"), "the worker ended: killed by signal 9"),
    "exit": ([sys.executable, "-c", "raise SystemExit(3)"], "the worker ended: exit code 3"),
    "unloadable": (
        fake_command("broken"),
        "the model cannot be loaded any more; the log says why",
    ),
    "garbage": (fake_command("garbage"), "the worker broke: DecodeError"),
}


@pytest.mark.parametrize("way", WAYS_TO_FAIL)
async def test_once_it_was_loaded_a_model_is_tried_for_ever_and_the_reason_told(way):
    command, reason = WAYS_TO_FAIL[way]
    reasons = []
    engine = fake(deaths=2, on_loading=lambda loading: reasons.append(loading.reason))
    async with engine:
        info = await engine.ready()
        assert set(reasons) == {""}
        failing(engine, *[command] * 4)
        os.kill(worker_of(engine), signal.SIGKILL)
        await until(engine, lambda state: isinstance(state, Loading))
        assert await engine.ready() == info
        assert engine.restarts == 5
        assert text(await collect(engine, ask("say on"))) == "on"
        assert engine.failure is None
    assert {"the worker ended: killed by signal 9", reason} == {*reasons} - {""}


@pytest.mark.parametrize("way", ["exec", "exit"])
async def test_before_it_was_ever_loaded_it_is_given_up_with_the_reason(way):
    command, reason = WAYS_TO_FAIL[way]
    engine = fake(deaths=3)
    failing(engine, *[command] * 3)
    async with engine:
        with pytest.raises(ModelError, match=f"(?s)3 times; {reason}"):
            await engine.ready()


async def test_nobody_is_let_wait_for_a_model_that_does_not_come_back():
    async with fake(deaths=2) as engine:
        await engine.ready()
        engine.config = replace(engine.config, backoff=1_000.0)
        engine.command = lambda: ["/nowhere/worker"]
        waiting = asyncio.create_task(collect(engine, ask("say " + "x" * 900)))
        await asyncio.sleep(0)
        engine.config = replace(engine.config, backoff=0.0)
        os.kill(worker_of(engine), signal.SIGKILL)
        with pytest.raises(WorkerLost, match="no model at present: the worker cannot be started"):
            await waiting
        with pytest.raises(Busy, match="no model at present"):
            await collect(engine, ask("say x"))
        assert engine.restarts >= 2


def test_tries_are_further_and_further_apart_up_to_a_bound():
    async def main() -> list[float]:
        engine = WorkerEngine(WorkerConfig("m"))
        engine.info = ModelInfo("fake", 1, 0, "none", "none")
        began = []

        async def live() -> Ending:
            began.append(asyncio.get_running_loop().time())
            return Ending("it was not there", False, ())

        engine._live = live
        async with engine:
            await asyncio.sleep(200.0)
        return began

    began = virtual_time.run(main())
    assert [b - a for a, b in pairwise(began)] == [1.0, 2.0, 4.0, 8.0, 16.0, *[30.0] * 5]


@pytest.mark.skipif(sys.platform != "linux", reason="counts descriptors in /proc")
async def test_a_worker_that_dies_when_there_is_no_descriptor_left_comes_back_when_there_is():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    async with fake(deaths=2) as engine:
        info = await engine.ready()
        taken = [os.dup(0) for _ in range(64)]
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(taken), hard))
            os.kill(worker_of(engine), signal.SIGKILL)
            lack = "the worker cannot be started: Too many open files"
            await until(engine, lambda state: getattr(state, "reason", "") == lack)
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            for descriptor in taken:
                os.close(descriptor)
        assert await engine.ready() == info
        assert text(await collect(engine, ask("say on"))) == "on"


async def test_closing_the_iterator_cancels_in_the_worker():
    async with fake(slots=1) as engine:
        for _ in range(20):
            async with aclosing(engine.generate(ask("say " + "x" * 900))) as deltas:
                assert (await anext(deltas)).text == "x"
            assert not engine.live
        assert text(await collect(engine, ask("say next"))) == "next"


async def test_a_confirmed_answer_overtakes_those_of_low_priority():
    ended = []
    async with fake(slots=1) as engine, asyncio.TaskGroup() as group:
        await engine.ready()

        async def follow(id: str, priority: str) -> None:
            await collect(engine, ask("say " + "x" * 500, id=id, priority=priority))
            ended.append(id)

        for id, priority in (("talks", "normal"), ("guess", "low"), ("guessed", "low")):
            group.create_task(follow(id, priority))
        await asyncio.sleep(0)
        engine.confirm("guessed")
        engine.confirm("nobody")
        assert [a.request.priority for a in engine.live.values()] == ["normal", "low", "normal"]
    assert ended == ["talks", "guessed", "guess"]


async def test_a_failed_answer_fails_alone():
    async with fake() as engine:
        async with aclosing(engine.generate(ask("say " + "y" * 500))) as other:
            deltas = [await anext(other)]
            with pytest.raises(ContextTooLong, match="too long for a fake"):
                await collect(engine, ask("long"))
            with pytest.raises(EngineError, match="ZeroDivisionError: a bug"):
                await collect(engine, ask("break say abcdefgh"))
            with pytest.raises(EngineError, match="out of memory"):
                await collect(engine, ask("fail say abcdefgh"))
            deltas += [delta async for delta in other]
        assert text(deltas) == "y" * 500
        assert engine.restarts == 0


async def test_what_came_before_a_failure_is_delivered_first():
    async with fake() as engine:
        deltas = engine.generate(ask("fail say abcdefgh"))
        assert [(await anext(deltas)).text for _ in "abc"] == ["a", "b", "c"]
        with pytest.raises(EngineError, match="out of memory"):
            await anext(deltas)


@pytest.mark.parametrize("bad", ["\ud800", "x" * (17 << 20)])
async def test_text_that_cannot_travel_fails_its_answer_alone(bad):
    async with fake() as engine:
        await engine.ready()
        with pytest.raises(EngineError, match=r"surrogate|too long"):
            await collect(engine, ask(bad))
        assert text(await collect(engine, ask("say fine"))) == "fine"


async def test_clips_travel_once_and_again_when_the_worker_forgot_them():
    clips = [Clip(f"clip{i}", np.full(400, i, np.int16)) for i in range(4)]
    async with fake(clip_bytes=2000) as engine:
        for _ in range(2):
            for clip in clips:
                assert text(await collect(engine, ask(clip, "say heard"))) == "heard"
        assert list(engine.worker.known) == ["clip0", "clip1", "clip2", "clip3"]


async def test_more_audio_than_the_worker_can_hold_fails_with_the_reason():
    clips = [Clip(f"clip{i}", np.zeros(800, np.int16)) for i in range(2)]
    async with fake(clip_bytes=2000) as engine:
        with pytest.raises(EngineError, match="cannot hold the audio"):
            await collect(engine, ask(*clips, "say x"))
        assert text(await collect(engine, ask(clips[0], "say x"))) == "x"


async def test_a_checkpoint_that_cannot_be_loaded_fails_everyone_and_for_good():
    async with fake("broken") as engine:
        with pytest.raises(ModelError, match="it is no model"):
            await collect(engine, ask("say x"))
        with pytest.raises(ModelError, match="it is no model"):
            await engine.ready()
        with pytest.raises(ModelError, match="it is no model"):
            await collect(engine, ask("say x"))
        assert engine.restarts == 0


async def test_a_worker_that_dies_while_loading_is_given_up_with_its_last_words():
    with structlog.testing.capture_logs() as logs:
        async with fake("crash", deaths=2) as engine:
            with pytest.raises(ModelError, match=r"(?s)2 times.*signal 9.*last words of a worker"):
                await engine.ready()
    assert {"event": "worker", "line": "last words of a worker"} in [
        {key: entry.get(key) for key in ("event", "line")} for entry in logs
    ]


async def test_a_closed_engine_answers_no_more_and_leaves_no_process():
    async with fake() as engine:
        await engine.ready()
        pid = worker_of(engine)
        task = asyncio.create_task(collect(engine, ask("say " + "z" * 900)))
        await asyncio.sleep(0)
    await ended(pid)
    with pytest.raises(EngineError, match="closed"):
        await task
    with pytest.raises(EngineError, match="closed"):
        await collect(engine, ask("say x"))


async def test_a_worker_whose_gateway_is_killed_ends_by_itself():
    program = f"""
import asyncio, sys
sys.path.insert(0, {str(ROOT)!r})
from realtime.engine.worker.config import WorkerConfig
from realtime.engine.worker.engine import WorkerEngine
async def main():
    command = [sys.executable, {str(FAKE_WORKER)!r}, "--model=good"]
    async with WorkerEngine(WorkerConfig("good"), command=lambda: command) as engine:
        await engine.ready()
        print("worker", engine.worker.process.pid, flush=True)
        await asyncio.Event().wait()
asyncio.run(main())
"""
    gateway = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    while not (line := await gateway.stdout.readline()).startswith(b"worker "):
        assert line, "the gateway ended"
    gateway.kill()
    await gateway.wait()
    await ended(int(line.split()[1]))


async def test_a_worker_ends_also_while_it_loads():
    stages = asyncio.Queue()
    async with fake("never", on_loading=lambda loading: stages.put_nowait(loading.stage)):
        while not (stage := await stages.get()).startswith("pid "):
            pass
    await ended(int(stage.removeprefix("pid ")))


async def test_many_answers_cancellations_and_deaths_leave_every_answer_whole():
    random = np.random.default_rng(1)

    async def one(engine: WorkerEngine, number: int) -> None:
        said = "".join(random.choice(list("abcdeé你👋"), random.integers(0, 60)))
        deadly = f"die {random.integers(20, 50)} " if random.random() < 0.15 else ""
        clip = Clip(f"c{number % 7}", np.full(100, number % 7, np.int16))
        request = ask(clip, f"{deadly}say {said}", id=str(number))
        stop = random.integers(0, 40) if random.random() < 0.3 else None
        async with aclosing(engine.generate(request)) as deltas:
            got = []
            async for delta in deltas:
                got.append(delta)
                if len(got) == stop:
                    assert said.startswith(text(got))
                    return
        assert text(got) == said
        assert bytes(tokens(got)) == said.encode()
        assert got[-1].usage.completion_tokens == len(said.encode())

    async with fake(slots=5, deaths=8) as engine:
        async with asyncio.TaskGroup() as group:
            for number in range(40):
                group.create_task(one(engine, number))
        assert engine.restarts > 3
        assert not engine.live
    assert asyncio.all_tasks() == {asyncio.current_task()}


@given(st.lists(st.integers(0, 3), max_size=3 * PENDING))
def test_a_consumer_that_lags_loses_nothing_and_holds_a_bounded_number_of_deltas(sizes):
    answer = LiveRequest(1, ask("x"))
    deltas = [Delta(tuple(range(i, i + n)), f"<{i}>" * n) for i, n in enumerate(sizes)]
    for delta in [*deltas, Delta((), "", "stop", Usage(1, 0, len(sizes)))]:
        answer.push(delta)
        assert len(answer.pending) <= PENDING
    taken = list(answer.pending)
    assert (tokens(taken), text(taken)) == (tokens(deltas), text(deltas))
    assert [d.finish for d in taken] == [None] * (len(taken) - 1) + ["stop"]
    assert answer.over


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
async def test_the_worker_is_in_a_session_of_its_own_so_that_ctrl_c_passes_it_by():
    async with fake() as engine:
        await engine.ready()
        assert os.getsid(worker_of(engine)) == worker_of(engine) != os.getsid(0)


# With the real model -----------------------------------------------------------------------------

SHORT = Sampling(temperature=0.0, max_tokens=60)
HEARD = Clip("heard", tiny_model.speechlike(1.3))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real(endless):
    config = WorkerConfig(str(endless), device="cpu", threads=1, slots=2)
    async with WorkerEngine(config) as engine:
        yield engine


@pytest.mark.asyncio(loop_scope="module")
async def test_two_answers_are_generated_at_once_and_errors_stay_with_their_own(real):
    order = []

    async def follow(name: str) -> list[Delta]:
        deltas = []
        async for delta in real.generate(ask(HEARD, f"I am {name}", sampling=SHORT)):
            order.append(name)
            deltas.append(delta)
        return deltas

    info = await real.ready()
    assert (info.device, info.dtype, info.context) == ("cpu", "float32", 2048)
    both = asyncio.gather(follow("a"), follow("b"))
    for samples in (0, 100):
        with pytest.raises(EngineError, match=r"0\.1 to 30 s"):
            await collect(real, ask(Clip(f"short {samples}", HEARD.pcm[:samples])))
    with pytest.raises(ContextTooLong, match="model's context is 2048"):
        await collect(real, ask("way too long " * 2000))
    for deltas in await both:
        assert len(tokens(deltas)) == 60
    assert sum(one != other for one, other in pairwise(order)) > 20
    os.kill(worker_of(real), signal.SIGINT)
    assert len(tokens(await collect(real, ask("still here?", sampling=SHORT)))) == 60
    assert real.restarts == 0


@pytest.mark.asyncio(loop_scope="module")
async def test_kill_9_in_the_middle_of_long_answers_changes_nothing(real):
    greedy = ask(HEARD, "tell me more", sampling=Sampling(temperature=0.0, max_tokens=200))
    drawn = Sampling(temperature=1.0, top_k=20, top_p=1.0, seed=7, max_tokens=200)
    sampled = ask(HEARD, "tell me more", sampling=drawn)
    undisturbed = [await collect(real, request) for request in (greedy, sampled)]
    disturbed = await asyncio.gather(
        collect_killing(real, greedy, [10, 90]), collect(real, sampled)
    )
    assert real.restarts == 2
    assert tokens(undisturbed[0]) != tokens(undisturbed[1])
    for before, after in zip(undisturbed, disturbed, strict=True):
        assert len(tokens(before)) == 200
        assert tokens(after) == tokens(before)
        assert text(after) == text(before)
        assert after[-1].finish == "length"
        # What was computed already died with the worker.
        usage = replace(after[-1].usage, cached_tokens=before[-1].usage.cached_tokens)
        assert usage == before[-1].usage


def doomed(stage: str, marks: Path, model: Path, **config) -> WorkerEngine:
    """An engine whose worker is killed at a stage of its work."""

    def command() -> list[str]:
        return [sys.executable, str(DOOMED_WORKER), f"--stage={stage}", f"--marks={marks}"]

    settings = {"device": "cpu", "threads": 1, "chunk": 16, "backoff": 0.0} | config
    return WorkerEngine(WorkerConfig(str(model), **settings), command=command)


async def follow(engine: WorkerEngine, request: Request, came: list[Delta]) -> None:
    """Collect an answer into a list that is there also when it fails."""
    async with aclosing(engine.generate(request)) as deltas:
        async for delta in deltas:
            came.append(delta)  # noqa: PERF401


def stages(marks: Path) -> list[str]:
    return [path.name.split()[0] for path in marks.iterdir()]


async def test_sigkill_while_loading_costs_those_who_wait_nothing(tmp_path, endless):
    async with doomed("load", tmp_path, endless) as engine:
        assert len(tokens(await collect(engine, ask(HEARD, sampling=SHORT)))) == 60
        assert engine.restarts == 1
    assert stages(tmp_path) == ["load"]


@pytest.mark.parametrize("stage", ["encode", "prefill", "decode"])
async def test_sigkill_at_a_stage_ends_one_answer_with_its_name(tmp_path, endless, stage):
    async with doomed(stage, tmp_path, endless, deaths=2) as engine:
        request = ask("I go on", sampling=replace(SHORT, max_tokens=200))
        undisturbed = await collect(engine, request)
        async with aclosing(engine.generate(request)) as other:
            deltas = [await anext(other)]
            came: list[Delta] = []
            with pytest.raises(WorkerLost, match="died 2 times at this answer"):
                await follow(engine, ask(Clip("doomed", HEARD.pcm), sampling=SHORT), came)
            deltas += [delta async for delta in other]
        assert tokens(deltas) == tokens(undisturbed)
        assert len(tokens(came)) == (3 if stage == "decode" else 0)
        assert len(tokens(await collect(engine, ask(HEARD, sampling=SHORT)))) == 60
        assert stages(tmp_path) == [stage] * engine.restarts


async def test_a_folder_that_is_no_model_is_told(tmp_path):
    async with WorkerEngine(WorkerConfig(str(tmp_path))) as engine:
        with pytest.raises(ModelError, match="is no model"):
            await engine.ready()
