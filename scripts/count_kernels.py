#!/usr/bin/env python
"""Count what each kind of step starts on a GPU at Qwen2-Audio-7B's size; none is needed.

The steps run on fake tensors, which have shapes and no numbers. Counted are the operations that
torch dispatches, views left out and nothing compiled: about one kernel each. What would make the
host wait for the device within a step is named. One JSON line goes to stdout.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import sys
from dataclasses import replace
from typing import Any

import random_model
import torch
from bench.pretend import CHECKPOINT, GREEDY, Pretended, Watch, watched
from torch import Tensor

from realtime.engine.api import Sampling
from realtime.engine.model.graphs import Bucket
from realtime.engine.model.kv_cache import FP8

ANSWERS = 8
TOKENS = 1000
"""Of each answer that talks."""
BUCKET = Bucket(ANSWERS, 1024)
LIMIT = 12
"""Kinds of operations that are listed."""


def flash(query: Tensor, *_: Any, **__: Any) -> Tensor:
    """Stand in for flash_attn_varlen_func: one kernel."""
    return torch.zeros_like(query)


WAYS: dict[str, dict[str, Any]] = {
    "gathered": {},
    "one answer": {"answers": 1},
    "gathered from fp8": {"kv_dtype": FP8},
    "flash attention": {"kernel": flash},
}


def main(arguments: list[str] | None = None) -> int:
    """Count; tell by the exit code whether anything would wait."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n\n")[0])
    parser.add_argument("--layers", type=int, help="of the language model and the tower (32)")
    options = parser.parse_args(arguments)
    found = steps(shape(options.layers))
    line = {
        "script": "count_kernels",
        "torch": torch.__version__,
        "transformers": importlib.metadata.version("transformers"),
        "layers": options.layers or random_model.QWEN_7B.layers,
        "answers": ANSWERS,
        "steps": {name: told(watch) for name, watch in found.items()},
        "most": dict(found["decode, as a graph records it"].kernels.most_common(LIMIT)),
    }
    print(json.dumps(line))
    return 1 if any(watch.waits for watch in found.values()) else 0


def shape(layers: int | None) -> random_model.Shape:
    """Give the 7B shape, with so many layers."""
    count = layers or random_model.QWEN_7B.layers
    return replace(random_model.QWEN_7B, layers=count, encoder_layers=count)


def told(watch: Watch) -> dict[str, Any]:
    """Write what a step did."""
    return {
        "kernels": watch.count,
        "sent": watch.sent,
        "fetched": watch.fetched,
        "waits": watch.waits,
    }


def steps(size: random_model.Shape) -> dict[str, Watch]:
    """Run every kind of step."""
    found = {}
    fixed = Pretended(size, answers=ANSWERS, buckets=[BUCKET])
    found["decode, as a graph records it"] = recorded(fixed)
    for name, sampling in {"greedy": GREEDY, "drawn": CHECKPOINT}.items():
        found[f"decode, fixed shape, {name}"] = decode(fixed, sampling)
    for name, options in WAYS.items():
        found[f"decode, {name}, drawn"] = decode(Pretended(size, **options), CHECKPOINT)
    found["prompt of 256 with 5 s of audio"] = fixed.run([fixed.ask(256, CHECKPOINT, clip_s=5)])
    talking = fixed.talking(TOKENS, [CHECKPOINT] * (ANSWERS - 1))
    found["prompt of 256 beside answers"] = fixed.run([*talking, fixed.ask(256, CHECKPOINT)])
    return found


def recorded(pretended: Pretended) -> Watch:
    """Compute what a CUDA graph would record."""
    fixed = pretended.runner.fixed
    assert fixed is not None
    with pretended.mode, torch.inference_mode(), watched() as watch:
        fixed.compute(BUCKET)
    return watch


def decode(pretended: Pretended, sampling: Sampling) -> Watch:
    """Run a step in which everybody talks."""
    return pretended.run(pretended.talking(TOKENS, [sampling] * pretended.answers))


if __name__ == "__main__":
    sys.exit(main())
