"""How torch takes a GPU's memory; it reads that when CUDA is first used."""

from __future__ import annotations

from collections.abc import MutableMapping

SPOKEN_FOR = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF", "PYTORCH_HIP_ALLOC_CONF")
"""Whoever sets one of these knows what they want."""


def grow_in_place(environment: MutableMapping[str, str]) -> None:
    """Have torch's blocks of memory grow where they are.

    Every prompt and every batch has a size of its own here; blocks of fixed sizes would be left in
    pieces that fit none of the next.
    """
    if not any(name in environment for name in SPOKEN_FOR):
        environment["PYTORCH_ALLOC_CONF"] = "expandable_segments:True"
