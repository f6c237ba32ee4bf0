"""How soon a token could come at best: each one needs every weight of the language model once."""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

COPIES = 5
BYTES = {"cpu": 1 << 29, "cuda": 1 << 32}
"""Of what is copied; far more than any cache holds."""


def decode_bytes(model: Any) -> int:
    """Count the bytes of the weights that one decode step reads: all but the embeddings."""
    language = model.model.language_model
    unread = {id(p) for p in language.embed_tokens.parameters()}
    read = [*language.parameters(), *model.lm_head.parameters()]
    return sum(p.numel() * p.element_size() for p in read if id(p) not in unread)


def copy_bandwidth(device: str) -> float:
    """Measure the bytes a second that a copy reads and writes."""
    kind = torch.device(device).type
    source = torch.ones(BYTES[kind], dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    times = []
    for _ in range(COPIES + 1):
        synchronise(kind)
        began = time.perf_counter()
        target.copy_(source)
        synchronise(kind)
        times.append(time.perf_counter() - began)
    return 2 * source.numel() / statistics.median(times[1:])


def synchronise(kind: str) -> None:
    """Wait for the device."""
    if kind == "cuda":
        torch.cuda.synchronize()
