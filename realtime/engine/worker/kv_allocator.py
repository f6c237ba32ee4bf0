"""Which cells of the keys and values belong to whom; plain Python, no tensors.

The cache is one row of cells, a token each. A conversation holds one allocation of it, which
grows in blocks: where the next cells are free it just grows, else it moves to a larger gap, and
when no gap is large enough everything is packed together. An allocation stays in one
piece, so that attention reads it where it lies. What moves is told, in the order in which it must
be copied.
"""

from __future__ import annotations

from realtime.engine.steps import BLOCK, Allocation, Move


class KvAllocator:
    """All cells there are."""

    def __init__(self, cells: int, block: int = BLOCK) -> None:
        self.block = block
        self.cells = cells // block * block
        self.allocations: list[Allocation] = []
        """In order of their cells."""

    @property
    def free(self) -> int:
        """Count the cells that belong to nobody."""
        return self.cells - sum(allocation.size for allocation in self.allocations)

    def reserve(self, size: int) -> tuple[Allocation, list[Move]] | None:
        """Give a new allocation of at least so many cells; None when there are not enough."""
        size = self._rounded(size)
        if size > self.free:
            return None
        moves: list[Move] = []
        index, start, largest = self._largest_gap()
        if largest < size:
            moves = self._pack()
            index, start, _ = self._largest_gap()
        allocation = Allocation(start, size)
        self.allocations.insert(index, allocation)
        return allocation, moves

    def grow(self, allocation: Allocation, size: int) -> list[Move] | None:
        """Make an allocation at least this large; None when there are not enough cells."""
        size = self._rounded(size)
        if size <= allocation.size:
            return []
        index = self.allocations.index(allocation)
        if size <= self._room(index):
            allocation.size = size
            return []
        if size - allocation.size > self.free:
            return None
        _, start, largest = self._largest_gap()
        if largest >= size:
            move = Move(allocation.start, start, allocation.used)
            allocation.start, allocation.size = start, size
            self.allocations.sort(key=lambda other: other.start)
            return [move] if move.count else []
        return self._pack_around(allocation, size)

    def trim(self, allocation: Allocation, size: int) -> None:
        """Give back what an allocation has beyond this."""
        allocation.size = min(allocation.size, self._rounded(size))

    def release(self, allocation: Allocation) -> None:
        """Give cells back."""
        self.allocations.remove(allocation)

    def _rounded(self, size: int) -> int:
        return -(-max(size, 1) // self.block) * self.block

    def _room(self, index: int) -> int:
        """Tell how large an allocation could grow where it is."""
        after = index + 1
        end = self.allocations[after].start if after < len(self.allocations) else self.cells
        return end - self.allocations[index].start

    def _largest_gap(self) -> tuple[int, int, int]:
        """Find the most free cells in a row: their place among allocations, start and number."""
        best = (0, 0, 0)
        end = 0
        for index, allocation in enumerate(self.allocations):
            if allocation.start - end > best[2]:
                best = (index, end, allocation.start - end)
            end = allocation.stop
        if self.cells - end > best[2]:
            best = (len(self.allocations), end, self.cells - end)
        return best

    def _pack(self) -> list[Move]:
        """Close every gap; the free cells are then behind all allocations."""
        return self._downwards(self.allocations)

    def _pack_around(self, growing: Allocation, size: int) -> list[Move]:
        """Pack those before an allocation and itself downwards, those behind it upwards."""
        index = self.allocations.index(growing)
        moves = self._downwards(self.allocations[: index + 1])
        start = self.cells
        for allocation in reversed(self.allocations[index + 1 :]):
            start -= allocation.size
            if allocation.start != start and allocation.used:
                moves.append(Move(allocation.start, start, allocation.used))
            allocation.start = start
        growing.size = size
        return moves

    def _downwards(self, allocations: list[Allocation]) -> list[Move]:
        """Put allocations one behind the other from the first cell on; each copy goes down."""
        moves: list[Move] = []
        end = 0
        for allocation in allocations:
            if allocation.start != end and allocation.used:
                moves.append(Move(allocation.start, end, allocation.used))
            allocation.start = end
            end = allocation.stop
        return moves
