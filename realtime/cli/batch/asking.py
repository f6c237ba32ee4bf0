"""The conversations of a manifest through an engine, many at once and no more than it takes."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import aclosing

from realtime.cli.batch.manifest import Job
from realtime.cli.batch.recordings import Recordings
from realtime.cli.batch.results import Answer, Answered, Error, Failed
from realtime.engine.api import (
    AssistantTurn,
    Engine,
    Request,
    SystemTurn,
    Turn,
)
from realtime.errors import Busy, EngineError, ModelError, RealtimeError

TRIES = 100
"""How often an engine without room is asked, as long apart as it says."""

Record = Answered | Failed


async def answer_all(
    engine: Engine,
    jobs: Iterable[Job],
    recordings: Recordings,
    at_once: int,
    tell: Callable[[Record], None],
) -> None:
    """Answer every job, `at_once` of them at a time; `tell` gets each record as it is there.

    Raises EngineError when there will never be an answer again.
    """
    rest = iter(jobs)
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(at_once):
                group.create_task(_answer_some(engine, rest, recordings, tell))
    except* ModelError as lost:
        raise EngineError(f"the engine is lost: {lost.exceptions[0]}") from None
    except* RealtimeError as failed:
        raise failed.exceptions[0] from None
    finally:
        recordings.closed.set()


async def _answer_some(
    engine: Engine, jobs: Iterator[Job], recordings: Recordings, tell: Callable[[Record], None]
) -> None:
    for job in jobs:
        tell(await answer(engine, job, recordings))


async def answer(engine: Engine, job: Job, recordings: Recordings) -> Record:
    """Answer one conversation; what goes wrong becomes its record, unless the engine is lost."""
    try:
        return Answered(job.id, job.line, await converse(engine, job, recordings))
    except ModelError:
        raise
    except RealtimeError as error:
        return Failed(job.id, job.line, Error(error.code, str(error)))
    except Exception as error:
        traceback.print_exc()
        message = f"{type(error).__name__}: {error}"
        return Failed(job.id, job.line, Error(RealtimeError.code, message))


async def converse(engine: Engine, job: Job, recordings: Recordings) -> list[Answer]:
    """Answer the turns in order; each answer is history for the next one."""
    # All of them first: what cannot be heard is found before any answer is paid for.
    asked = [
        await asyncio.to_thread(recordings.turn, question, template=job.template)
        for question in job.questions
    ]
    turns: list[Turn] = [] if job.system is None else [SystemTurn(job.system)]
    answers: list[Answer] = []
    for number, turn in enumerate(asked, 1):
        turns.append(turn)
        request = Request(
            f"{job.line}:{number}",
            f"line {job.line}",
            tuple(turns),
            job.sampling,
            template=job.template,
        )
        try:
            said, made = await patiently(engine, request)
        except EngineError as error:
            if len(asked) == 1:
                raise
            raise type(error)(f"turn {number}: {error}") from error
        turns.append(said)
        answers.append(made)
    return answers


async def patiently(engine: Engine, request: Request) -> tuple[AssistantTurn, Answer]:
    """Ask until there is room."""
    for _ in range(TRIES - 1):
        try:
            return await generate(engine, request)
        except Busy as busy:
            await asyncio.sleep(busy.retry_after)
    return await generate(engine, request)


async def generate(engine: Engine, request: Request) -> tuple[AssistantTurn, Answer]:
    """Collect one answer, as history and as a record."""
    stream = engine.generate(request)
    async with aclosing(stream):
        deltas = [delta async for delta in stream]
    last = deltas[-1] if deltas else None
    if last is None or last.finish is None or last.usage is None:
        raise EngineError("the engine broke off without saying why")
    text = "".join(delta.text for delta in deltas)
    said = AssistantTurn(tuple(token for delta in deltas for token in delta.tokens))
    return said, Answer(
        text,
        last.finish,
        last.usage.prompt_tokens,
        last.usage.cached_tokens,
        last.usage.completion_tokens,
    )
