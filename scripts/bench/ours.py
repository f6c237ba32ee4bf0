"""What a peer of this package's engine sees: the worker process, asked through `WorkerEngine`."""

from __future__ import annotations

import asyncio
import os
import statistics
import time
from contextlib import aclosing
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

from realtime.engine.api import AssistantTurn, Clip, Delta, Request, Sampling, Turn, UserTurn
from realtime.engine.worker.config import WorkerConfig
from realtime.engine.worker.engine import WorkerEngine

from .plan import Plan

AFTER = 8
"""Deltas of an answer before it is cancelled."""
CANCELS = 3


@dataclass(frozen=True, slots=True)
class Heard:
    """One answer as it came; seconds."""

    tokens: tuple[int, ...]
    text: str
    cached: int
    first: float
    """Until its first token."""


@dataclass(frozen=True, slots=True)
class Turns:
    """A conversation turn by turn."""

    first_ms: list[float]
    cached: list[int]
    """Tokens of each turn's prompt that needed no computation."""
    texts: list[str]
    """What was answered, for the other side's history."""


async def hear(engine: WorkerEngine, request: Request) -> Heard:
    """Collect an answer."""
    began = time.perf_counter()
    first = 0.0
    deltas: list[Delta] = []
    async for delta in engine.generate(request):
        first = first or time.perf_counter() - began
        deltas.append(delta)
    usage = deltas[-1].usage
    assert usage is not None
    tokens = tuple(token for delta in deltas for token in delta.tokens)
    return Heard(tokens, "".join(d.text for d in deltas), usage.cached_tokens, first)


def ask(name: str, conversation: str, turns: tuple[Turn, ...], tokens: int) -> Request:
    """Ask for the likeliest answer."""
    return Request(name, conversation, turns, Sampling(temperature=0.0, max_tokens=tokens))


async def first_tokens(engine: WorkerEngine, plan: Plan) -> Turns:
    """Time the first token of each turn of a conversation."""
    held = [await converse(engine, plan, number) for number in range(plan.repeats + 1)]
    counted = held[1:]  # the first one warms up
    return Turns(
        [
            1e3 * statistics.median(turn.first for turn in same)
            for same in zip(*counted, strict=True)
        ],
        [turn.cached for turn in counted[-1]],
        [turn.text for turn in counted[-1]],
    )


async def converse(engine: WorkerEngine, plan: Plan, number: int) -> list[Heard]:
    """Hold one conversation."""
    turns: tuple[Turn, ...] = ()
    answers = []
    for turn in range(plan.turns):
        turns = (*turns, UserTurn((plan.turn(number, turn),)))
        answer = await hear(engine, ask(f"{number}.{turn}", f"long {number}", turns, plan.answer))
        turns = (*turns, AssistantTurn(answer.tokens))
        answers.append(answer)
    return answers


async def throughput(engine: WorkerEngine, plan: Plan, count: int) -> float:
    """Give tokens a second of conversations at once, from asking to the last token."""
    await crowd(engine, plan.crowd(count, 2 * count), 2)  # warms up
    clips = plan.crowd(count, 2 * count + 1)
    began = time.perf_counter()
    tokens = await crowd(engine, clips, plan.tokens)
    return tokens / (time.perf_counter() - began)


async def crowd(engine: WorkerEngine, clips: list[Clip], limit: int) -> int:
    """Ask about clips at the same time; count the new tokens."""
    requests = [ask(clip.id, clip.id, (UserTurn((clip,)),), limit) for clip in clips]
    answers = await asyncio.gather(*(hear(engine, request) for request in requests))
    return sum(len(answer.tokens) for answer in answers)


@dataclass(frozen=True, slots=True)
class Cancelled:
    """What it took to free the only slot; milliseconds."""

    freed: float
    """From closing an answer to the next one's first token, less what that takes when idle.

    It can be a little below 0: both are measured.
    """
    step: float
    """Between two tokens of one answer."""


async def cancel(config: WorkerConfig, plan: Plan) -> Cancelled | None:
    """Time how soon the only slot is free for one who waits; None: answers end sooner."""
    clips = iter(plan.crowd(2 * CANCELS + 1, 999))
    async with WorkerEngine(replace(config, slots=1, queue=4)) as engine:
        await engine.ready()
        await crowd(engine, [next(clips)], AFTER)
        same = [replace(clip, pcm=plan.turn(0, 0).pcm) for clip in clips]
        idle = [
            (await hear(engine, ask(c.id, c.id, (UserTurn((c,)),), 2))).first
            for c in same[:CANCELS]
        ]
        trials = [await trial(engine, clip) for clip in same[CANCELS:]]
    done = [trial for trial in trials if trial is not None]
    if not done:
        return None
    freed = statistics.median(wait for wait, _ in done) - statistics.median(idle)
    steps = [gap for _, gaps in done for gap in gaps]
    return Cancelled(1e3 * freed, 1e3 * statistics.median(steps))


async def trial(engine: WorkerEngine, clip: Clip) -> tuple[float, list[float]] | None:
    """Close one answer while another waits; give the seconds to its first token, and of steps.

    None: the answer was over before it could be cancelled.
    """
    long = ask("long", "long", (UserTurn(("Tell me everything.",)),), 2000)
    times: list[float] = []
    stream = engine.generate(long)
    waiting: asyncio.Task[float] | None = None
    async with aclosing(stream):
        async for _ in stream:
            times.append(time.perf_counter())
            if len(times) == 2 * AFTER:
                break
            if len(times) == AFTER:
                waiting = asyncio.create_task(came(engine, clip))
    closed = time.perf_counter()
    if waiting is None or len(times) < 2 * AFTER:
        return None
    gaps = [later - sooner for sooner, later in pairwise(times)]
    return await waiting - closed, gaps


async def came(engine: WorkerEngine, clip: Clip) -> float:
    """Tell when the first token of an answer came."""
    answer = ask(clip.id, clip.id, (UserTurn((clip,)),), 2)
    began = time.perf_counter()
    return began + (await hear(engine, answer)).first


def peak_mib(pid: int) -> float:
    """Give the most memory that a process has had."""
    status = Path(f"/proc/{pid}/status").read_text()
    (line,) = [line for line in status.splitlines() if line.startswith("VmHWM")]
    return int(line.split()[1]) / 1024


def worker_peak_mib() -> float:
    """Give the most memory that the worker, our only child, has had."""
    ours = str(os.getpid())
    stats = [path.read_text() for path in Path("/proc").glob("[0-9]*/stat")]
    # pid (name) state parent ...; a name may hold spaces.
    children = [s.split()[0] for s in stats if s.rpartition(")")[2].split()[1] == ours]
    return max(peak_mib(int(pid)) for pid in children)
