"""One run over a manifest: what is left to do, the engine for it, the records as they come."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from realtime import log
from realtime.cli.batch.asking import Record, answer_all
from realtime.cli.batch.manifest import Broken, Job, read
from realtime.cli.batch.recordings import Recordings
from realtime.cli.batch.report import Report
from realtime.cli.batch.results import Failed, Results, results
from realtime.cli.shared.progress import loading_bar
from realtime.engine.worker.config import WorkerConfig
from realtime.engine.worker.engine import WorkerEngine
from realtime.errors import ConfigError

TOKENS_PER_SECOND = 25
"""Of audio."""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a manifest asks for."""

    todo: int
    """Conversations that are to be answered in this run."""
    done: int
    """Conversations that were answered by earlier runs."""


def run(worker: WorkerConfig, manifest: Path, output: Path) -> bool:
    """Answer what is not answered yet; tell whether all is answered now."""
    refuse_hopeless(manifest)
    report = Report(Console(stderr=True, highlight=False))
    with results(output, manifest) as out:
        found = survey(manifest, out.finished)
        for item in read(manifest):
            if isinstance(item, Broken):
                record = Failed.of(item)
                out.write(record)
                report.count(record)
        if found.todo:
            asyncio.run(answer(worker, manifest, out, report, found.todo))
        report.say(report.summary(found.done))
    return not report.failed


def refuse_hopeless(manifest: Path) -> None:
    """Refuse a manifest without a line that can be used, before anything is written."""
    first = None
    for item in read(manifest):
        if not isinstance(item, Broken):
            return
        first = first or item
    if first is None:
        raise ConfigError(f"{manifest} is empty: it has one conversation a line (see --help)")
    raise ConfigError(f"{manifest} is no manifest (see --help): line {first.line}: {first.message}")


def survey(manifest: Path, finished: frozenset[str | int]) -> Survey:
    """Count what is to be done."""
    ids = [item.id for item in read(manifest) if isinstance(item, Job)]
    done = sum(id in finished for id in ids)
    return Survey(len(ids) - done, done)


def pending(manifest: Path, finished: frozenset[str | int]) -> Iterator[Job]:
    """Give what is to be done."""
    for item in read(manifest):
        if isinstance(item, Job) and item.id not in finished:
            yield item


async def answer(
    worker: WorkerConfig, manifest: Path, out: Results, report: Report, todo: int
) -> None:
    """Load the model and answer everything."""
    task = asyncio.current_task()
    assert task is not None
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    # One thread for each conversation: slow downloads must not keep the others from being heard.
    loop.set_default_executor(ThreadPoolExecutor(capacity(worker), "recordings"))
    log.configure(level="critical")  # what goes wrong is told as an error, once
    async with WorkerEngine(worker) as engine:
        with loading_bar(report.console) as engine.on_loading:
            info = await engine.ready()
        engine.on_loading = None
        recordings = Recordings(manifest.parent, info.context / TOKENS_PER_SECOND)
        with report.answering(todo) as show:

            def tell(record: Record) -> None:
                out.write(record)
                show(record)

            jobs = pending(manifest, out.finished)
            await answer_all(engine, jobs, recordings, capacity(worker), tell)


def capacity(worker: WorkerConfig) -> int:
    """Give how many conversations are begun: some are heard while others are answered."""
    return worker.slots + min(worker.slots, worker.queue)
