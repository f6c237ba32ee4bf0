"""Keys and values of every conversation in one cache, and attention that reads them in place.

Answers are computed together as one row of positions, one segment each, without padding: all
layers but attention treat positions alone. `KeyValues` is a Cache that writes new keys and values
into their cells; `attend` lets each segment see its own allocation, as it lies. The language model
of transformers runs unmodified: it finds `attend` under the name `ATTENTION`.

Keys and values may be kept in fp8, half of bfloat16's bytes: e4m3 numbers with 4 significant bits,
converted when they are read. The bytes are held as uint8, which torch copies by index everywhere.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import AttentionInterface
from transformers.cache_utils import Cache, CacheLayerMixin

from realtime.engine.model import flash
from realtime.engine.model.transfer import send
from realtime.engine.steps import Move

ATTENTION = "realtime-kv-cache"
FP8 = torch.float8_e4m3fn
FP8_MOST = torch.finfo(FP8).max


@dataclass(frozen=True, slots=True)
class Scale:
    """What a layer's keys and values are divided by where they are kept: powers of two."""

    keys: float = 1.0
    values: float = 1.0


PLAIN = Scale()


@dataclass(frozen=True, slots=True)
class Segment:
    """One answer's positions in the row."""

    start: int
    stop: int
    base: int
    """The cache's cell of its position 0."""
    length: int
    """Its positions when these are computed."""
    mask: Tensor | None
    """[stop - start, length] bool: what each may see. None: everything, or `causal`."""
    causal: bool
    """All positions are new, so that each sees itself and those before it."""


@dataclass(frozen=True, slots=True)
class Gathered:
    """Segments of one position each, the first of the row, that are computed as one batch."""

    cells: Tensor
    """[segments, longest]; behind its length a segment names its last cell again."""
    mask: Tensor
    """[segments, 1, 1, longest] bool: what is within the length."""


@dataclass(frozen=True, slots=True)
class Row:
    """What is computed at once."""

    cells: Tensor
    """[positions]: the cache's cells that they are written to."""
    positions: Tensor
    """[1, positions]: each within its own conversation."""
    segments: tuple[Segment, ...]
    gathered: Gathered | None
    packed: flash.Packed | None = None
    """For flash attention, all segments; there are then none beside."""


def row_of(
    spans: Sequence[tuple[int, int, int]],
    device: torch.device,
    *,
    gather: bool = False,
    kernel: flash.Kernel | None = None,
) -> Row:
    """Lay out spans (base, start, stop) as a row; `gather` makes a batch of leading singles.

    With a kernel of flash attention, spans are in the order of their cells.
    """
    positions = [i for _, start, stop in spans for i in range(start, stop)]
    cells = [base + i for base, start, stop in spans for i in range(start, stop)]
    both = send([cells, positions], device)
    if kernel is not None:
        return Row(both[0], both[1:], (), None, flash.pack(spans, device, kernel))
    single = itertools.takewhile(lambda span: span[2] - span[1] == 1, spans)
    batch = list(single) if gather else []
    gathered = _gathered(batch, device) if len(batch) > 1 else None
    segments = []
    at = 0
    for base, start, stop in spans:
        end = at + stop - start
        mask = None
        if start and stop - start > 1:
            mask = torch.arange(stop, device=device) <= torch.arange(
                start, stop, device=device
            ).unsqueeze(1)
        segments.append(Segment(at, end, base, stop, mask, start == 0 and stop > 1))
        at = end
    alone = tuple(segments[len(batch) :] if gathered else segments)
    return Row(both[0], both[1:], alone, gathered)


def _gathered(spans: list[tuple[int, int, int]], device: torch.device) -> Gathered:
    bases = torch.tensor([base for base, _, _ in spans])[:, None]
    lengths = torch.tensor([stop for _, _, stop in spans])[:, None]
    places = torch.arange(max(stop for _, _, stop in spans))[None]
    # Never beyond the last: cells that nobody wrote may hold anything, and 0 x NaN is NaN.
    cells = bases + torch.minimum(places, lengths - 1)
    mask = places < lengths
    return Gathered(send(cells, device), send(mask[:, None, None], device))


class ArenaLayer(CacheLayerMixin):
    """Keys and values of one layer, [heads, cells, head size] each."""

    is_compileable = True
    is_sliding = False
    keys: Tensor
    values: Tensor

    def __init__(
        self,
        owner: KeyValues,
        shape: tuple[int, int, int],
        *,
        dtype: torch.dtype,
        device: torch.device,
        scale: Scale,
    ) -> None:
        super().__init__()
        self.owner = owner
        self.scale = scale
        kind: Any = {"dtype": torch.uint8 if dtype == FP8 else dtype, "device": device}
        # Not filled: memory that was never written is not taken from the system, and never read.
        self.keys = torch.empty(shape, **kind)
        self.values = torch.empty(shape, **kind)
        self.is_initialized = True

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Do nothing: everything is there from the first."""

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Tensor]:
        """Write keys and values of a row, [1, heads, positions, size]; give the whole cache's."""
        cells = self.owner.cells
        keys = scaled(key_states[0], 1.0 / self.scale.keys)
        values = scaled(value_states[0], 1.0 / self.scale.values)
        self.keys.index_copy_(1, cells, narrowed(keys, self.keys.dtype))
        self.values.index_copy_(1, cells, narrowed(values, self.values.dtype))
        return self.keys, self.values

    def move(self, move: Move) -> None:
        """Copy cells."""
        for held in (self.keys, self.values):
            source = held[:, move.source : move.source + move.count]
            if abs(move.target - move.source) < move.count:
                source = source.clone()
            held[:, move.target : move.target + move.count] = source

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Give the width of a mask; none is made, for each segment has its own."""
        return self.keys.shape[1], 0

    def get_seq_length(self) -> int:
        """Give no length: positions are always given."""
        return 0

    def get_max_length(self) -> int:
        """Give the number of cells."""
        return int(self.keys.shape[1])

    def get_max_cache_shape(self) -> int:
        """Give the same under the name that transformers 5.11 knows."""
        return self.get_max_length()


class KeyValues(Cache):
    """Every layer's keys and values."""

    def __init__(
        self,
        config: Any,
        cells: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
        scales: Collection[Scale] = (),
    ) -> None:
        """Take the memory. `scales`: of each layer; none where nothing is divided."""
        self.scales = tuple(scales) or (PLAIN,) * config.num_hidden_layers
        shape = (config.num_key_value_heads, cells, head_size(config))
        self.cells = torch.zeros(0, dtype=torch.long, device=device)
        """Where the next row is written to."""
        self.arenas = [
            ArenaLayer(self, shape, dtype=dtype, device=device, scale=scale)
            for scale in self.scales
        ]
        super().__init__(layers=list(self.arenas))

    def move(self, moves: Iterable[Move]) -> None:
        """Copy cells in every layer, in this order."""
        for move in moves:
            for layer in self.arenas:
                layer.move(move)


def head_size(config: Any) -> int:
    """Give the size of one attention head."""
    whole: int = config.hidden_size // config.num_attention_heads
    return getattr(config, "head_dim", None) or whole


def cell_bytes(config: Any, dtype: torch.dtype) -> int:
    """Give the bytes of one cell in all layers: 512 KiB for the 7B model in bfloat16."""
    numbers: int = 2 * config.num_hidden_layers * config.num_key_value_heads * head_size(config)
    return numbers * dtype.itemsize


def narrowed(states: Tensor, kept: torch.dtype) -> Tensor:
    """Make keys or values what is kept of them; beyond the largest fp8 number is that number."""
    if kept != torch.uint8:
        return states
    return states.clamp(-FP8_MOST, FP8_MOST).to(FP8).view(torch.uint8)


def scaled(states: Tensor, times: float) -> Tensor:
    """Multiply; by 1 is nothing to do."""
    return states if times == 1.0 else states * times


def widened(held: Tensor, dtype: torch.dtype) -> Tensor:
    """Make what is kept numbers that attention computes with."""
    return held.view(FP8).to(dtype) if held.dtype == torch.uint8 else held


def attend(
    module: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float,
    row: Row,
    eager: bool = False,
    scales: Sequence[Scale] = (),
    **_: Any,
) -> tuple[Tensor, None]:
    """Let a row attend. query: [1, heads, positions, size]; key, value: the whole cache's.

    `scales`: what keys and values of each layer are divided by; the query and what comes of the
    values make up for it. Gives [1, positions, heads, size].
    """
    scale = scales[module.layer_idx] if scales else PLAIN
    query = scaled(query, scale.keys)
    made = _attended(query, key, value, scaling, row, eager)
    return scaled(made, scale.values), None


def _attended(
    query: Tensor, key: Tensor, value: Tensor, scaling: float, row: Row, eager: bool
) -> Tensor:
    """Attend to keys and values as they are kept."""
    if row.packed is not None:
        return flash.attend(query, key, value, row.packed, scaling)
    parts = []
    kind = query.dtype
    compute = eager_attention if eager else sdpa
    if row.gathered is not None:
        count = len(row.gathered.cells)
        batch = query[0, :, :count].transpose(0, 1)[:, :, None]  # [count, heads, 1, size]
        keys = widened(key[:, row.gathered.cells], kind).transpose(
            0, 1
        )  # [count, kv heads, longest, size]
        values = widened(value[:, row.gathered.cells], kind).transpose(0, 1)
        made = compute(batch, keys, values, row.gathered.mask, causal=False, scale=scaling)
        parts.append(made[:, :, 0][None])
    for segment in row.segments:
        made = compute(
            query[:, :, segment.start : segment.stop],
            widened(key[None, :, segment.base : segment.base + segment.length], kind),
            widened(value[None, :, segment.base : segment.base + segment.length], kind),
            segment.mask,
            causal=segment.causal,
            scale=scaling,
        )
        parts.append(made.transpose(1, 2))
    return torch.cat(parts, dim=1) if len(parts) > 1 else parts[0]


def sdpa(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, causal: bool, scale: float
) -> Tensor:
    """Attend with torch's fused kernels. query: [batch, heads, n, size]."""
    heads, shared = query.shape[1], key.shape[1]
    if heads != shared and query.shape[2] == 1:
        # Query heads that share a key head are as good as positions: nothing is repeated.
        grouped = query.reshape(len(query), shared, heads // shared, -1)
        made = F.scaled_dot_product_attention(grouped, key, value, mask, scale=scale)
        return made.reshape(query.shape)
    return F.scaled_dot_product_attention(
        query, key, value, mask, is_causal=causal, scale=scale, enable_gqa=heads != shared
    )


def eager_attention(
    query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, *, causal: bool, scale: float
) -> Tensor:
    """Attend step by step, as `eager_attention_forward` of transformers does."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    scores = query @ key.transpose(2, 3) * scale
    if causal:
        mask = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return scores.softmax(-1, dtype=torch.float32).to(query.dtype) @ value


@contextlib.contextmanager
def attending(config: Any) -> Iterator[None]:
    """Let a language model use `attend`, and leave it as it was: it may be used otherwise too."""
    before = config._attn_implementation
    config._attn_implementation = ATTENTION
    try:
        yield
    finally:
        config._attn_implementation = before


AttentionInterface.register(ATTENTION, attend)
