"""Everything that answers with one checkpoint, put together; what the worker's loop runs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import replace

from realtime.engine.api import Memory, ModelInfo
from realtime.engine.detokenise import Spelling
from realtime.engine.model import flash, memory, rehearsal, scales
from realtime.engine.model.graphs import Bucket, buckets_of, capture
from realtime.engine.model.kv_cache import FP8
from realtime.engine.model.load import Loaded
from realtime.engine.model.prompt import Prompts
from realtime.engine.model.runner import Runner, explained
from realtime.engine.model.transfer import claim
from realtime.engine.steps import LoadedModel
from realtime.errors import EngineError, ModelError

KV_DTYPES = {"auto": None, "fp8": FP8}
CAPTURED_FROM = 0.98
"""How far loading has come when decode steps are recorded."""

Progress = Callable[[str, float], None]


def build(
    loaded: Loaded,
    *,
    slots: int,
    chunk: int,
    kv_bytes: int | None = None,
    attention: str = "sdpa",
    kv_dtype: str = "auto",
    graphs: bool = True,
    peak: rehearsal.Peak | None = None,
    progress: Progress = lambda stage, fraction: None,
) -> tuple[LoadedModel, ModelInfo]:
    """Plan the memory and take it; raise ModelError when there is not enough.

    `peak` reads what the largest steps take; None: as a GPU tells, and not at all on a CPU.
    """
    device = loaded.model.device
    claim(device)
    if peak is None and device.type == "cuda":
        peak = rehearsal.reader(device)
    kernel = attending_kernel(loaded, attention, kv_dtype)
    context = loaded.info.context
    buckets: Sequence[Bucket] = ()
    if graphs and device.type == "cuda":
        buckets = buckets_of(slots, context, flash=kernel is not None)

    gather = device.type != "cpu" and kernel is None
    taken = None
    if peak is not None:
        progress("rehearsing the largest step", CAPTURED_FROM)
        taken = rehearsal.rehearse(
            loaded,
            peak,
            free=memory.free_bytes(device),
            slots=slots,
            chunk=chunk,
            kv_dtype=KV_DTYPES[kv_dtype],
            buckets=buckets,
            kernel=kernel,
            gather=gather,
        )

    def plan(buckets: Sequence[Bucket]) -> Memory:
        return memory.plan(
            loaded,
            slots=slots,
            chunk=chunk,
            kv_bytes=kv_bytes,
            gather=gather,
            free=memory.free_bytes(device),
            kv_dtype=KV_DTYPES[kv_dtype],
            buckets=buckets,
            flash=kernel is not None,
            taken=taken,
        )

    planned, buckets = planned_with(plan, buckets)
    info = replace(loaded.info, context=min(loaded.info.context, planned.cells), memory=planned)
    prompts = Prompts(loaded.processor, info.context)
    try:
        with explained():
            runner = Runner(
                loaded,
                cells=planned.cells,
                slots=slots,
                embedding_bytes=planned.embeddings,
                kernel=kernel,
                kv_dtype=KV_DTYPES[kv_dtype],
                scales=scales.measured(loaded) if kv_dtype == "fp8" else (),
                buckets=buckets,
            )
        runner.warm_up()
        if runner.fixed is not None:
            stage = "capturing decode graphs"
            left = 1 - CAPTURED_FROM
            capture(runner.fixed, lambda part: progress(stage, CAPTURED_FROM + left * part))
            runner.warm_up()
    except EngineError as error:
        raise ModelError(f"{info.name} is loaded but cannot answer: {error}") from error
    spelling = Spelling(loaded.processor.tokenizer.backend_tokenizer)
    return LoadedModel(prompts, runner, spelling, loaded.ends, info.context, planned.cells), info


def planned_with(
    plan: Callable[[Sequence[Bucket]], Memory], buckets: Sequence[Bucket]
) -> tuple[Memory, Sequence[Bucket]]:
    """Plan with graphs where there is room for them, else without."""
    try:
        return plan(buckets), buckets
    except ModelError:
        if not buckets:
            raise
    planned = plan(())
    print("there is no memory for CUDA graphs: decode steps run without", file=sys.stderr)
    return planned, ()


def attending_kernel(loaded: Loaded, attention: str, kv_dtype: str) -> flash.Kernel | None:
    """Give the kernel of flash attention where that is wanted; raise ModelError if it cannot be."""
    if kv_dtype not in KV_DTYPES:
        raise ModelError(f"the kv-dtype must be {' or '.join(KV_DTYPES)}, not {kv_dtype!r}")
    if attention != flash.NAME:
        return None
    if kv_dtype == "fp8":
        raise ModelError(f"{flash.NAME} cannot read keys and values in fp8: use sdpa with them")
    model = loaded.model
    flash.refuse(model.device, model.dtype)
    return flash.checked(flash.find(), model.config.text_config, model.dtype, model.device)
