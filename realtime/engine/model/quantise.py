"""Weights in 8 bits: half the memory of the language model's linear layers, by torchao.

The layers of the language model only: the audio tower is small, and lm_head decides between near
equals. int8 keeps a scale per row and computes in the model's dtype. fp8 on a GPU that has such
arithmetic (compute capability 8.9 and above) also turns the inputs of each layer into fp8, row by
row, and multiplies in it; elsewhere only the weights are kept so.
"""

from __future__ import annotations

import importlib
from typing import Any

import torch
from torch import Tensor, nn

from realtime.errors import ModelError

WEIGHTS = ("auto", "int8", "fp8")
FP8_FROM = (8, 9)
"""CUDA's compute capability with fp8 arithmetic: Ada, Hopper and later."""


def refuse(weights: str) -> None:
    """Raise ModelError when weights cannot be kept so, before anything large is loaded."""
    if weights not in WEIGHTS:
        raise ModelError(f"the weights must be {', '.join(WEIGHTS)}, not {weights!r}")
    if weights != "auto":
        _torchao(weights)


def quantise(model: Any, weights: str) -> None:
    """Keep the language model's linear layers in 8 bits; auto leaves them as they are."""
    refuse(weights)
    if weights == "auto":
        return
    torchao = _torchao(weights)
    layers = model.model.language_model.layers
    if not any(type(part) is nn.Linear for part in layers.modules()):
        raise ModelError(f"there are no plain linear layers to keep as {weights}")
    try:
        torchao.quantize_(layers, _config(torchao, weights, model))
    except (RuntimeError, AssertionError, NotImplementedError, ValueError) as error:
        raise ModelError(f"torchao cannot keep these weights as {weights}: {error}") from error
    if model.device.type == "cuda":
        torch.cuda.empty_cache()


def weight_bytes(model: Any) -> int:
    """Count what the weights take, however they are kept."""
    return sum(_bytes(parameter) for parameter in model.parameters())


def _bytes(held: Tensor) -> int:
    """Count a tensor's bytes, or those of the tensors that one of torchao's is made of."""
    if hasattr(held, "__tensor_flatten__"):
        names, _ = held.__tensor_flatten__()
        return sum(_bytes(getattr(held, name)) for name in names)
    return held.nbytes


def _torchao(weights: str) -> Any:
    try:
        return importlib.import_module("torchao.quantization")
    except ImportError as error:
        raise ModelError(
            f"weights as {weights} need the package torchao, which cannot be imported ({error}): "
            "pip install torchao, or leave the weights at auto"
        ) from error


def _config(torchao: Any, weights: str, model: Any) -> Any:
    """Choose how torchao keeps the weights, and what it computes in."""
    if weights == "int8":
        return torchao.Int8WeightOnlyConfig()
    if model.device.type == "cuda":
        capability = torch.cuda.get_device_capability(model.device)
        if capability >= FP8_FROM:
            return torchao.Float8DynamicActivationFloat8WeightConfig(granularity=torchao.PerRow())
    return torchao.Float8WeightOnlyConfig()
