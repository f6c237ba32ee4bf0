#!/usr/bin/env python
"""Hold the engine against transformers: the same conversations, both ways, token for token.

Without `--random`: the examples of Qwen2-Audio's documentation on one checkpoint. With it: random
architectures (MHA and GQA), conversations of mixed lengths that arrive while others are answered,
dialogues with interruptions, batches. Each runs through this package's engine (the real
worker process) and through the stock processor and `generate()`, in float32 and greedily, and must
give the same tokens; in bfloat16 the engine's tokens must be within a tolerance of the best scores
of transformers. A table goes to stderr, one JSON line to stdout; the exit code is 1 when anything
differs.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import sys
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import random_model
import structlog
import torch
import typer
from parity import drawn
from parity.documented import Example, examples
from parity.sides import CUT, SAMPLE_RATE, Answer, Result, ours, stock
from rich.console import Console
from rich.table import Table
from rich.text import Text

from realtime.audio.files import read
from realtime.engine.api import Clip, Request, Sampling
from realtime.engine.model.load import Loaded, load
from realtime.engine.worker.config import WorkerConfig
from realtime.engine.worker.engine import WorkerEngine
from realtime.errors import RealtimeError

ROOT = Path(__file__).parents[1]
SHOWN = 60
"""Characters of an answer in the table; the JSON line has all of it."""


def clips_from(folder: Path) -> list[Clip]:
    """Take the recordings of a folder in the order of their names, or make some up."""
    files = sorted(p for p in folder.glob("*") if p.suffix in {".wav", ".flac", ".mp3", ".ogg"})
    clips = [Clip(path.stem, read(path)[: 30 * SAMPLE_RATE]) for path in files]
    return clips or [
        Clip(f"made up {seed}", random_model.speechlike(1.1 + 0.7 * seed, seed))
        for seed in range(4)
    ]


async def engine_answers(engine: WorkerEngine, example: Example, limit: int) -> list[Answer]:
    """Answer an example with the engine, a batch at once."""
    sampling = Sampling(temperature=0.0, max_tokens=limit)
    requests = [
        Request(f"{example.name} {i}", f"{i}", turns, sampling, template=example.template)
        for i, turns in enumerate(example.conversations)
    ]
    return list(await asyncio.gather(*(ours(engine, request) for request in requests)))


def loaded_as(config: WorkerConfig) -> Loaded:
    """Load for transformers what a worker loads."""
    return load(config.model, device=config.device, dtype=config.dtype, threads=config.threads)


async def compare(
    config: WorkerConfig, clips: list[Clip], limit: int, console: Console
) -> list[Result]:
    """Run every example of the documentation both ways."""
    chosen = examples(clips)
    with console.status("transformers"):
        loaded = loaded_as(config)
        expected = [
            stock(loaded, example.conversations, limit, template=example.template)
            for example in chosen
        ]
    with console.status("engine"):
        async with WorkerEngine(config) as engine:
            got = [await engine_answers(engine, example, limit) for example in chosen]
    return [
        Result(example.name, mine, theirs)
        for example, all_mine, all_theirs in zip(chosen, got, expected, strict=True)
        for mine, theirs in zip(all_mine, all_theirs, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Architecture:
    """What came of one random architecture."""

    name: str
    results: list[Result]
    """In float32."""
    bfloat16: drawn.Nearness

    @property
    def equal(self) -> bool:
        """Tell whether the engine did the same as transformers."""
        return all(result.equal for result in self.results) and self.bfloat16.within


async def compare_random(
    count: int, device: str, threads: int | None, console: Console
) -> list[Architecture]:
    """Make random architectures and hold the engine against transformers on each."""
    compared = []
    for seed, (name, shape) in enumerate(drawn.architectures(count)):
        with tempfile.TemporaryDirectory() as folder, console.status(name):
            random_model.save(Path(folder), shape)
            compared.append(await compare_drawn(name, folder, seed, device, threads))
    return compared


async def compare_drawn(
    name: str, folder: str, seed: int, device: str, threads: int | None
) -> Architecture:
    """Run what is drawn for one architecture both ways, in both precisions."""
    exactly, roughly = (
        WorkerConfig(folder, device=device, dtype=dtype, threads=threads, slots=drawn.SLOTS)
        for dtype in ("float32", "bfloat16")
    )
    draw = drawn.Draw(str(seed))
    async with WorkerEngine(exactly) as engine:
        alone = [*await drawn.crowd(engine, draw), *await drawn.dialogues(engine, draw)]
        batch = await drawn.together(engine, draw)
    async with WorkerEngine(roughly) as engine:
        rough = await drawn.crowd(engine, draw)
    exact = loaded_as(exactly)
    results = [drawn.check(exact, one) for one in alone] + drawn.check_batch(exact, batch)
    return Architecture(name, results, drawn.nearness(loaded_as(roughly), exact, rough))


def show(results: list[Result], console: Console) -> None:
    """Print the table of the documentation's examples."""
    table = Table("example", "prompt", "answer", "tokens", "equal", title="greedy, float32")
    for result in results:
        verdict = "yes" if result.equal else f"no, {result.difference()}"
        mine = result.ours
        cells = (str(mine.prompt_tokens), repr(mine.text[:SHOWN]), str(len(mine.tokens)), verdict)
        table.add_row(result.example, *map(Text, cells), style="" if result.equal else "red")
    console.print(table)


def show_random(compared: list[Architecture], console: Console) -> None:
    """Print the table of random architectures, and every difference."""
    table = Table("architecture", "float32: equal", "tokens", "cut", "bfloat16: gap", "tolerance")
    for one in compared:
        equal = sum(result.equal for result in one.results)
        near = one.bfloat16
        table.add_row(
            one.name,
            f"{equal} of {len(one.results)}",
            str(sum(len(result.ours.tokens) for result in one.results)),
            str(sum(result.ours.finish == CUT for result in one.results)),
            f"{near.gap:.4f}",
            f"{near.tolerance:.4f}",
            style="" if one.equal else "red",
        )
    console.print(table)
    for one in compared:
        for result in one.results:
            if not result.equal:
                console.print(Text(f"{one.name}, {result.example}: {result.difference()}"))


def report(model: str, results: list[Result]) -> dict[str, Any]:
    """Give what the JSON line holds of the documentation's examples."""
    return {
        **versions(),
        "model": model,
        "equal": all(result.equal for result in results),
        "tokens": sum(len(result.ours.tokens) for result in results),
        "results": [
            {
                "example": result.example,
                "equal": result.equal,
                "prompt_tokens": result.ours.prompt_tokens,
                "tokens": len(result.ours.tokens),
                "text": result.ours.text,
                **({} if result.equal else {"transformers": asdict(result.stock)}),
            }
            for result in results
        ],
    }


def report_random(compared: list[Architecture]) -> dict[str, Any]:
    """Give what the JSON line holds of random architectures."""
    return {
        **versions(),
        "random": len(compared),
        "equal": all(one.equal for one in compared),
        "sequences": sum(len(one.results) for one in compared),
        "sequences_equal": sum(result.equal for one in compared for result in one.results),
        "tokens": sum(len(result.ours.tokens) for one in compared for result in one.results),
        "architectures": [
            {
                "name": one.name,
                "equal": one.equal,
                "bfloat16": {
                    **{name: round(value, 6) for name, value in asdict(one.bfloat16).items()},
                    "tolerance": round(one.bfloat16.tolerance, 6),
                    "within": one.bfloat16.within,
                },
                "differences": [
                    {"example": result.example, "how": result.difference()}
                    for result in one.results
                    if not result.equal
                ],
            }
            for one in compared
        ],
    }


def versions() -> dict[str, str]:
    """Say which software was compared."""
    return {
        "script": "compare_transformers",
        "torch": torch.__version__,
        "transformers": importlib.metadata.version("transformers"),
    }


def main(
    model: Annotated[str, typer.Option(help="Folder or hub id.")] = str(
        ROOT / "realtime" / "demo_model"
    ),
    samples: Annotated[Path, typer.Option(help="Folder of recordings.")] = (
        ROOT / "client" / "samples"
    ),
    max_tokens: Annotated[int, typer.Option(help="New tokens per answer.")] = 64,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    threads: Annotated[int | None, typer.Option(help="CPU threads.")] = None,
    random: Annotated[
        int, typer.Option(metavar="N", help="Compare on N random architectures instead.")
    ] = 0,
) -> None:
    """Compare this package's engine with transformers, token for token."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    console = Console(stderr=True)
    # Both sides alike: how a sum is parted among threads shows in its last bits.
    threads = threads or torch.get_num_threads()
    try:
        if random:
            compared = asyncio.run(compare_random(random, device, threads, console))
            show_random(compared, console)
            line = report_random(compared)
        else:
            config = WorkerConfig(model, device=device, dtype="float32", threads=threads)
            results = asyncio.run(compare(config, clips_from(samples), max_tokens, console))
            show(results, console)
            line = report(Path(model).name, results)
    except RealtimeError as error:
        console.print(f"[red]{error}[/]")
        raise typer.Exit(2) from error
    print(json.dumps(line, ensure_ascii=False))
    sys.exit(not line["equal"])


if __name__ == "__main__":
    typer.run(main)
