"""Ask spoken questions made anew with a voice that the bundled model has never heard.

Each question is synthesised by espeak-ng, streamed to a server of our own as a microphone would,
and judged by the exact answer. A table goes to stderr, one line of JSON to stdout.
"""

from __future__ import annotations

import asyncio
import json
import random
import statistics
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import soundfile
import typer
from demo import skills, voices
from rich.console import Console
from rich.table import Table

from realtime.cli.ask.own_server import own_server


@dataclass(frozen=True, slots=True)
class Asked:
    """A question, the answer that is right, and what came."""

    words: str
    voice: str
    right: str
    answer: str
    first_partial_ms: float


def main(
    count: Annotated[int, typer.Option(help="How many questions.")] = 10,
    seed: Annotated[int, typer.Option(help="Which questions, by which voices.")] = 1,
    model: Annotated[
        str | None, typer.Option(help="Another checkpoint than the bundled one.")
    ] = None,
) -> None:
    """Ask `count` questions, the skills in turn, each one in a conversation of its own."""
    if voices.missing_synthesisers().get("espeak-ng"):
        raise typer.BadParameter("espeak-ng is not installed (Debian: apt install espeak-ng)")
    orders = draw(count, random.Random(seed))
    with tempfile.TemporaryDirectory() as folder:
        paths = [record(order, Path(folder) / f"{i}.wav") for i, (order, _) in enumerate(orders)]
        lines = asyncio.run(ask(paths, model))
    results = [
        Asked(order.words, order.voice, right, line["text"], line["ms"]["first_partial"])
        for (order, right), line in zip(orders, lines, strict=True)
    ]
    show(results)
    times = [result.first_partial_ms for result in results]
    right = sum(result.answer == result.right for result in results)
    print(
        json.dumps(
            {
                "script": "ask_questions",
                "asked": count,
                "right": right,
                "end_of_speech_to_first_partial_ms": {
                    "median": round(statistics.median(times), 1),
                    "max": round(max(times), 1),
                },
            }
        )
    )


def draw(count: int, rng: random.Random) -> list[tuple[voices.Speech, str]]:
    """Draw questions, skill by skill, with their speakers and right answers."""
    by_skill = list(skills.plain_questions().values())
    drawn = [rng.choice(by_skill[i % len(by_skill)]) for i in range(count)]
    return [(voices.order_espeak(q.words, rng, held_out=True), q.answer) for q in drawn]


def record(order: voices.Speech, path: Path) -> Path:
    """Speak into a file, with the half second of silence that a microphone has before it."""
    speech = voices.speak_espeak(order)
    soundfile.write(path, np.concatenate([np.zeros(voices.RATE // 2, np.int16), speech]), 16_000)
    return path


async def ask(paths: list[Path], model: str | None) -> list[dict[str, Any]]:
    """Run `realtime ask` on each recording against one server; give what it printed."""
    lines = []
    async with own_server(model, Console(stderr=True)) as url:
        for path in paths:
            command = [sys.executable, "-m", "realtime", "ask", "--json", "--url", url, str(path)]
            run = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
            output, _ = await run.communicate()
            lines.append(json.loads(output.splitlines()[0]))
    return lines


def show(results: list[Asked]) -> None:
    """Print the table."""
    table = Table("said", "voice", "answer", "", "first partial")
    for r in results:
        mark = "right" if r.answer == r.right else f"wrong: {r.right}"
        table.add_row(r.words, r.voice, r.answer, mark, f"{r.first_partial_ms:.0f} ms")
    Console(stderr=True).print(table)


if __name__ == "__main__":
    typer.run(main)
