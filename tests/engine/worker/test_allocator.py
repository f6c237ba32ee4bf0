"""The GPU's memory grows in place, unless somebody said otherwise."""

from __future__ import annotations

import pytest

from realtime.engine.worker.allocator import SPOKEN_FOR, grow_in_place


def test_blocks_grow_in_place():
    environment = {"HOME": "/"}
    grow_in_place(environment)
    assert environment == {"HOME": "/", "PYTORCH_ALLOC_CONF": "expandable_segments:True"}


@pytest.mark.parametrize("name", SPOKEN_FOR)
def test_whoever_set_something_keeps_it(name):
    environment = {name: "backend:cudaMallocAsync"}
    grow_in_place(environment)
    assert environment == {name: "backend:cudaMallocAsync"}
