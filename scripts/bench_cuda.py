#!/usr/bin/env python
"""Measure the engine's loop against what the device allows: how near it is to reading the weights.

Random weights of Qwen2-Audio-7B's own size are made on the device; nothing is read from disk. The
worker's loop runs in this process, without its socket. Floors are computed from the bandwidth that
copying memory reaches here: a decode step must read every weight of the language model once, and
the keys and values of every answer. A table goes to stderr, one JSON line to stdout.

It needs torch, transformers, numpy and what this package's engine needs. `--dry` runs all of it on
tiny weights, on a CPU if need be: what it prints then tells nothing but that it runs.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import random_model
import torch
from bench import floor

from realtime.engine.api import AssistantTurn, Clip, ModelInfo, Request, Sampling, Turn, UserTurn
from realtime.engine.model import build as building
from realtime.engine.model import flash, quantise
from realtime.engine.model import load as model
from realtime.engine.model.transfer import claim
from realtime.engine.worker import environment, messages
from realtime.engine.worker.core import EngineCore
from realtime.engine.worker.scheduler import SchedulerConfig
from realtime.errors import RealtimeError

SIZES = {"7b": random_model.QWEN_7B, "mid": random_model.MID}
DRY = random_model.Shape(stops=False, plain=True)
AIMS = {"decode_of_floor": 0.8, "second_turn_ms": 8.0, "throughput_of_floor": 0.6}
CLIP_S = 2.0


@dataclass(frozen=True, slots=True)
class Amounts:
    """How much is measured."""

    decode: int = 128
    """Tokens of the answer whose decode steps are timed; a quarter of them first, not counted."""
    turns: int = 10
    """Conversations whose second turn is timed; the first one is not counted."""
    conversations: int = 32
    tokens: int = 128
    """Of each of these."""


SMALL = Amounts(decode=8, turns=2, conversations=4, tokens=6)


class Desk:
    """The worker's loop in this process."""

    def __init__(self, loaded: model.Loaded, options: argparse.Namespace, slots: int) -> None:
        self.model, self.info = building.build(
            loaded,
            slots=slots,
            chunk=256,
            kv_bytes=options.kv_bytes,
            attention=options.attention,
            kv_dtype=options.kv_dtype,
            graphs=not options.no_graphs,
            progress=lambda stage, fraction: None,
        )
        config = SchedulerConfig(slots, 64, 256, self.model.cells)
        self.core = EngineCore(self.model, config, self.heard)
        self.serial = 0
        self.first: dict[int, float] = {}
        """When each answer's first token came, by `time.perf_counter`."""
        self.tokens: dict[int, list[int]] = {}

    def heard(self, message: messages.FromWorker) -> None:
        """Note what the loop tells."""
        if isinstance(message, messages.Failed):
            raise RealtimeError(f"an answer failed: {message.reason}")
        if isinstance(message, messages.Piece):
            self.first.setdefault(message.serial, time.perf_counter())
            self.tokens[message.serial].extend(message.delta.tokens)

    def ask(self, name: str, turns: Sequence[Turn], tokens: int) -> int:
        """Ask for the likeliest answer of so many tokens; give its serial."""
        self.serial += 1
        sampling = Sampling(temperature=0.0, max_tokens=tokens)
        request = Request(str(self.serial), name, tuple(turns), sampling)
        self.tokens[self.serial] = []
        for clip in messages.clips_of(request).values():
            self.core.receive(messages.hear(clip))
        self.core.receive(messages.generate(self.serial, request))
        return self.serial

    def run(self) -> None:
        """Answer everything."""
        while self.core.step():
            pass


def main(arguments: list[str] | None = None) -> int:
    """Measure; tell by the exit code whether that was possible."""
    environment.grow_in_place(os.environ)
    options = parse(arguments)
    cuda = options.device.startswith("cuda")
    if cuda and not torch.cuda.is_available():
        print(f"bench_cuda: there is no {options.device} here", file=sys.stderr)
        return 2
    if not (cuda or options.dry):
        print("bench_cuda: without CUDA only --dry runs", file=sys.stderr)
        return 2
    try:
        line = measure(options, options.amounts)
    except RealtimeError as error:
        print(f"bench_cuda: {error}", file=sys.stderr)
        return 1
    print(report(line), file=sys.stderr)
    print(json.dumps(line))
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--shape", choices=SIZES, default="7b", help="size of the random weights")
    parser.add_argument("--device", help="else cuda where there is any")
    parser.add_argument("--attention", choices=model.ATTENTION, default="sdpa")
    parser.add_argument("--weights", choices=quantise.WEIGHTS, default="auto")
    parser.add_argument("--kv-dtype", choices=building.KV_DTYPES, default="auto")
    parser.add_argument(
        "--kv-bytes", type=int, help="memory for keys and values; else what is free"
    )
    parser.add_argument("--no-graphs", action="store_true", help="decode without CUDA graphs")
    parser.add_argument("--dry", action="store_true", help="tiny weights, a little of everything")
    options = parser.parse_args(arguments)
    options.device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    options.amounts = SMALL if options.dry else Amounts()
    return options


def beside(device: str) -> dict[str, Any]:
    """Measure the 7B shape for another script."""
    line = measure(parse([f"--device={device}"]), Amounts())
    print(report(line), file=sys.stderr)
    return line


def measure(options: argparse.Namespace, amounts: Amounts) -> dict[str, Any]:
    """Measure everything on one set of weights."""
    device = torch.device(options.device)
    claim(device)
    say("making random weights on the device")
    loaded = made(DRY if options.dry else SIZES[options.shape], device, options.attention)
    quantise.quantise(loaded.model, options.weights)
    bandwidth = floor.copy_bandwidth(str(device))
    desk = Desk(loaded, options, amounts.conversations)
    alone = measured_alone(desk, amounts, device)
    together = measured_together(desk, amounts, device)
    weights = read_bytes(loaded.model)
    return {
        "script": "bench_cuda",
        "gpu": name_of(device),
        "shape": "dry" if options.dry else options.shape,
        "torch": torch.__version__,
        "transformers": importlib.metadata.version("transformers"),
        "dtype": loaded.info.dtype,
        **{name: getattr(options, name) for name in ("attention", "weights", "kv_dtype")},
        "copy_gb_per_second": round(bandwidth / 1e9, 1),
        "weights_read_gb": round(weights / 1e9, 3),
        "weights_floor_ms": round(1e3 * weights / bandwidth, 4),
        **held_against_floor(alone, together, weights, bandwidth),
    }


def made(shape: random_model.Shape, device: torch.device, attention: str) -> model.Loaded:
    """Make weights on the device, as if they had been loaded."""
    dtype = model.choose_dtype("auto", device)
    if attention == flash.NAME:
        flash.refuse(device, dtype)
    shape = replace(shape, dtype=dtype)
    processor = random_model.processor(shape.vocabulary)
    weights = random_model.model(processor, shape, str(device))
    weights.set_attn_implementation("eager" if attention == "eager" else "sdpa")
    info = ModelInfo(
        "random",
        shape.context,
        sum(p.numel() for p in weights.parameters()),
        str(dtype).removeprefix("torch."),
        str(device),
    )
    ends: frozenset[int] = frozenset()  # so that answers have just the length asked for
    return model.Loaded(weights, processor, info, ends, model.default_choice(weights))


@dataclass(frozen=True, slots=True)
class Alone:
    """One conversation at a time; milliseconds."""

    step: float
    cells: float
    """Positions that a timed step read keys and values of, on average."""
    second_turn: float
    cell_bytes: int
    graphs: int


@dataclass(frozen=True, slots=True)
class Together:
    """Many conversations at once."""

    step: float
    """Milliseconds of a step in which all of them talk."""
    tokens_per_second: float
    """From asking to the last token, prompts and audio included."""
    talking_per_second: float
    """While all of them talk."""
    cells: float
    """Positions that a timed step read keys and values of, all of them together."""
    count: int


def measured_alone(desk: Desk, amounts: Amounts, device: torch.device) -> Alone:
    """Time decode steps of one answer, and the first token of second turns."""
    say("one conversation")
    serial = desk.ask("alone", [UserTurn((clip("alone"),))], amounts.decode)
    times, sizes = timed_steps(desk, [serial], device)
    skipped = amounts.decode // 4
    waits = [second_turn(desk, number, device) for number in range(amounts.turns + 1)][1:]
    fixed = getattr(desk.model.runner, "fixed", None)
    return Alone(
        1e3 * statistics.median(times[skipped:]),
        statistics.mean(sizes[skipped:]),
        1e3 * statistics.median(waits),
        cell_bytes(desk),
        len(fixed.replays) if fixed else 0,
    )


def second_turn(desk: Desk, number: int, device: torch.device) -> float:
    """Give the seconds from asking a second turn of 2 s to its first token."""
    name = f"second {number}"
    first = UserTurn((clip(f"{name}.0"),))
    serial = desk.ask(name, [first], 16)
    desk.run()
    turns: list[Turn] = [
        first,
        AssistantTurn(tuple(desk.tokens[serial])),
        UserTurn((clip(f"{name}.1"),)),
    ]
    floor.synchronise(device.type)
    began = time.perf_counter()
    serial = desk.ask(name, turns, 2)
    desk.run()
    return desk.first[serial] - began


def measured_together(desk: Desk, amounts: Amounts, device: torch.device) -> Together:
    """Time many conversations that ask at once."""
    say(f"{amounts.conversations} conversations")
    count = amounts.conversations
    for name, tokens in (("warm up", 4), ("together", amounts.tokens)):
        turns: list[Turn] = [UserTurn((clip(f"{name} {i}"),)) for i in range(count)]
        floor.synchronise(device.type)
        began = time.perf_counter()
        serials = [desk.ask(f"{name} {i}", [turn], tokens) for i, turn in enumerate(turns)]
        times, sizes = timed_steps(desk, serials, device)
        took = time.perf_counter() - began
    total = sum(len(desk.tokens[serial]) for serial in serials)
    return Together(
        1e3 * statistics.median(times),
        total / took,
        count / statistics.median(times),
        statistics.mean(sizes),
        count,
    )


def timed_steps(
    desk: Desk, serials: list[int], device: torch.device
) -> tuple[list[float], list[int]]:
    """Run until all is answered; give the seconds of steps in which all talk, and their cells."""
    marks: list[float] = []
    sizes: list[int] = []
    busy = True
    while busy:
        running = desk.core.scheduler.running
        talking = len(running) == len(serials) and all(
            sequence.decodes for sequence in running.values()
        )
        if talking:
            floor.synchronise(device.type)
            marks.append(time.perf_counter())
            sizes.append(sum(len(sequence.tokens) for sequence in running.values()))
        busy = desk.core.step()
    return [later - sooner for sooner, later in pairwise(marks)], sizes[:-1]


def held_against_floor(
    alone: Alone, together: Together, weights: int, bandwidth: float
) -> dict[str, Any]:
    """Hold what was measured against what reading takes."""

    def least(cells: float) -> float:
        return 1e3 * (weights + cells * alone.cell_bytes) / bandwidth

    reached = {
        "decode_of_floor": least(alone.cells) / alone.step,
        "second_turn_ms": alone.second_turn,
        "throughput_of_floor": least(together.cells) / together.step,
    }
    return {
        "graphs": alone.graphs,
        "decode_ms": round(alone.step, 4),
        "decode_floor_ms": round(least(alone.cells), 4),
        **{name: round(value, 3) for name, value in reached.items()},
        "conversations": together.count,
        "step_ms": round(together.step, 4),
        "step_floor_ms": round(least(together.cells), 4),
        "tokens_per_second": round(together.tokens_per_second, 1),
        "tokens_per_second_while_all_talk": round(together.talking_per_second, 1),
        "reached": {
            name: value <= AIMS[name] if name.endswith("_ms") else value >= AIMS[name]
            for name, value in reached.items()
        },
    }


def report(line: dict[str, Any]) -> str:
    """Write the table."""
    met = {True: "reached", False: "not reached"}
    count, reached = line["conversations"], line["reached"]
    return "\n".join(
        [
            f"{line['gpu']}, {line['shape']}, {line['dtype']}, {line['graphs']} graphs",
            f"  copying              {line['copy_gb_per_second']:,} GB/s",
            f"  reading the weights  {line['weights_floor_ms']:.2f} ms",
            f"  decode, one answer   {line['decode_ms']:.2f} ms, {line['decode_of_floor']:.0%} of "
            f"the floor (aim 80 %: {met[reached['decode_of_floor']]})",
            f"  second turn of 2 s   {line['second_turn_ms']:.2f} ms to its first token "
            f"(aim 8 ms: {met[reached['second_turn_ms']]})",
            f"  {count:2} conversations     {line['tokens_per_second']:,} tokens/s, a step "
            f"{line['step_ms']:.2f} ms, {line['throughput_of_floor']:.0%} of the floor "
            f"(aim 60 %: {met[reached['throughput_of_floor']]})",
        ]
    )


def read_bytes(weights: Any) -> int:
    """Count the bytes of the weights that one decode step reads: all but the embeddings."""
    language = weights.model.language_model
    unread = quantise.weight_bytes(language.embed_tokens)
    return quantise.weight_bytes(language) - unread + quantise.weight_bytes(weights.lm_head)


def cell_bytes(desk: Desk) -> int:
    """Count the bytes of one position's keys and values."""
    assert desk.info.memory is not None
    return desk.info.memory.kv // desk.info.memory.cells


def clip(name: str) -> Clip:
    """Make 2 s of something like a voice."""
    return Clip(name, random_model.speechlike(CLIP_S, sum(name.encode())))


def name_of(device: torch.device) -> str:
    """Name the GPU, or say that there is none."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "no GPU"


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"bench_cuda: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
