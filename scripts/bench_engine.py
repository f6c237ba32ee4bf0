#!/usr/bin/env python
"""Measure the engine and stock transformers on the same weights in the same run.

Time to first token of each turn of a conversation, tokens a second of conversations at once, time
until a cancelled answer has freed its place, memory. Ours is the real worker process; theirs is the
processor and `generate()` as documented: every turn anew, one after another or as a padded batch.
One JSON line goes to stdout, a plot to docs/, progress to stderr.

It needs torch, transformers, numpy and what this package's engine needs. `--shape mid` makes random
weights of 240 million parameters; `--shape 7b`, on CUDA only, those of Qwen2-Audio-7B's own size.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import importlib.metadata
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import bench_cuda
import numpy as np
import random_model
import structlog
import torch
from bench import floor, mel, ours, stock, table
from bench.plan import SMOKE, Plan
from bench.table import Ours, Theirs
from numpy.typing import NDArray

from realtime.engine.worker.config import WorkerConfig
from realtime.engine.worker.engine import WorkerEngine
from realtime.errors import RealtimeError

ROOT = Path(__file__).parents[1]
SHAPES = {
    "tiny": random_model.Shape(stops=False, plain=True),
    "mid": random_model.MID,
    "7b": random_model.QWEN_7B,
}
DISK = 18 << 30
"""Bytes that the 7B checkpoint takes for as long as it is measured."""


def main(arguments: list[str] | None = None) -> int:
    """Measure what the options ask for; tell by the exit code whether that was possible."""
    structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))
    options = parse(arguments)
    # Both sides alike, also where nothing is said: the engine would choose its own.
    options.threads = options.threads or torch.get_num_threads()
    torch.set_num_threads(options.threads)
    if options.mel:
        clips = (0.5,) if options.smoke else mel.SECONDS
        print(json.dumps({**about(options), "mel": mel.compare(clips)}))
        return 0
    if reason := hopeless(options):
        print(f"bench_engine: {reason}", file=sys.stderr)
        return 2
    try:
        with checkpoint(options) as folder:
            line = measure(options, folder)
    except RealtimeError as error:
        print(f"bench_engine: {error}", file=sys.stderr)
        return 1
    if options.shape == "7b":
        release()
        line["against_floors"] = bench_cuda.beside(options.device)
    if options.plot:
        line["plot"] = table.draw(line, Path(options.plot))
    print(json.dumps(line))
    return 0


def parse(arguments: list[str] | None) -> argparse.Namespace:
    """Read the options."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    which = parser.add_mutually_exclusive_group()
    which.add_argument("--model", help="a folder; else the bundled checkpoint")
    which.add_argument("--shape", choices=SHAPES, help="random weights of this size instead")
    parser.add_argument("--device", help="cpu or cuda; else cuda where there is any")
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], help="else as the device likes")
    parser.add_argument("--threads", type=int, help="CPU threads of each side")
    parser.add_argument("--turns", type=int, help="turns of the conversation (20)")
    parser.add_argument("--conversations", help="how many at once (1,2,4,8,16,32)")
    parser.add_argument("--tokens", type=int, help="new tokens of each of them, at most (32)")
    parser.add_argument("--plot", default=str(ROOT / "docs"), help="folder; empty: no plot")
    parser.add_argument("--mel", action="store_true", help="measure the log-mel, nothing else")
    parser.add_argument("--smoke", action="store_true", help="a tiny model, a little of everything")
    options = parser.parse_args(arguments)
    if options.smoke:
        options.shape = "tiny"
    options.device = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    cuda = options.device.startswith("cuda")
    options.dtype = options.dtype or ("bfloat16" if cuda else "float32")
    return options


def hopeless(options: argparse.Namespace) -> str | None:
    """Say why this cannot be measured here."""
    cuda = options.device.startswith("cuda")
    if cuda and not torch.cuda.is_available():
        return f"there is no {options.device} here"
    if options.shape == "7b" and not cuda:
        return "--shape 7b needs CUDA: its 8.4 billion random weights are made on the device"
    free = shutil.disk_usage(tempfile.gettempdir()).free
    if options.shape == "7b" and free < DISK:
        return (
            f"--shape 7b needs {DISK >> 30} GiB in {tempfile.gettempdir()}, {free >> 30} are free"
        )
    return None


def plan_of(options: argparse.Namespace) -> Plan:
    """Give how much is to be measured."""
    plan = SMOKE if options.smoke else Plan()
    if options.shape is None:
        plan = replace(plan, sounds=recordings())
    given = {name: getattr(options, name) for name in ("turns", "tokens")}
    if options.conversations:
        given["conversations"] = tuple(int(n) for n in options.conversations.split(","))
    return replace(plan, **{name: value for name, value in given.items() if value})


def recordings() -> tuple[NDArray[np.int16], ...]:
    """Read the spoken questions that lie beside the client."""
    # Here, because random weights are measured where nothing can read audio files.
    from realtime.audio.files import read

    return tuple(read(path) for path in sorted((ROOT / "client" / "samples").glob("*.wav")))


@contextmanager
def checkpoint(options: argparse.Namespace) -> Iterator[str]:
    """Give the folder of the weights that both sides load, made up if need be."""
    if options.shape is None:
        yield options.model or str(ROOT / "realtime" / "demo_model")
        return
    with tempfile.TemporaryDirectory() as folder:
        say(f"making random weights, shape {options.shape}")
        shape = replace(SHAPES[options.shape], dtype=getattr(torch, options.dtype))
        random_model.save(Path(folder), shape, device=options.device)
        release()
        yield folder


def measure(options: argparse.Namespace, folder: str) -> dict[str, Any]:
    """Measure both sides, one after the other so that neither takes memory from the other."""
    plan = plan_of(options)
    config = WorkerConfig(
        folder,
        device=options.device,
        dtype=options.dtype,
        threads=options.threads,
        slots=max(plan.conversations),
    )
    mine = asyncio.run(measure_ours(config, plan))
    theirs = measure_stock(options, folder, plan, mine.turns.texts)
    bandwidth = floor.copy_bandwidth(options.device)
    return {
        **about(options),
        "model": options.shape or mine.info.name,
        **table.table(plan, mine, theirs, bandwidth),
    }


async def measure_ours(config: WorkerConfig, plan: Plan) -> Ours:
    """Measure the engine."""
    before = cuda_used_mib(config.device)
    async with WorkerEngine(config) as engine:
        say("ours: loading")
        info = await engine.ready()
        say("ours: first tokens")
        turns = await ours.first_tokens(engine, plan)
        rates = []
        for count in plan.conversations:
            rates.append(await ours.throughput(engine, plan, count))
            say(f"ours: {count} at once: {rates[-1]:.1f} tokens/s")
        memory = ours.worker_peak_mib()
        if config.device.startswith("cuda"):
            memory = cuda_used_mib(config.device) - before
    say("ours: cancelling")
    return Ours(info, turns, rates, await ours.cancel(config, plan), memory)


def measure_stock(
    options: argparse.Namespace, folder: str, plan: Plan, answers: list[str]
) -> Theirs:
    """Measure transformers; `answers` are the history of the long conversation."""
    cuda = options.device.startswith("cuda")
    stock.forget_peak()
    say("transformers: loading")
    loaded = stock.load(folder, options.device, options.dtype)
    say("transformers: first tokens")
    first = stock.first_tokens(loaded, plan, answers)
    slow = stock.one_after_another(loaded, plan)
    say(f"transformers: one after another: {slow:.1f} tokens/s")
    rates = []
    for count in plan.conversations:
        rates.append(stock.batch(loaded, plan, count))
        say(f"transformers: batch of {count}: {rates[-1]:.1f} tokens/s")
    cancel = stock.cancel_ms(loaded, plan)
    memory = torch.cuda.max_memory_reserved() / 2**20 if cuda else stock.peak()
    read = floor.decode_bytes(loaded.model)
    del loaded
    release()
    return Theirs(first, slow, rates, cancel, memory, read)


def about(options: argparse.Namespace) -> dict[str, Any]:
    """Say what was measured on."""
    cuda = options.device.startswith("cuda")
    name = torch.cuda.get_device_name(options.device) if cuda else platform.processor()
    return {
        "script": "bench_engine",
        "device": f"{options.device} {name}".strip(),
        "dtype": options.dtype,
        "threads": torch.get_num_threads(),
        "cpus": os.cpu_count(),
        "torch": torch.__version__,
        "transformers": importlib.metadata.version("transformers"),
    }


def cuda_used_mib(device: str) -> float:
    """Give the memory of the device that anybody uses; 0 on a CPU."""
    if not device.startswith("cuda"):
        return 0.0
    free, total = torch.cuda.mem_get_info(device)
    return (total - free) / 2**20


def release() -> None:
    """Give back what is not used any more."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def say(text: str) -> None:
    """Tell how far it is."""
    print(f"bench_engine: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
