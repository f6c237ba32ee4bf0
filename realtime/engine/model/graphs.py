"""A decode step of fixed shapes, so that CUDA can record it once and play it back.

A step of the language model starts hundreds of small kernels, and at a few answers starting them
takes longer than running them. A CUDA graph starts them all at once, but its tensors must always be
the same ones. So there is a graph for each bucket of so many answers of at most so many positions;
what is to be computed is written into one static tensor before, the scores are found in another
after. Rows that a step leaves over belong to cells of nobody. What fits no bucket, prompts above
all, is computed without a graph.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from realtime.engine.model.flash import Kernel, Packed
from realtime.engine.model.kv_cache import Gathered, Row
from realtime.engine.model.transfer import pinned

BATCHES = (1, 2, 4, 8, 16, 32)
SHORTEST = 128
"""Positions of the smallest bucket; each further one is twice as long."""
WARM_UPS = 2
GRAPH_BYTES = 16 << 20
"""What a recorded graph is taken to hold beside its tensors; an estimate, never measured here."""
TOLERANCE = 0.02
"""Between a graph's scores and those computed without it, over the largest of them."""

Replay = Callable[[], None]
"""Computes one bucket from the static inputs into the static scores."""
Forward = Callable[[Tensor, Row], Tensor]
"""AudioEmbeddingCache [positions, hidden] and where they belong; gives the hidden states."""


@dataclass(frozen=True, slots=True, order=True)
class Bucket:
    """A step's shape."""

    batch: int
    """Answers at most."""
    length: int
    """Positions that each of them sees at most."""


def buckets_of(slots: int, context: int, *, flash: bool) -> tuple[Bucket, ...]:
    """List the shapes to record, the smallest first."""
    batches = [batch for batch in BATCHES if batch < 2 * slots]
    lengths = [context]
    if not flash:  # which reads just what there is, whatever the bucket says
        lengths = [SHORTEST << i for i in range(32) if SHORTEST << i < context] + lengths
    return tuple(Bucket(batch, length) for batch in batches for length in lengths)


class FixedDecode:
    """Decode steps by bucket."""

    def __init__(
        self,
        forward: Forward,
        embed: nn.Module,
        head: nn.Module,
        *,
        buckets: Collection[Bucket],
        scratch: int,
        kernel: Kernel | None = None,
    ) -> None:
        """Make the static tensors. `scratch`: the first of as many cells as the largest batch."""
        self.forward, self.embed, self.head, self.kernel = forward, embed, head, kernel
        self.buckets = sorted(buckets)
        most = max(bucket.batch for bucket in buckets)
        weight: Tensor = head.weight  # type: ignore[assignment]
        self.device = weight.device
        self.idle = torch.zeros(3, most, dtype=torch.long)
        # Each spare row has a cell of its own: two that write the same would be a race.
        self.idle[2] = torch.arange(scratch, scratch + most)
        self.inputs = self.idle.to(self.device, copy=True)
        """[3, batch]: tokens, their positions, the cells of their positions 0."""
        self.places = torch.arange(max(b.length for b in buckets), device=self.device)
        self.bounds = torch.arange(most + 1, device=self.device).repeat_interleave(2)[1:-1].int()
        """Where the queries of each row start and stop: 0, 1, 1, 2, 2, ..."""
        self.scores = torch.zeros(most, weight.shape[0], dtype=weight.dtype, device=self.device)
        self.replays: dict[Bucket, Replay] = {}

    def arm(
        self,
        make: Callable[[Bucket], Replay],
        progress: Callable[[float], None] = lambda fraction: None,
    ) -> None:
        """Make the replay of every bucket, the largest first: the others fit into its memory."""
        for i, bucket in enumerate(reversed(self.buckets)):
            progress(i / len(self.buckets))
            self.replays[bucket] = make(bucket)

    def bucket(self, batch: int, length: int) -> Bucket | None:
        """Find the smallest shape for so many answers of at most so many positions."""
        fits = (b for b in self.buckets if b.batch >= batch and b.length >= length)
        found = next(fits, None)
        return found if found in self.replays else None

    def run(self, rows: Sequence[tuple[int, int, int]]) -> Tensor | None:
        """Compute rows (token, position, base), in the order of their cells with a kernel.

        Gives scores [rows, vocabulary], good until the next step; None when no bucket fits.
        """
        bucket = self.bucket(len(rows), 1 + max(position for _, position, _ in rows))
        if bucket is None:
            return None
        self.fill(rows)
        self.replays[bucket]()
        return self.scores[: len(rows)]

    def fill(self, rows: Sequence[tuple[int, int, int]] = ()) -> None:
        """Write rows into the static inputs; what is left over idles."""
        wanted = self.idle.clone()
        if rows:
            wanted[:, : len(rows)] = torch.tensor(rows).T
        self.inputs.copy_(pinned(wanted, self.device), non_blocking=True)

    def compute(self, bucket: Bucket) -> None:
        """Compute a bucket from the static inputs; nothing in here asks the device anything."""
        tokens, positions, bases = self.inputs[:, : bucket.batch]
        hidden = self.forward(self.embed(tokens), self.row(bucket, positions, bases))
        self.scores[: bucket.batch].copy_(self.head(hidden))

    def row(self, bucket: Bucket, positions: Tensor, bases: Tensor) -> Row:
        """Lay out a step from tensors alone."""
        if self.kernel is not None:
            stops = bases + positions + 1
            keys = torch.stack((bases, stops), 1).flatten().int()
            queries = self.bounds[: 2 * bucket.batch]
            packed = Packed(queries, keys, 1, bucket.length, self.kernel)
            return Row(bases + positions, positions[None], (), None, packed)
        places = self.places[None, : bucket.length]
        ends = positions[:, None]
        # Never beyond the last: cells that nobody wrote may hold anything, and 0 x NaN is NaN.
        cells = bases[:, None] + torch.minimum(places, ends)
        gathered = Gathered(cells, (places <= ends)[:, None, None])
        return Row(bases + positions, positions[None], (), gathered)


@torch.inference_mode()
def capture(fixed: FixedDecode, progress: Callable[[float], None]) -> bool:
    """Record a CUDA graph for every bucket; where that fails, say why and go on without any."""
    fixed.fill()
    try:
        fixed.arm(Recorder(fixed).record, progress)
    except Exception as error:
        fixed.replays.clear()
        print(
            "decode steps run without CUDA graphs, which is slower (--no-graphs does not try): "
            f"{type(error).__name__}: {error}",
            file=sys.stderr,
            flush=True,
        )
        return False
    return True


class Recorder:
    """Records buckets into graphs that share one pool of memory."""

    def __init__(self, fixed: FixedDecode) -> None:
        self.fixed = fixed
        self.stream = torch.cuda.Stream(fixed.device)
        self.pool = torch.cuda.graph_pool_handle()

    def record(self, bucket: Bucket) -> Replay:
        """Record one bucket, and hold what it computes against what it was recorded from."""
        # What is set up at first use must be set up before, and on a stream that may record.
        self.stream.wait_stream(torch.cuda.current_stream(self.fixed.device))
        with torch.cuda.stream(self.stream):
            for _ in range(WARM_UPS):
                self.fixed.compute(bucket)
        torch.cuda.current_stream(self.fixed.device).wait_stream(self.stream)
        expected = self.fixed.scores[: bucket.batch].clone()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=self.pool, stream=self.stream):
            self.fixed.compute(bucket)
        self.fixed.scores.zero_()
        graph.replay()
        compare(self.fixed.scores[: bucket.batch], expected, bucket)
        return graph.replay


def compare(got: Tensor, expected: Tensor, bucket: Bucket) -> None:
    """Raise RuntimeError when a graph computes something else than it was recorded from."""
    furthest = float((got.float() - expected.float()).abs().max())
    if not furthest <= TOLERANCE * float(expected.float().abs().max()):
        raise RuntimeError(f"the graph of {bucket} is off by {furthest:.3g}")


def gathered_cells(buckets: Iterable[Bucket]) -> int:
    """Count the cells that the largest step copies keys and values of."""
    return max((bucket.batch * bucket.length for bucket in buckets), default=0)
