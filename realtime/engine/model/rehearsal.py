"""The largest steps there can be, run before memory is shared out: what they take is read.

On a GPU only. Kernels take what they like beside the tensors that are seen here, so that a bound
from shapes is either too low, which is an answer that fails one day, or far too high.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import torch

from realtime.audio.pcm import SAMPLE_RATE
from realtime.engine.api import Clip, Sampling
from realtime.engine.audio_tokens import HOP
from realtime.engine.model.audio_embeddings import FRAMES
from realtime.engine.model.flash import Kernel
from realtime.engine.model.graphs import Bucket
from realtime.engine.model.kv_cache import cell_bytes
from realtime.engine.model.load import Loaded
from realtime.engine.model.memory import Taken
from realtime.engine.model.runner import Runner, explained
from realtime.engine.steps import BLOCK, Move, Part, Prompt, Sequence
from realtime.errors import EngineError, ModelError

Peak = Callable[[Callable[[], None]], int]
"""Runs something; tells how many bytes it took at most beside those that were taken before."""

CLIP_S = 30
WORST = Sampling(temperature=1.0, top_k=0, top_p=0.9, repetition_penalty=1.1, logprobs=20)
"""What needs every score in order, and those of before."""
MARGIN = 1.1
"""Over what was read: pieces that lie otherwise on another day."""


class Rehearsal:
    """A runner with cells for one conversation, in which everybody's cells are the same."""

    def __init__(
        self,
        loaded: Loaded,
        *,
        slots: int,
        chunk: int,
        cells: int,
        bucket: Bucket | None,
        **more: Any,
    ) -> None:
        """Take cells; `more` is for the runner."""
        self.slots, self.chunk, self.cells = slots, min(chunk, cells // 2), cells
        self.bucket = bucket
        buckets = (bucket,) if bucket else ()
        self.runner = Runner(loaded, cells=cells, slots=slots, buckets=buckets, **more)
        prompt = Prompt((0,) * cells, ())
        for serial in range(slots):
            self.runner.begin(Sequence(serial, prompt, WORST))

    def steps(self) -> Iterator[Callable[[], None]]:
        """Give the largest steps of each kind."""
        yield self.listen
        yield self.move
        yield lambda: self.row(self.chunk)
        # Answers alone are computed as one batch, where that pays off.
        yield lambda: self.row(1)

    def listen(self) -> None:
        """Encode the largest batch of clips, one a little shorter: the others are then masked."""
        most = CLIP_S * SAMPLE_RATE
        sizes = [most] * (FRAMES * HOP // most)
        sizes[0] -= SAMPLE_RATE
        clips = [Clip(f"{i}", np.zeros(size, np.int16)) for i, size in enumerate(sizes)]
        with torch.inference_mode():
            self.runner.embeddings.of(clips)
        self.runner.embeddings.kept.clear()

    def move(self) -> None:
        """Move a whole conversation by less than its length."""
        self.runner.move((Move(BLOCK, 0, self.cells - BLOCK),))

    def row(self, chunk: int) -> None:
        """Read so many positions of a prompt at its end, while everybody else talks at theirs."""
        parts = [self.part(serial, 1) for serial in range(1, self.slots)]
        self.runner.run([*parts, self.part(0, chunk)])

    def part(self, serial: int, count: int) -> Part:
        """Lay an answer's last positions out; flash attention wants cells of its own for each."""
        if self.runner.kernel is None:
            return Part(serial, self.cells - count, self.cells, 0, True)
        own = (self.cells - self.chunk) // self.slots
        base = self.chunk + (serial - 1) * own if serial else 0
        return Part(serial, 0, count, base, True)

    @torch.inference_mode()
    def fixed(self) -> None:
        """Compute the largest step of fixed shape."""
        fixed = self.runner.fixed
        assert fixed is not None
        assert self.bucket is not None
        fixed.fill()
        fixed.compute(self.bucket)


def rehearse(
    loaded: Loaded,
    peak: Peak,
    *,
    free: int,
    slots: int,
    chunk: int,
    kv_dtype: torch.dtype | None,
    buckets: Collection[Bucket],
    kernel: Kernel | None,
    gather: bool,
) -> Taken:
    """Run the largest steps; raise ModelError where they do not fit into what is free."""
    model: Any = loaded.model
    one = cell_bytes(model.config.text_config, kv_dtype or model.dtype)
    # Cells of one conversation, where half of what is free is enough for them.
    cells = max(8, min(loaded.info.context, free // 2 // one) // BLOCK) * BLOCK
    try:
        with explained():
            rehearsal = Rehearsal(
                loaded,
                slots=slots,
                chunk=chunk,
                cells=cells,
                bucket=max(buckets, default=None),
                kv_dtype=kv_dtype,
                kernel=kernel,
                gather=gather,
            )
            steps = [peak(step) for step in rehearsal.steps()]
            recorded = graphs_bytes(rehearsal, peak, free) if buckets else 0
            del rehearsal
            gc.collect()
    except EngineError as error:
        raise ModelError(
            f"out of memory: of {free:,} bytes that are free beside the weights of "
            f"{loaded.info.name}, the largest step needs more ({error})"
        ) from error
    return Taken(int(max(steps) * MARGIN), recorded)


def graphs_bytes(rehearsal: Rehearsal, peak: Peak, free: int) -> int:
    """Read what recorded steps will keep; where there is no room for it, all there is."""
    try:
        with explained():
            return int(peak(rehearsal.fixed) * MARGIN)
    except EngineError:
        return free


def reader(device: torch.device) -> Peak:
    """Give what reads a GPU's memory."""

    def peak(run: Callable[[], None]) -> int:
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_reserved(device)
        run()
        torch.cuda.synchronize(device)
        return torch.cuda.max_memory_reserved(device) - before

    return peak
