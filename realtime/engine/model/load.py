"""Loading a checkpoint through transformers, and saying plainly why one cannot be loaded."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import torch
from transformers import AutoProcessor, PreTrainedConfig, Qwen2AudioForConditionalGeneration
from transformers.utils import logging as transformers_logging
from transformers.utils.import_utils import is_accelerate_available

from realtime.audio.pcm import SAMPLE_RATE
from realtime.engine.api import ModelInfo
from realtime.engine.checkpoint import Source, locate, refuse_other
from realtime.engine.model import flash
from realtime.engine.model.sampling import Choice
from realtime.engine.model.transfer import claim
from realtime.errors import ModelError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ATTENTION = ("sdpa", "eager", flash.NAME)
HARMLESS = re.compile(r"rotary_emb\.inv_freq$")
"""Weights in old checkpoints that are computed, not loaded."""
NAMED = 5
"""How many names of missing or unexpected weights are told."""

Progress = Callable[[str, float], None]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Loaded:
    """A checkpoint in memory."""

    model: Qwen2AudioForConditionalGeneration
    processor: Any
    info: ModelInfo
    ends: frozenset[int]
    """Tokens that end an answer."""
    choice: Choice
    """How the checkpoint wants its tokens chosen."""


def load(
    name: str,
    *,
    device: str = "auto",
    dtype: str = "auto",
    attention: str = "sdpa",
    threads: int | None = None,
    progress: Progress = lambda stage, fraction: None,
) -> Loaded:
    """Load a checkpoint from a folder or the hub; raise ModelError when that cannot be.

    `threads` is for the CPU; None leaves it to torch.
    """
    if threads:
        torch.set_num_threads(threads)
    progress("checkpoint", 0.0)
    source = locate(name)
    if not source.local:
        found = explained(name, lambda: PreTrainedConfig.get_config_dict(source.path)[0])
        refuse_other(name, found)
    place = choose_device(device)
    claim(place)
    kind = choose_dtype(dtype, place)
    if attention not in ATTENTION:
        raise ModelError(f"the attention must be {', '.join(ATTENTION)}, not {attention!r}")
    if attention == flash.NAME:
        flash.refuse(place, kind)
        attention = "sdpa"  # of the audio tower; the language model attends through `cache.attend`
    progress("processor", 0.02)
    processor = explained(
        name, lambda: AutoProcessor.from_pretrained(source.path, **source.options)
    )
    check_audio(processor)
    progress("weights", 0.05)
    with weights_progress(progress):
        model, report = explained(name, lambda: _from_pretrained(source, kind, attention, place))
    check_weights(name, report)
    text = model.config.text_config
    check_vocabulary(name, len(processor.tokenizer), text.vocab_size)
    progress("device", 0.97)
    model = explained(name, lambda: model.to(place)).eval()
    info = ModelInfo(
        Path(name).name if source.local else name,
        text.max_position_embeddings,
        sum(p.numel() for p in model.parameters()),
        str(kind).removeprefix("torch."),
        str(place),
    )
    return Loaded(model, processor, info, end_tokens(model, processor), default_choice(model))


def computing(loaded: Loaded, threads: int) -> Loaded:
    """Have a model compute with so many CPU threads."""
    torch.set_num_threads(threads)
    return replace(loaded, info=replace(loaded.info, threads=threads))


def _from_pretrained(
    source: Source, dtype: torch.dtype, attention: str, place: torch.device
) -> Any:
    """Give the model, and what was found of its weights."""
    return Qwen2AudioForConditionalGeneration.from_pretrained(
        source.path,
        dtype=dtype,
        attn_implementation=attention,
        output_loading_info=True,
        **streaming(place),
        **source.options,
    )


def streaming(place: torch.device) -> dict[str, Any]:
    """Give what lets each weight go to a GPU as it is read, which transformers needs a package for.

    Without it the host holds all of them first: 17 GB for the 7B model in bfloat16.
    """
    if place.type != "cuda":
        return {}
    if not is_accelerate_available():
        print(
            "the weights go through the host's memory, all of them at once; "
            "pip install accelerate lets each go to the GPU as it is read",
            file=sys.stderr,
            flush=True,
        )
        return {}
    return {"device_map": {"": f"cuda:{place.index or 0}"}}


def check_audio(processor: Any) -> None:
    """Refuse a front end that hears another sample rate than the one inside here."""
    rate = processor.feature_extractor.sampling_rate
    if rate != SAMPLE_RATE:
        raise ModelError(f"the checkpoint hears {rate} Hz where {SAMPLE_RATE} Hz is expected")


def check_vocabulary(name: str, tokens: int, rows: int) -> None:
    """Refuse a tokenizer that is not the model's."""
    if tokens > rows:
        raise ModelError(f"the tokenizer in {name} has {tokens} tokens, the model knows {rows}")


def check_weights(name: str, report: Any) -> None:
    """Refuse a checkpoint whose weights are not exactly those of the model."""
    problems = []
    for what in ("missing", "unexpected"):
        keys = sorted(k for k in report[f"{what}_keys"] if not HARMLESS.search(k))
        if keys:
            more = ", ..." if len(keys) > NAMED else ""
            problems.append(f"{len(keys)} {what} ({', '.join(keys[:NAMED])}{more})")
    if problems:
        raise ModelError(f"the weights in {name} do not fit the model: {'; '.join(problems)}")


def choose_device(wanted: str) -> torch.device:
    """Take CUDA where there is any, unless told otherwise."""
    if wanted == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not re.fullmatch(r"cpu|cuda(:\d+)?", wanted):
        raise ModelError(f"the device must be auto, cpu, cuda or cuda:N, not {wanted!r}")
    device = torch.device(wanted)
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ModelError(f"there is no device {wanted} here ({torch.cuda.device_count()} found)")
    return device


def choose_dtype(wanted: str, device: torch.device) -> torch.dtype:
    """Take what a device that is claimed computes best, unless told otherwise."""
    if wanted == "auto":
        if device.type == "cpu":
            return torch.float32
        able = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if able else torch.float16
    if wanted not in DTYPES:
        raise ModelError(f"the dtype must be auto, {', '.join(DTYPES)}, not {wanted!r}")
    return DTYPES[wanted]


def end_tokens(model: Any, processor: Any) -> frozenset[int]:
    """Give the tokens that end an answer: the checkpoint's own and the end of a turn."""
    ends = model.generation_config.eos_token_id
    ends = ends if isinstance(ends, list) else [ends]
    # Some checkpoints name only <|endoftext|>, and the model then never stops.
    ends = [*ends, processor.tokenizer.convert_tokens_to_ids("<|im_end|>")]
    return frozenset(token for token in ends if token is not None)


def default_choice(model: Any) -> Choice:
    """Read the checkpoint's generation config; what it leaves open is as in `generate()`."""
    config = model.generation_config

    def value(name: str, otherwise: float) -> Any:
        found = getattr(config, name, None)
        return otherwise if found is None else found

    return Choice(
        temperature=value("temperature", 1.0) if config.do_sample else 0.0,
        top_k=value("top_k", 50),
        top_p=value("top_p", 1.0),
        repetition_penalty=value("repetition_penalty", 1.0),
        seed=0,
    )


@contextlib.contextmanager
def weights_progress(progress: Progress) -> Iterator[None]:
    """Turn transformers' bar over the weights into progress from 0.05 to 0.95."""

    def hook(factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        total = len(args[0]) if args and hasattr(args[0], "__len__") else None
        return _told(args[0], total, progress) if total else factory(*args, **kwargs)

    # Versions before 5.23 may lack the hook; their loading then shows no steps.
    set_hook = getattr(transformers_logging, "set_tqdm_hook", None)
    previous = set_hook(hook) if set_hook else None
    try:
        yield
    finally:
        if set_hook:
            set_hook(previous)


def _told(items: Any, total: int, progress: Progress) -> Iterator[Any]:
    for i, item in enumerate(items):
        # At most about a hundred times.
        if i % (total // 100 + 1) == 0:
            progress("weights", 0.05 + 0.9 * i / total)
        yield item


def explained(name: str, load: Callable[[], T]) -> T:
    """Run a part of loading; turn what it raises into a ModelError."""
    try:
        return load()
    except ModelError:
        raise
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise ModelError(f"out of memory while loading {name}: {error}") from error
    except Exception as error:
        if "can't allocate memory" in str(error):
            raise ModelError(f"out of memory while loading {name}: {error}") from error
        raise ModelError(f"{name} cannot be loaded: {error}") from error
