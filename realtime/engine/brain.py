"""Everything that answers with one checkpoint, put together; what the worker's loop runs."""

from __future__ import annotations

from dataclasses import replace

from realtime.engine import memory
from realtime.engine.answering import Brain
from realtime.engine.api import ModelInfo
from realtime.engine.detokenise import Spelling
from realtime.engine.model import Loaded
from realtime.engine.prompt import Prompts
from realtime.engine.runner import Runner, explained
from realtime.errors import EngineError, ModelError


def build(
    loaded: Loaded, *, slots: int, chunk: int, kv_bytes: int | None = None
) -> tuple[Brain, ModelInfo]:
    """Plan the memory and take it; raise ModelError when there is not enough."""
    device = loaded.model.device
    gather = device.type != "cpu"
    planned = memory.plan(
        loaded,
        slots=slots,
        chunk=chunk,
        kv_bytes=kv_bytes,
        gather=gather,
        free=memory.free_bytes(device),
    )
    info = replace(loaded.info, context=min(loaded.info.context, planned.cells), memory=planned)
    prompts = Prompts(loaded.processor, info.context)
    try:
        with explained():
            runner = Runner(
                loaded,
                cells=planned.cells,
                embedding_bytes=planned.embeddings,
                gather=gather,
            )
        runner.warm_up()
    except EngineError as error:
        raise ModelError(f"{info.name} is loaded but cannot answer: {error}") from error
    spelling = Spelling(loaded.processor.tokenizer.backend_tokenizer)
    return Brain(prompts, runner, spelling, loaded.ends, info.context, planned.cells), info
