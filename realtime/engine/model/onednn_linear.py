"""Linear layers in the order in which oneDNN reads them: on a CPU two to three times as fast.

`torch.nn.functional.linear` in float32 goes to MKL, which reads the weights as they are stored;
for the few rows of a decode step that costs far more than the reading. Packed once, after
loading, weights take the same memory. What is computed is the same but for the order of its sums.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

ROWS = 16
"""That the order is made for. One made for 1 loses a third with more; this loses little with 1."""
LEAST = 1 << 18
"""Numbers in a weight; calling oneDNN costs more than it saves with smaller ones."""


class OneDnnLinear(nn.Module):
    """A linear layer whose weights lie in oneDNN's order."""

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features = linear.in_features
        self.out_features = linear.out_features
        weight = torch.ops.mkldnn._reorder_linear_weight(linear.weight.detach(), ROWS)
        self.weight = nn.Parameter(weight, requires_grad=False)
        self.bias = linear.bias

    def forward(self, rows: Tensor) -> Tensor:
        """Compute rows, [..., in] -> [..., out]."""
        made: Tensor = torch.ops.mkldnn._linear_pointwise(
            rows, self.weight, self.bias, "none", [], ""
        )
        return made


def pack(model: nn.Module) -> int:
    """Pack the large linear layers of a model on a CPU; tell how many there are."""
    count = 0
    for parent in list(model.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.Linear) and gains(child):
                setattr(parent, name, OneDnnLinear(child))
                count += 1
    return count


def gains(linear: nn.Linear) -> bool:
    """Tell whether a layer gains by it, here."""
    weight = linear.weight
    return (
        type(linear) is nn.Linear
        and weight.device.type == "cpu"
        and weight.numel() >= LEAST
        and computes(weight.dtype)
    )


def computes(dtype: torch.dtype) -> bool:
    """Tell whether oneDNN computes numbers of this kind here."""
    ops: Any = torch.ops.mkldnn
    if not torch.backends.mkldnn.is_available() or not hasattr(ops, "_linear_pointwise"):
        return False
    if dtype == torch.bfloat16:
        return bool(ops._is_mkldnn_bf16_supported())
    return dtype == torch.float32
