#!/usr/bin/env python
"""Hold the engine against transformers: the examples of Qwen2-Audio's documentation, both ways.

Each example runs through this package's engine (the real worker process) and through the stock
processor and `generate()`, in float32 and greedily, and must give the same tokens. A table goes to
stderr, one JSON line to stdout; the exit code is 1 when anything differs.
"""

from __future__ import annotations

import asyncio
import importlib.metadata
import json
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import structlog
import torch
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from realtime.audio.files import read
from realtime.engine.api import (
    AssistantTurn,
    Clip,
    Request,
    Sampling,
    SystemTurn,
    Turn,
    UserTurn,
)
from realtime.engine.model import Loaded, load
from realtime.engine.process import WorkerConfig, WorkerEngine
from realtime.errors import RealtimeError

ROOT = Path(__file__).parents[1]
SAMPLE_RATE = 16_000
SHOWN = 60
"""Characters of an answer in the table; the JSON line has all of it."""
CAPTION = "Generate the caption in English:"

Conversation = tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Example:
    """One example of the documentation; several conversations are one batch."""

    name: str
    conversations: tuple[Conversation, ...]
    template: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """What one side answered."""

    prompt_tokens: int
    tokens: tuple[int, ...]
    text: str
    finish: str


@dataclass(frozen=True, slots=True)
class Result:
    """One conversation, answered by both sides."""

    example: str
    ours: Answer
    stock: Answer

    @property
    def equal(self) -> bool:
        """Tell whether every token, the prompt's length and the ending are the same."""
        return self.ours == self.stock

    def difference(self) -> str:
        """Say where the answers part."""
        if self.ours.prompt_tokens != self.stock.prompt_tokens:
            return f"prompts: {self.ours.prompt_tokens} and {self.stock.prompt_tokens} tokens"
        pairs = zip(self.ours.tokens, self.stock.tokens, strict=False)
        same = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        if same is None:
            same = min(len(self.ours.tokens), len(self.stock.tokens))
        return f"from token {same} on; transformers: {self.stock.text!r}"


def examples(clips: list[Clip]) -> list[Example]:
    """Give the documentation's examples (transformers, model_doc/qwen2_audio), with these clips."""
    glass, speech, other, cough = (clips[i % len(clips)] for i in range(4))
    tagged = UserTurn(("<|audio_bos|>", glass, f"<|audio_eos|>{CAPTION}"))
    bare = UserTurn((glass, CAPTION))
    chat = (
        UserTurn((speech,)),
        AssistantTurn(text="Yes, the speaker is female and in her twenties."),
        UserTurn((other,)),
    )
    what = UserTurn((glass, "What's that sound?"))
    shattering = AssistantTurn(text="It is the sound of glass shattering.")
    careful = AssistantTurn(
        text="Stay alert and cautious, and check if anyone is hurt or if there is any damage to "
        "property."
    )
    says = UserTurn((speech, "What does the person say?"))
    analysis = (
        SystemTurn("You are a helpful assistant."),
        what,
        shattering,
        UserTurn(("What can you do when you hear that?",)),
        careful,
        says,
    )
    hears = (what, shattering, UserTurn((cough, "What can you hear?")))
    return [
        Example("caption, audio tags", ((tagged,),), template=False),
        Example("caption, no audio tags", ((bare,),), template=False),
        Example("voice chat", (chat,)),
        Example("audio analysis", (analysis,)),
        Example("batch of two", (hears, (says,))),
    ]


def clips_from(folder: Path) -> list[Clip]:
    """Take the recordings of a folder in the order of their names, or make some up."""
    files = sorted(p for p in folder.glob("*") if p.suffix in {".wav", ".flac", ".mp3", ".ogg"})
    clips = [Clip(path.stem, read(path)[: 30 * SAMPLE_RATE]) for path in files]
    return clips or [Clip(f"made up {seed}", voice(1.1 + 0.7 * seed, seed)) for seed in range(4)]


def voice(seconds: float, seed: int) -> NDArray[np.int16]:
    """Make audio somewhat like a voice: harmonics that swell and fade, over a little noise."""
    random = np.random.default_rng(seed)
    time = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    phase = 2 * np.pi * np.cumsum(120 + 40 * np.sin(4 * time + seed)) / SAMPLE_RATE
    harmonics = np.sum([np.sin(k * phase) / k for k in range(1, 16)], axis=0)
    audio = 0.08 * harmonics * (1 + np.sin(19 * time)) + random.normal(0, 0.004, len(time))
    pcm: NDArray[np.int16] = (np.clip(audio, -1, 1) * 32767).astype(np.int16)
    return pcm


def messages(turns: Conversation) -> Iterator[dict[str, Any]]:
    """Write a conversation as the documentation does."""
    for turn in turns:
        match turn:
            case SystemTurn(text):
                yield {"role": "system", "content": text}
            case AssistantTurn(_, text):
                yield {"role": "assistant", "content": text}
            case UserTurn(parts):
                yield {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": part}
                        if isinstance(part, str)
                        else {"type": "audio", "audio_url": part.id}
                        for part in parts
                    ],
                }


def verbatim(turns: Conversation) -> str:
    """Write a base model's prompt."""
    (turn,) = turns
    assert isinstance(turn, UserTurn)
    return "".join(part if isinstance(part, str) else "<|AUDIO|>" for part in turn.parts)


def stock(loaded: Loaded, example: Example, limit: int) -> list[Answer]:
    """Answer with the processor and `generate()`, a batch padded on the left."""
    processor = loaded.processor
    processor.tokenizer.padding_side = "left"
    if example.template:
        texts = [
            processor.apply_chat_template(
                list(messages(turns)), add_generation_prompt=True, tokenize=False
            )
            for turns in example.conversations
        ]
    else:
        texts = [verbatim(turns) for turns in example.conversations]
    users = [t for turns in example.conversations for t in turns if isinstance(t, UserTurn)]
    audio = [
        part.pcm.astype(np.float32) / 32768
        for turn in users
        for part in turn.parts
        if isinstance(part, Clip)
    ]
    inputs = processor(
        text=texts, audio=audio, return_tensors="pt", padding=True, sampling_rate=SAMPLE_RATE
    ).to(loaded.model.device)
    with torch.inference_mode():
        model: Any = loaded.model
        generated = model.generate(**inputs, do_sample=False, max_new_tokens=limit)
    width = inputs["input_ids"].shape[1]
    prompts = inputs["attention_mask"].sum(-1).tolist()
    return [
        trimmed(loaded, row[width:].tolist(), prompt)
        for row, prompt in zip(generated, prompts, strict=True)
    ]


def trimmed(loaded: Loaded, tokens: list[int], prompt_tokens: int) -> Answer:
    """Cut an answer of `generate()` before its end token, where it has one."""
    end = next((i for i, token in enumerate(tokens) if token in loaded.ends), None)
    kept = tokens[:end]
    text = loaded.processor.tokenizer.decode(kept, skip_special_tokens=True)
    return Answer(prompt_tokens, tuple(kept), text, "length" if end is None else "stop")


async def ours(engine: WorkerEngine, example: Example, limit: int) -> list[Answer]:
    """Answer with the engine, a batch at once."""
    sampling = Sampling(temperature=0.0, max_tokens=limit)
    requests = [
        Request(f"{example.name} {i}", f"{i}", turns, sampling, template=example.template)
        for i, turns in enumerate(example.conversations)
    ]
    return list(await asyncio.gather(*(answer(engine, request) for request in requests)))


async def answer(engine: WorkerEngine, request: Request) -> Answer:
    """Collect one answer of the engine."""
    deltas = [delta async for delta in engine.generate(request)]
    last = deltas[-1]
    assert last.usage is not None
    assert last.finish is not None
    tokens = tuple(token for delta in deltas for token in delta.tokens)
    text = "".join(delta.text for delta in deltas)
    return Answer(last.usage.prompt_tokens, tokens, text, last.finish)


async def compare(
    config: WorkerConfig, clips: list[Clip], limit: int, console: Console
) -> list[Result]:
    """Run every example both ways."""
    chosen = examples(clips)
    with console.status("transformers"):
        loaded = load(
            config.model, device=config.device, dtype=config.dtype, threads=config.threads
        )
        expected = [stock(loaded, example, limit) for example in chosen]
    with console.status("engine"):
        async with WorkerEngine(config) as engine:
            got = [await ours(engine, example, limit) for example in chosen]
    return [
        Result(example.name, mine, theirs)
        for example, all_mine, all_theirs in zip(chosen, got, expected, strict=True)
        for mine, theirs in zip(all_mine, all_theirs, strict=True)
    ]


def show(results: list[Result], console: Console) -> None:
    """Print the table."""
    table = Table("example", "prompt", "answer", "tokens", "equal", title="greedy, float32")
    for result in results:
        verdict = "yes" if result.equal else f"no, {result.difference()}"
        mine = result.ours
        cells = (str(mine.prompt_tokens), repr(mine.text[:SHOWN]), str(len(mine.tokens)), verdict)
        table.add_row(result.example, *map(Text, cells), style="" if result.equal else "red")
    console.print(table)


def report(model: str, results: list[Result]) -> dict[str, Any]:
    """Give what the JSON line holds."""
    return {
        "script": "compare_transformers",
        "model": model,
        "torch": torch.__version__,
        "transformers": importlib.metadata.version("transformers"),
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
) -> None:
    """Compare this package's engine with transformers, token for token."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    console = Console(stderr=True)
    config = WorkerConfig(model, device=device, dtype="float32", threads=threads)
    try:
        clips = clips_from(samples)
        results = asyncio.run(compare(config, clips, max_tokens, console))
    except RealtimeError as error:
        console.print(f"[red]{error}[/]")
        raise typer.Exit(2) from error
    show(results, console)
    print(json.dumps(report(Path(model).name, results), ensure_ascii=False))
    sys.exit(not all(result.equal for result in results))


if __name__ == "__main__":
    typer.run(main)
