"""Flash attention over cells where they lie: one kernel a layer, no copies, any number of answers.

flash_attn's kernel for ragged batches finds the keys of its sequences in one tensor, one behind the
other. Our segments have other cells between them, so every gap is a sequence of its own, with keys
but without queries; the kernel leaves those at once. Both lists of offsets are then simply where
each segment starts and stops. The mask, bottom-right aligned, is the kernel's own (flash_attn 2.1
and later). The audio tower attends with padding between its clips, which this kernel has no mask
for; it stays with torch's fused attention.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from realtime.engine.model.transfer import send
from realtime.errors import ModelError

NAME = "flash_attention_2"
LARGEST_HEAD = 256
TOLERANCE = 0.02
"""Between this kernel and torch's in the check at start; both round to 8 bits or more."""

Kernel = Callable[..., Tensor]
"""flash_attn_varlen_func."""


@dataclass(frozen=True, slots=True)
class Packed:
    """A row's segments in the order of their cells."""

    queries: Tensor
    """[2 x segments] int32: where each starts and stops in the row."""
    keys: Tensor
    """[2 x segments] int32: its first cell, and the one behind its last."""
    longest_query: int
    longest_key: int
    kernel: Kernel


def pack(spans: Sequence[tuple[int, int, int]], device: torch.device, kernel: Kernel) -> Packed:
    """Lay out spans (base, start, stop), which are in the order of their cells."""
    queries, keys = [], []
    at = 0
    for base, start, stop in spans:
        queries += [at, at + stop - start]
        keys += [base, base + stop]
        at += stop - start
    assert keys == sorted(keys), "spans of a packed row must be in the order of their cells"
    both = send([queries, keys], device, torch.int32)
    longest = max(stop - start for _, start, stop in spans)
    return Packed(both[0], both[1], longest, max(stop for _, _, stop in spans), kernel)


def attend(query: Tensor, key: Tensor, value: Tensor, packed: Packed, scale: float) -> Tensor:
    """Let a row attend. query: [1, heads, positions, size]; key, value: [heads, cells, size].

    Gives [1, positions, heads, size].
    """
    made = packed.kernel(
        query[0].transpose(0, 1),
        key.transpose(0, 1),
        value.transpose(0, 1),
        packed.queries,
        packed.keys,
        # At a longest query of 1 the kernel takes heads for positions where keys are shared, and
        # counts on one query per sequence; our gaps have none.
        max(2, packed.longest_query),
        packed.longest_key,
        softmax_scale=scale,
        causal=True,
    )
    return made[None]


def refuse(device: torch.device, dtype: torch.dtype) -> None:
    """Raise ModelError where flash attention cannot run, naming what is missing."""
    if device.type != "cuda":
        raise ModelError(f"{NAME} runs on CUDA only, not on {device}: use sdpa")
    if dtype not in (torch.bfloat16, torch.float16):
        kind = str(dtype).removeprefix("torch.")
        raise ModelError(f"{NAME} computes in bfloat16 or float16, not {kind}: use sdpa")
    find()


def find() -> Kernel:
    """Give the kernel; raise ModelError when the package is not there."""
    try:
        package = importlib.import_module("flash_attn")
        kernel: Kernel = package.flash_attn_varlen_func
    except (ImportError, AttributeError) as error:
        raise ModelError(
            f"{NAME} needs the package flash-attn 2, which cannot be imported ({error}): "
            "pip install flash-attn, or use sdpa"
        ) from error
    return kernel


@torch.inference_mode()
def checked(kernel: Kernel, config: Any, dtype: torch.dtype, device: torch.device) -> Kernel:
    """Give the kernel back if it computes what torch does; raise ModelError otherwise."""
    heads, shared = config.num_attention_heads, config.num_key_value_heads
    size = getattr(config, "head_dim", None) or config.hidden_size // heads
    if size % 8 or size > LARGEST_HEAD:
        raise ModelError(f"{NAME} needs heads of a multiple of 8 up to 256, not {size}: use sdpa")
    spans = [(3, 69, 70), (80, 0, 17), (128, 5, 12), (150, 0, 1)]
    draw = torch.Generator().manual_seed(0)
    query, key, value = (
        torch.randn(count, rows, size, generator=draw).to(device, dtype)
        for count, rows in ((heads, 26), (shared, 160), (shared, 160))
    )
    scale = size**-0.5
    try:
        packed = pack(spans, device, kernel)
        got = attend(query[None], key, value, packed, scale)[0].float()
    except Exception as error:
        raise ModelError(f"{NAME} does not work here ({error}): use sdpa") from error
    expected = torch.cat([_plainly(query, key, value, at, span) for at, span in _placed(spans)])
    furthest = float((got - expected).abs().max())
    if not furthest < TOLERANCE * float(expected.abs().max()):
        raise ModelError(f"{NAME} computes something else here (off by {furthest:.3g}): use sdpa")
    return kernel


def _placed(
    spans: Sequence[tuple[int, int, int]],
) -> list[tuple[int, tuple[int, int, int]]]:
    """Tell where in the row each span begins."""
    placed, at = [], 0
    for span in spans:
        placed.append((at, span))
        at += span[2] - span[1]
    return placed


def _plainly(
    query: Tensor, key: Tensor, value: Tensor, at: int, span: tuple[int, int, int]
) -> Tensor:
    """Compute one span with torch, [positions, heads, size] in float32."""
    base, start, stop = span
    mask = torch.ones(stop - start, stop, dtype=torch.bool, device=query.device).tril(start)
    groups = query.shape[0] // key.shape[0]
    keys, values = (
        held[:, base : base + stop].float().repeat_interleave(groups, 0) for held in (key, value)
    )
    queries = query[:, at : at + stop - start].float()
    return F.scaled_dot_product_attention(queries, keys, values, mask).transpose(0, 1)
