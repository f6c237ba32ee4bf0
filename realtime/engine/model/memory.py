"""How the device's memory is shared out when a model has been loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from realtime.engine.api import Memory
from realtime.engine.model.audio_embeddings import FRAMES
from realtime.engine.model.graphs import BATCHES, GRAPH_BYTES, Bucket, gathered_cells
from realtime.engine.model.kv_cache import FP8, cell_bytes, head_size
from realtime.engine.model.load import Loaded
from realtime.engine.model.quantise import weight_bytes
from realtime.engine.steps import BLOCK
from realtime.errors import ModelError

SHARE = {"cuda": 0.92, "cpu": 0.5}
"""Of what is free, by device: a CPU's memory is others' too."""
CPU_MOST, CPU_CONTEXTS = 2 << 30, 4
"""Bytes of keys and values on a CPU unless told otherwise, or so many full contexts if larger."""
EMBEDDINGS = 1 << 30
"""Bytes of embedded audio at most; at 7B: 85 minutes."""
CONVERSATIONS = 1_000
"""More than this, at the full context each, are never kept."""
CGROUP = Path("/sys/fs/cgroup")


@dataclass(frozen=True, slots=True)
class Taken:
    """Bytes that the largest steps took when they were tried."""

    step: int
    recorded: int
    """By the largest step of fixed shape, which recorded steps keep for good."""


def plan(
    loaded: Loaded,
    *,
    slots: int,
    chunk: int,
    kv_bytes: int | None,
    gather: bool,
    free: int,
    kv_dtype: torch.dtype | None = None,
    buckets: Sequence[Bucket] = (),
    flash: bool = False,
    taken: Taken | None = None,
) -> Memory:
    """Share out the free bytes; raise ModelError when they are not enough to answer anyone.

    `taken`: what steps take, where that was tried; else it is bounded from the shapes of tensors.
    """
    model: Any = loaded.model
    kind, config = model.device.type, model.config.text_config
    kv_dtype = kv_dtype or model.dtype
    one = cell_bytes(config, kv_dtype)
    narrow = kv_dtype == FP8
    if taken is None:
        workspace = workspace_bytes(model, slots=slots, chunk=chunk, gather=gather, narrow=narrow)
        workspace += graph_bytes(model, buckets, one, flash=flash, narrow=narrow)
    else:
        workspace = taken.step
        if buckets:
            workspace += taken.recorded + beside_graphs(buckets, one)
    usable = int(free * SHARE[kind]) - workspace
    embeddings = max(0, min(EMBEDDINGS, usable // 8))
    kv = usable - embeddings
    if kv_bytes is not None:
        kv = kv_bytes
    elif kind == "cpu":
        kv = min(kv, max(CPU_MOST, CPU_CONTEXTS * loaded.info.context * one))
    cells = min(kv // one, CONVERSATIONS * loaded.info.context) // BLOCK * BLOCK
    if cells < 8 * BLOCK:
        raise ModelError(
            f"out of memory: of {free:,} bytes that are free, {max(kv, 0):,} are left for keys and "
            f"values, where {8 * BLOCK * one:,} are the least"
        )
    return Memory(free, weight_bytes(model), workspace, embeddings, cells * one, cells)


def workspace_bytes(
    model: Any, *, slots: int, chunk: int, gather: bool, narrow: bool = False
) -> int:
    """Bound what one step takes beside weights and caches, from the shapes of its tensors.

    `narrow`: keys and values are kept in fp8, and are copied to be read.
    """
    text, audio = model.config.text_config, model.config.audio_config
    size = model.dtype.itemsize
    row = chunk + slots
    # Hidden states in, normed, queries, keys, values, out; the MLP's gate, up, product.
    layer = row * (6 * text.hidden_size + 3 * text.intermediate_size) * size
    # A mask as numbers, and the scores where no fused kernel takes it.
    masks = chunk * text.max_position_embeddings * 4 * (1 + text.num_attention_heads)
    # Scores, and what the sampler makes of them in float32 with tokens in int64.
    logits = slots * text.vocab_size * (size + 5 * 4 + 3 * 8)
    layer += unpacked_bytes(model)
    cells = text.max_position_embeddings * (slots if gather else 1)
    gathered = gathered_bytes(model, cells, narrow=narrow) if gather or narrow else 0
    positions = FRAMES // 2
    encoder = positions * (10 * audio.d_model + 2 * audio.encoder_ffn_dim) * size
    encoder += 2 * FRAMES * audio.d_model * size
    return int(max(layer + masks + gathered, encoder, logits) * 1.25) + (64 << 20)


def unpacked_bytes(model: Any) -> int:
    """Bound what torchao takes to turn one layer's 8-bit weights back into numbers."""
    plain: int = sum(p.numel() * p.dtype.itemsize for p in model.parameters())
    if weight_bytes(model) == plain:
        return 0
    text = model.config.text_config
    return int(2 * text.hidden_size * text.intermediate_size * model.dtype.itemsize)


def gathered_bytes(model: Any, cells: int, *, narrow: bool) -> int:
    """Count what copies of the keys and values of so many cells take in one layer."""
    text = model.config.text_config
    numbers = 2 * cells * head_size(text) * text.num_key_value_heads
    return int(numbers * (model.dtype.itemsize + (1 if narrow else 0)))


def graph_bytes(
    model: Any, buckets: Sequence[Bucket], cell: int, *, flash: bool, narrow: bool
) -> int:
    """Bound what recorded decode steps hold for good; they share one pool. `cell`: its bytes."""
    if not buckets:
        return 0
    text, size = model.config.text_config, model.dtype.itemsize
    most = max(bucket.batch for bucket in buckets)
    # Nothing of flash attention's is copied.
    cells = 0 if flash else gathered_cells(buckets)
    step = most * (6 * text.hidden_size + 3 * text.intermediate_size) * size
    step += unpacked_bytes(model)
    scores = 2 * most * text.vocab_size * size
    pool = gathered_bytes(model, cells, narrow=narrow) + step + scores
    return int(pool * 1.25) + beside_graphs(buckets, cell)


def beside_graphs(buckets: Sequence[Bucket], cell: int) -> int:
    """Bound what graphs hold beside their tensors, and the cells of nobody."""
    return GRAPH_BYTES * len(buckets) + BATCHES[-1] * cell


def free_bytes(device: torch.device) -> int:
    """Tell how much memory is free."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(free) + unused
    return min(system_free(), group_free())


def system_free(meminfo: Path = Path("/proc/meminfo")) -> int:
    """Tell how much memory the system could give."""
    try:
        lines = dict(line.split(":", 1) for line in meminfo.read_text().splitlines())
        return int(lines["MemAvailable"].split()[0]) * 1024
    except (OSError, KeyError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2


def group_free(root: Path = CGROUP) -> int:
    """Tell how much a container's limit leaves, of cgroup version 2 or 1; very much without one."""
    for limit, used in (
        ("memory.max", "memory.current"),
        ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes"),
    ):
        try:
            return max(0, int((root / limit).read_text()) - int((root / used).read_text()))
        except (OSError, ValueError):
            continue
    return 1 << 62
