"""Extents never overlap, and what they hold survives every move."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from realtime.engine.steps import Allocation, Move
from realtime.engine.worker.kv_allocator import KvAllocator


class Memory:
    """Cells that hold what was written, moved as told."""

    def __init__(self, cells: int) -> None:
        self.cells: list[object] = [None] * cells

    def move(self, moves: list[Move]) -> None:
        for move in moves:
            held = self.cells[move.source : move.source + move.count]
            self.cells[move.target : move.target + move.count] = held

    def fill(self, allocation: Allocation, name: object) -> None:
        for i in range(allocation.used, allocation.size):
            self.cells[allocation.start + i] = (name, i)
        allocation.used = allocation.size

    def holds(self, allocation: Allocation, name: object) -> bool:
        held = self.cells[allocation.start : allocation.start + allocation.used]
        return held == [(name, i) for i in range(allocation.used)]


def test_an_extent_grows_in_blocks_where_it_is():
    allocator = KvAllocator(100, block=10)
    allocation, moves = allocator.reserve(1)
    assert (allocation.start, allocation.size, moves) == (0, 10, [])
    assert allocator.grow(allocation, 10) == allocator.grow(allocation, 11) == []
    assert (allocation.start, allocation.size, allocator.free) == (0, 20, 80)


def test_an_extent_that_is_hemmed_in_moves_to_a_larger_gap():
    allocator = KvAllocator(100, block=10)
    first, _ = allocator.reserve(10)
    second, _ = allocator.reserve(10)
    first.used = 7
    assert allocator.grow(first, 20) == [Move(0, 20, 7)]
    assert [e.start for e in allocator.allocations] == [second.start, first.start] == [10, 20]


def test_everything_is_packed_when_no_gap_is_large_enough():
    allocator = KvAllocator(60, block=10)
    allocations = [allocator.reserve(10)[0] for _ in range(6)]
    for allocation in allocations:
        allocation.used = 10
    for gone in allocations[::2]:
        allocator.release(gone)
    allocation, moves = allocator.reserve(30)
    assert moves == [Move(10, 0, 10), Move(30, 10, 10), Move(50, 20, 10)]
    assert (allocation.start, allocator.free) == (30, 0)
    assert allocator.reserve(1) is None
    assert allocator.grow(allocation, 31) is None


def test_cells_are_whole_blocks():
    assert KvAllocator(69, block=10).free == 60


@given(
    st.lists(st.tuples(st.sampled_from(["new", "grow", "go", "trim"]), st.integers(0, 80))),
    st.sampled_from([1, 8]),
)
def test_any_order_of_growing_and_going_keeps_what_is_held(events, block):
    allocator, memory = KvAllocator(96, block), Memory(96)
    held: dict[int, Allocation] = {}
    for name, (event, number) in enumerate(events):
        chosen = sorted(held)[number % len(held)] if held else None
        if event == "new":
            free = allocator.free
            found = allocator.reserve(number)
            assert (found is None) == (-(-max(number, 1) // block) * block > free)
            if found is not None:
                held[name], moves = found
                memory.move(moves)
                memory.fill(held[name], name)
        elif chosen is None:
            continue
        elif event == "grow":
            size = held[chosen].size + number
            moves = allocator.grow(held[chosen], size)
            if moves is not None:
                assert held[chosen].size >= size
                memory.move(moves)
                memory.fill(held[chosen], chosen)
        elif event == "trim":
            held[chosen].used = min(held[chosen].used, number)
            allocator.trim(held[chosen], number)
        else:
            allocator.release(held.pop(chosen))
        assert all(memory.holds(allocation, name) for name, allocation in held.items())
        ends = [(e.start, e.stop) for e in allocator.allocations]
        assert all(one[1] <= other[0] for one, other in pairwise(ends))
        assert not ends or (ends[0][0] >= 0 and ends[-1][1] <= allocator.cells)
        assert allocator.free == allocator.cells - sum(e.size for e in held.values())


@pytest.mark.parametrize("cells", [0, 5])
def test_an_arena_of_less_than_a_block_holds_nothing(cells):
    assert KvAllocator(cells, block=10).reserve(1) is None
