"""Numbers to the device and back; on CUDA through pinned memory, so that nobody waits for a copy.

Only what comes back is waited for, and only for itself: one event behind one copy.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def send(values: Any, device: torch.device, dtype: torch.dtype | None = None) -> Tensor:
    """Bring numbers or a tensor of the CPU to the device."""
    held = torch.as_tensor(values, dtype=dtype)
    return pinned(held, device).to(device, non_blocking=device.type == "cuda")


def pinned(held: Tensor, device: torch.device) -> Tensor:
    """Give a tensor that the device copies from by itself; elsewhere the same one."""
    # torch's allocator does not hand out pinned memory again before the device has read it.
    return held.pin_memory() if device.type == "cuda" and held.device.type == "cpu" else held


def claim(device: torch.device) -> None:
    """Let everything of this process be on this device; before anything is asked of it."""
    if device.type == "cuda":
        torch.cuda.set_device(device)
        # On Hopper cuDNN comes first, and builds a plan for every new shape, 20 to 400 ms each;
        # here every prompt and every step has a shape of its own.
        torch.backends.cuda.enable_cudnn_sdp(False)


def fetch(held: Tensor) -> Tensor:
    """Bring a tensor back; the only place where the CPU waits for the device in a step."""
    if held.device.type != "cuda":
        return held
    here = torch.empty(held.shape, dtype=held.dtype, pin_memory=True)
    here.copy_(held, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record(torch.cuda.current_stream(held.device))
    copied.synchronize()
    return here
