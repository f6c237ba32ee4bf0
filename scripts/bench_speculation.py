#!/usr/bin/env python
"""Measure what speculation at a pause is worth: the same spoken questions with it and without.

Each question is streamed in real time to a server of our own, which counts what came of it. Some
questions hold a pause in the middle, longer than the one at which an answer is asked for and
shorter than the one that ends a turn: there it is lost. One line of JSON goes to stdout.
"""

from __future__ import annotations

import asyncio
import json
import re
import statistics
import sys
import tempfile
import urllib.request
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import soundfile
import typer
from numpy.typing import NDArray
from rich.console import Console

from realtime import config, log
from realtime.audio.files import read
from realtime.cli.ask.own_server import ready, served
from realtime.engine.worker.engine import WorkerEngine

ROOT = Path(__file__).parents[1]
RATE = 16_000
PAUSE_MS = 300
"""Of silence within a question: between the pause that is speculated at and the hangover."""
LOUD = 600
"""Of 32,768; what is softer at a recording's ends is taken for silence."""
COUNTED = re.compile(r'^realtime_guesses_total\{outcome="(\w+)"\} ([0-9.]+)$', re.MULTILINE)


def main(
    questions: Annotated[int, typer.Option(help="Questions without a pause.")] = 6,
    paused: Annotated[int, typer.Option(help="Questions with a pause in the middle.")] = 2,
    model: Annotated[
        str | None, typer.Option(help="Another checkpoint than the bundled one.")
    ] = None,
) -> None:
    """Ask with speculation and without, and compare."""
    with tempfile.TemporaryDirectory() as folder:
        paths = write(Path(folder), questions, paused)
        sides = {
            name: asyncio.run(measure(paths, speculate=speculate, model=model))
            for name, speculate in (("with_speculation", True), ("without", False))
        }
    print(
        json.dumps(
            {"script": "bench_speculation", "questions": questions, "paused": paused} | sides
        )
    )


def write(folder: Path, questions: int, paused: int) -> list[Path]:
    """Write the recordings that are asked with."""
    sounds = [read(path) for path in sorted((ROOT / "client" / "samples").glob("what-*.*"))]
    lead, gap = np.zeros(RATE // 2, np.int16), np.zeros(RATE * PAUSE_MS // 1000, np.int16)
    plain = [[lead, sounds[i % len(sounds)]] for i in range(questions)]
    broken = [
        [lead, voiced(sounds[i % len(sounds)]), gap, voiced(sounds[(i + 1) % len(sounds)])]
        for i in range(paused)
    ]
    paths = []
    for number, parts in enumerate([*plain, *broken]):
        paths.append(folder / f"{number}.wav")
        soundfile.write(paths[-1], np.concatenate(parts), RATE)
    return paths


def voiced(sound: NDArray[np.int16]) -> NDArray[np.int16]:
    """Cut off the silence around a recording."""
    loud = np.flatnonzero(np.abs(sound.astype(np.int32)) > LOUD)
    return sound[loud[0] : loud[-1] + 1]


async def measure(paths: Sequence[Path], *, speculate: bool, model: str | None) -> dict[str, Any]:
    """Ask every question of one server; tell the latencies and what became of its speculations."""
    options: dict[config.Key, object] = {
        ("worker", "model"): model,
        ("session", "speculate"): speculate,
    }
    settings = config.load(environment=config.environment(), options=options)
    log.configure(level="critical")
    async with WorkerEngine(settings.worker) as engine:
        await ready(engine, Console(stderr=True))
        async with served(settings, engine) as url:
            first = [await ask(path, url) for path in paths]
            page = await asyncio.to_thread(metrics, url)
    outcomes = {outcome: int(float(count)) for outcome, count in COUNTED.findall(page)}
    return {
        "speculations_kept": outcomes.get("kept", 0),
        "speculations_lost": outcomes.get("lost", 0),
        "end_of_speech_to_first_partial_ms": {
            "median": round(statistics.median(first), 1),
            "max": round(max(first), 1),
        },
    }


async def ask(path: Path, url: str) -> float:
    """Ask one question as a client would; give the milliseconds to its first partial."""
    command = [sys.executable, "-m", "realtime", "ask", "--json", "--url", url, str(path)]
    run = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    output, _ = await run.communicate()
    line = json.loads(output.splitlines()[0])
    found: float = line["ms"]["first_partial"]
    return found


def metrics(url: str) -> str:
    """Read the server's page of metrics."""
    with urllib.request.urlopen(f"{url.replace('ws:', 'http:')}/metrics") as page:
        text: str = page.read().decode()
    return text


if __name__ == "__main__":
    typer.run(main)
