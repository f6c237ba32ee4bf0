"""A GPU that is not there: every step of the engine on tensors that have shapes and no numbers.

torch's fake tensors refuse operands on two devices, and shapes that depend on numbers. `Watch`
refuses operands of two dtypes, counts what a step starts on the device, and notes whatever would
make the host wait for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import functools
import importlib
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import random_model
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode, _disable_current_modes
from torch.utils._pytree import tree_leaves
from transformers import Qwen2AudioForConditionalGeneration

from realtime.engine.api import Clip, ModelInfo, Sampling
from realtime.engine.model.load import Loaded, default_choice
from realtime.engine.model.runner import Runner
from realtime.engine.steps import Part, Placed, Prompt, Sequence

DEVICE = torch.device("cuda:0")
CROSSINGS = ("audio_embeddings", "features", "flash", "graphs", "kv_cache", "runner", "sampling")
"""Modules of the engine that numbers are sent to the device from, or fetched."""
CHECKPOINT = Sampling(temperature=0.7, top_k=20, top_p=0.5, repetition_penalty=1.1)
"""How Qwen2-Audio-7B-Instruct's generation config draws."""
GREEDY = Sampling(temperature=0.0, repetition_penalty=1.0)
WHOLE = ("aten::scaled_dot_product_attention",)
"""Composite operations that are one kernel where a fused one takes them."""
NO_KERNEL = ("empty", "new_empty", "alias", "detach", "lift", "is_pinned", "_unsafe_view", "sym_")
CUDA, META = 1, 14
"""Of c10::DeviceType."""
COPIES = ("_to_copy", "copy_", "index_put_")
"""What copies even a single number of the host's."""
MATCHED = (
    "mm",
    "addmm",
    "bmm",
    "baddbmm",
    "scaled_dot_product_attention",
    "convolution",
    "native_layer_norm",
    "index_copy_",
    "index_put_",
)
"""What takes operands of one dtype only; shapes alone would not tell."""
WAITS = ("aten::_local_scalar_dense", "aten::equal")
"""What asks for a number; shapes that depend on numbers the fake tensors refuse themselves."""


class Watch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """What a stretch of the program does on the device; over a FakeTensorMode."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels: Counter[str] = Counter()
        """Operations by name: no views, and composite ones as what they are made of."""
        self.waits: list[str] = []
        """Operations that would make the host wait, or copy from memory that is not pinned."""
        self.sent = 0
        """Copies to the device through pinned memory, which nobody waits for."""
        self.fetched = 0
        """Copies back, which the host does wait for."""

    @property
    def count(self) -> int:
        """Count the kernels."""
        return self.kernels.total()

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Collection[Any] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Note one operation, and let the mode below compute its shape."""
        kwargs = kwargs or {}
        name = func._schema.name
        if name.startswith("prim"):
            return func(*args, **kwargs)
        if name not in WHOLE and func._can_decompose():
            with self:
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        plain = name.removeprefix("aten::")
        if plain in MATCHED and len(kinds := _kinds(args)) > 1:
            raise RuntimeError(f"{name} of two dtypes: {', '.join(sorted(map(str, kinds)))}")
        devices = {held.device.type for held in tree_leaves((args, kwargs)) if _is_tensor(held)}
        if name in WAITS and "cuda" in devices:
            self.waits.append(name)
            return False
        made = func(*args, **kwargs)
        devices |= {held.device.type for held in tree_leaves(made) if _is_tensor(held)}
        if "cuda" in devices:
            if len(devices) > 1 and (plain in COPIES or not _only_numbers(args)):
                self.waits.append(name)
            if not func.is_view and not plain.startswith(NO_KERNEL):
                self.kernels[plain] += 1
        return made


def _only_numbers(args: Collection[Any]) -> bool:
    """Tell whether what is on the host is single numbers, which go along with a kernel."""
    here = [t for t in tree_leaves(args) if _is_tensor(t) and t.device.type == "cpu"]
    return all(held.dim() == 0 for held in here)


def _kinds(args: Collection[Any]) -> set[torch.dtype]:
    """Collect the dtypes of what is neither a number of the host's nor made of integers."""
    held = [t for t in tree_leaves(args) if _is_tensor(t) and t.dim()]
    return {tensor.dtype for tensor in held if tensor.is_floating_point()}


def _is_tensor(held: Any) -> bool:
    return isinstance(held, Tensor)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Let a torch without CUDA index tensors that claim to be there.

    Python's indexing asks for the guard that makes a device the current one, and such a torch has
    none; the one of meta tensors does nothing, which is what is needed.
    """
    library = ctypes.CDLL(str(Path(torch.__file__).parent / "lib" / "libc10.so"))
    guards = (ctypes.c_void_p * 20).in_dll(library, "_ZN3c104impl26device_guard_impl_registryE")
    before = guards[CUDA]
    guards[CUDA] = before or guards[META]
    try:
        yield
    finally:
        guards[CUDA] = before


class Pretended:
    """A checkpoint of some size on a GPU that is not there."""

    def __init__(self, shape: random_model.Shape, *, answers: int = 8, **options: Any) -> None:
        """Make its weights, and a runner with cells for so many answers; `options` are its own."""
        processor = random_model.processor(shape.vocabulary)
        with torch.device("meta"):
            made: Any = Qwen2AudioForConditionalGeneration(
                random_model.config(processor.tokenizer, shape)
            )
        weights = made.to(shape.dtype).eval()
        self.mode = FakeTensorMode(allow_non_fake_inputs=True)
        self.shape, self.answers, self.serial = shape, answers, 0
        with self.mode, watched():
            weights.to_empty(device=DEVICE).requires_grad_(False)
            info = ModelInfo("pretended", shape.context, 0, str(shape.dtype), str(DEVICE))
            choice = default_choice(weights)
            self.loaded = Loaded(weights, processor, info, frozenset(), choice)
            self.runner = Runner(self.loaded, cells=answers * shape.context, **options)
        if (fixed := self.runner.fixed) is not None:
            fixed.arm(lambda bucket: functools.partial(fixed.compute, bucket))

    def ask(self, tokens: int, sampling: Sampling, *, clip_s: float = 0.0) -> Part:
        """Take an answer in that has so many tokens; give the part that computes all of them."""
        self.serial += 1
        clip = Clip(f"clip {self.serial}", np.zeros(round(16_000 * clip_s), np.int16))
        prompt = Prompt((0,) * tokens, (Placed(1, clip),) if clip_s else ())
        with self.mode, watched():
            self.runner.begin(Sequence(self.serial, prompt, sampling))
        base = self.serial % self.answers * self.shape.context
        return Part(self.serial, 0, tokens, base, True)

    def talking(self, tokens: int, samplings: Collection[Sampling]) -> list[Part]:
        """Take answers in that talk; give the parts that compute the last token of each."""
        asked = [self.ask(tokens, sampling) for sampling in samplings]
        parts = [replace(part, start=part.stop - 1) for part in asked]
        self.run(parts)  # what is sent when an answer's first token is chosen is not a step's
        return parts

    def run(self, parts: Collection[Part]) -> Watch:
        """Run a step, and tell what it did."""
        with self.mode, watched() as watch:
            self.runner.run(parts)
        return watch


@contextlib.contextmanager
def watched() -> Iterator[Watch]:
    """Watch what runs meanwhile; what crosses between host and device properly is counted."""
    watch = Watch()

    def arrived(values: Any, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
        watch.sent += 1
        held = values if isinstance(values, Tensor) else np.asarray(values)
        if dtype is None:
            dtype = held.dtype if isinstance(held, Tensor) else torch.as_tensor(held).dtype
        return torch.empty(tuple(held.shape), dtype=dtype, device=DEVICE)

    def fetch(held: Tensor) -> Tensor:
        watch.fetched += 1
        with _disable_current_modes():
            return torch.ones(tuple(held.shape), dtype=held.dtype)

    with contextlib.ExitStack() as stack:
        for name in CROSSINGS:
            module = importlib.import_module(f"realtime.engine.model.{name}")
            for crossing, stand_in in (("send", arrived), ("pinned", arrived), ("fetch", fetch)):
                if hasattr(module, crossing):
                    stack.callback(setattr, module, crossing, getattr(module, crossing))
                    setattr(module, crossing, stand_in)
        stack.enter_context(guarded())
        stack.enter_context(watch)
        yield watch
