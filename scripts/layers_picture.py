"""Draw docs/layers.svg from the imports of the source: a box a room, arrows to what it builds on.

    python scripts/layers_picture.py

A room is a folder of realtime/, or a file that stands beside them. An arrow that others lead to
anyway is left out: what is reached by way of another room may be imported directly too. A test
holds the picture against the source.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from graphlib import TopologicalSorter
from html import escape
from pathlib import Path

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "layers.svg"
TENSORS, LOOPS = {"torch", "transformers"}, {"asyncio"}
FILLS = {"tensors": "#f6d9c8", "loop": "#d8e6f3", "neither": "#e7f3ee"}
HEIGHT, GAP, ROW, MARGIN, LETTER = 34, 44, 84, 20, 7.6
"""Of a box, between two, from row to row, around it all; width of a letter; pixels."""


@dataclass(slots=True)
class Room:
    """A folder of modules, and what they import."""

    name: str
    below: set[str] = field(default_factory=set)
    """Rooms that its modules import."""
    others: set[str] = field(default_factory=set)
    """Packages of others that its modules import."""

    @property
    def kind(self) -> str:
        """Say what is special about its imports."""
        return "tensors" if self.others & TENSORS else "loop" if self.others & LOOPS else "neither"


def modules(root: Path) -> dict[str, Path]:
    """Find the modules by their full names."""
    found = {}
    for path in sorted((root / "realtime").rglob("*.py")):
        parts = path.relative_to(root).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def imported(path: Path, known: dict[str, Path]) -> Iterator[str]:
    """Give the full names of what a module imports, for its types too."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for name in node.names:
                full = f"{node.module}.{name.name}"
                yield full if full in known else node.module


def rooms(root: Path = ROOT) -> dict[str, Room]:
    """Find the rooms and what each imports."""
    known = modules(root)
    found: dict[str, Room] = {}

    def room_of(path: Path) -> str:
        folder = path.relative_to(root / "realtime").parent.as_posix()
        return path.stem if folder == "." else folder

    for path in known.values():
        name = room_of(path)
        if name == "__init__":
            continue
        room = found.setdefault(name, Room(name))
        for module in imported(path, known):
            if module not in known:
                room.others.add(module.split(".")[0])
            elif (other := room_of(known[module])) not in (name, "__init__"):
                room.below.add(other)
    return found


def levels(found: dict[str, Room]) -> list[list[str]]:
    """Put each room right below all that import it, lowest first; raise CycleError for a circle."""
    above: dict[str, set[str]] = {name: set() for name in found}
    for room in found.values():
        for other in room.below:
            above[other].add(room.name)
    sorter = TopologicalSorter(above)
    sorter.prepare()
    rows: list[list[str]] = []
    while sorter.is_active():
        rows.insert(0, sorted(sorter.get_ready()))
        sorter.done(*rows[0])
    return rows


def reach(found: dict[str, Room], name: str) -> set[str]:
    """Give all that a room builds on, in however many steps."""
    below = found[name].below
    return below.union(*(reach(found, other) for other in below))


def drawn(found: dict[str, Room], name: str) -> list[str]:
    """Give the rooms that a room has arrows to: those it does not reach by way of another."""
    below = found[name].below
    by_others = set().union(*(reach(found, other) for other in below)) if below else set()
    return sorted(below - by_others)


def places(found: dict[str, Room]) -> tuple[dict[str, tuple[float, float]], int]:
    """Give the centre of each box, and the width of it all; each row over what it builds on."""
    rows = levels(found)
    width = max(sum(box_width(name) + GAP for name in row) for row in rows) + 2 * MARGIN
    centres: dict[str, tuple[float, float]] = {}
    for height, row in enumerate(rows):
        across = {name: [centres[other][0] for other in drawn(found, name)] for name in row}
        middle = {name: sum(xs) / len(xs) if xs else width / 2 for name, xs in across.items()}
        x = (width - sum(box_width(name) + GAP for name in row) + GAP) / 2
        for name in sorted(row, key=lambda name: (middle[name], name)):
            y = MARGIN + HEIGHT / 2 + (len(rows) - 1 - height) * ROW
            centres[name] = (x + box_width(name) / 2, y)
            x += box_width(name) + GAP
    return centres, round(width)


def box_width(name: str) -> float:
    """Give how wide a name's box is."""
    return len(name) * LETTER + 22


def arrow(source: tuple[float, float], target: tuple[float, float]) -> str:
    """Draw an arrow down."""
    (x0, y0), (x1, y1) = source, target
    begin, end = y0 + HEIGHT / 2, y1 - HEIGHT / 2
    middle = (begin + end) / 2
    path = f"M{x0:.0f} {begin:.0f}C{x0:.0f} {middle:.0f} {x1:.0f} {middle:.0f} {x1:.0f} {end:.0f}"
    return f'<path d="{path}" fill="none" stroke="#888" marker-end="url(#to)"/>\n'


def box(room: Room, centre: tuple[float, float]) -> str:
    """Draw a room."""
    x, y = centre
    width = box_width(room.name)
    return (
        f'<rect x="{x - width / 2:.0f}" y="{y - HEIGHT / 2:.0f}" width="{width:.0f}" '
        f'height="{HEIGHT}" rx="6" fill="{FILLS[room.kind]}" stroke="#666"/>\n'
        f'<text x="{x:.0f}" y="{y + 5:.0f}" text-anchor="middle">{escape(room.name)}</text>\n'
    )


def legend(y: float) -> str:
    """Say what the colours mean."""
    words = {"neither": "neither waits nor has tensors", "loop": "asyncio", "tensors": "torch"}
    drawn, x = "", MARGIN
    for kind, text in words.items():
        drawn += (
            f'<rect x="{x}" y="{y}" width="14" height="14" fill="{FILLS[kind]}" stroke="#666"/>\n'
            f'<text x="{x + 20}" y="{y + 12}">{text}</text>\n'
        )
        x += 50 + round(len(text) * LETTER)
    return drawn


def picture(root: Path = ROOT) -> str:
    """Draw all rooms."""
    found = rooms(root)
    centres, width = places(found)
    bottom = max(y for _, y in centres.values()) + HEIGHT / 2
    arrows = "".join(
        arrow(centres[name], centres[other]) for name in found for other in drawn(found, name)
    )
    boxes = "".join(box(room, centres[room.name]) for room in found.values())
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {bottom + 56:.0f}" '
        'font-family="sans-serif" font-size="13">\n'
        '<rect width="100%" height="100%" fill="white"/>\n'
        '<defs><marker id="to" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path d="M0 0L8 4L0 8z" fill="#888"/></marker></defs>\n'
        f"{arrows}{boxes}{legend(bottom + 22)}</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(picture())
