"""Which cells of the keys and values belong to whom; plain Python, no tensors.

The arena is one row of cells, a token each. A conversation holds one extent of it, which grows in
blocks: where the next cells are free it just grows, else it moves to a larger gap, and when no gap
is large enough everything is packed together. An extent stays in one piece, so that attention
reads it where it lies. What moves is told, in the order in which it must be copied.
"""

from __future__ import annotations

from dataclasses import dataclass

from realtime.engine.steps import BLOCK, Move


@dataclass(slots=True, eq=False)
class Extent:
    """Cells start to start + size, of which the first `used` hold something."""

    start: int
    size: int
    used: int = 0

    @property
    def stop(self) -> int:
        """Give the first cell behind it."""
        return self.start + self.size


class Arena:
    """All cells there are."""

    def __init__(self, cells: int, block: int = BLOCK) -> None:
        self.block = block
        self.cells = cells // block * block
        self.extents: list[Extent] = []
        """In order of their cells."""

    @property
    def free(self) -> int:
        """Count the cells that belong to nobody."""
        return self.cells - sum(extent.size for extent in self.extents)

    def reserve(self, size: int) -> tuple[Extent, list[Move]] | None:
        """Give a new extent of at least so many cells; None when there are not enough."""
        size = self._rounded(size)
        if size > self.free:
            return None
        moves: list[Move] = []
        index, start, largest = self._largest_gap()
        if largest < size:
            moves = self._pack()
            index, start, _ = self._largest_gap()
        extent = Extent(start, size)
        self.extents.insert(index, extent)
        return extent, moves

    def grow(self, extent: Extent, size: int) -> list[Move] | None:
        """Make an extent at least this large; None when there are not enough cells."""
        size = self._rounded(size)
        if size <= extent.size:
            return []
        index = self.extents.index(extent)
        if size <= self._room(index):
            extent.size = size
            return []
        if size - extent.size > self.free:
            return None
        _, start, largest = self._largest_gap()
        if largest >= size:
            move = Move(extent.start, start, extent.used)
            extent.start, extent.size = start, size
            self.extents.sort(key=lambda other: other.start)
            return [move] if move.count else []
        return self._pack_around(extent, size)

    def trim(self, extent: Extent, size: int) -> None:
        """Give back what an extent has beyond this."""
        extent.size = min(extent.size, self._rounded(size))

    def release(self, extent: Extent) -> None:
        """Give cells back."""
        self.extents.remove(extent)

    def _rounded(self, size: int) -> int:
        return -(-max(size, 1) // self.block) * self.block

    def _room(self, index: int) -> int:
        """Tell how large an extent could grow where it is."""
        after = index + 1
        end = self.extents[after].start if after < len(self.extents) else self.cells
        return end - self.extents[index].start

    def _largest_gap(self) -> tuple[int, int, int]:
        """Find the most free cells in a row: their place in `extents`, their start and number."""
        best = (0, 0, 0)
        end = 0
        for index, extent in enumerate(self.extents):
            if extent.start - end > best[2]:
                best = (index, end, extent.start - end)
            end = extent.stop
        if self.cells - end > best[2]:
            best = (len(self.extents), end, self.cells - end)
        return best

    def _pack(self) -> list[Move]:
        """Close every gap; the free cells are then behind all extents."""
        return self._downwards(self.extents)

    def _pack_around(self, growing: Extent, size: int) -> list[Move]:
        """Pack those before an extent and itself downwards, those behind it upwards."""
        index = self.extents.index(growing)
        moves = self._downwards(self.extents[: index + 1])
        start = self.cells
        for extent in reversed(self.extents[index + 1 :]):
            start -= extent.size
            if extent.start != start and extent.used:
                moves.append(Move(extent.start, start, extent.used))
            extent.start = start
        growing.size = size
        return moves

    def _downwards(self, extents: list[Extent]) -> list[Move]:
        """Put extents one behind the other from the first cell on; each copy goes down."""
        moves: list[Move] = []
        end = 0
        for extent in extents:
            if extent.start != end and extent.used:
                moves.append(Move(extent.start, end, extent.used))
            extent.start = end
            end = extent.stop
        return moves
