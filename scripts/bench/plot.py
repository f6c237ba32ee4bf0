"""Two panels as an SVG, written by hand: lines over a logarithmic scale, no library."""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape

WIDTH, HEIGHT, LEFT, TOP, RIGHT, BOTTOM = 460, 340, 62, 44, 14, 46
COLOURS = ("#0b6e4f", "#c8553d", "#6c757d")
Points = list[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Panel:
    """One chart; both axes are logarithmic if `log_x`, else only the vertical one."""

    title: str
    x: str
    lines: dict[str, Points]
    log_x: bool = False


def svg(title: str, panels: list[Panel]) -> str:
    """Draw panels side by side."""
    width, height = WIDTH * len(panels), HEIGHT + 24
    drawn = "".join(
        f'<g transform="translate({WIDTH * i},24)">{draw(panel)}</g>'
        for i, panel in enumerate(panels)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" '
        f'font-family="sans-serif" font-size="11"><rect width="100%" height="100%" fill="white"/>'
        f"{text(LEFT, 18, title, size=13)}{drawn}</svg>\n"
    )


def draw(panel: Panel) -> str:
    """Draw one panel."""
    points = [point for line in panel.lines.values() for point in line if point[1] > 0]
    xs = sorted({x for x, _ in points})
    marks = scale(min(y for _, y in points), max(y for _, y in points))
    low, high = math.log10(marks[0]), math.log10(marks[-1])
    near, far = scaled(xs[0], panel), scaled(xs[-1], panel)

    def at(x: float, y: float) -> tuple[float, float]:
        across = (scaled(x, panel) - near) / ((far - near) or 1)
        up = (math.log10(y) - low) / (high - low)
        return (
            round(LEFT + across * (WIDTH - LEFT - RIGHT), 1),
            round(HEIGHT - BOTTOM - up * (HEIGHT - TOP - BOTTOM), 1),
        )

    parts = [
        text(LEFT, TOP - 22, panel.title),
        text(WIDTH / 2, HEIGHT - 8, panel.x, anchor="middle"),
    ]
    for mark in marks:
        _, y = at(xs[0], mark)
        parts.append(f'<path d="M{LEFT} {y}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(text(LEFT - 6, y + 4, f"{mark:,g}", anchor="end"))
    parts += [
        text(at(x, marks[0])[0], HEIGHT - BOTTOM + 16, f"{x:g}", anchor="middle")
        for x in labelled(xs)
    ]
    for i, (name, line) in enumerate(panel.lines.items()):
        colour = COLOURS[i % len(COLOURS)]
        places = [at(x, y) for x, y in line if y > 0]
        path = "L".join(f"{x} {y}" for x, y in places)
        parts.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts += [f'<circle cx="{x}" cy="{y}" r="2.5" fill="{colour}"/>' for x, y in places]
        parts.append(text(LEFT + 8 + 130 * i, TOP - 6, name, fill=colour))
    return "".join(parts)


def scale(least: float, most: float) -> list[float]:
    """Give the marks 1, 2, 5, 10, ... from the last below the least to the first above the most."""
    powers = range(math.floor(math.log10(least)), math.ceil(math.log10(most)) + 1)
    marks = [step * 10.0**power for power in powers for step in (1, 2, 5)]
    first = max(i for i, mark in enumerate(marks) if mark <= least)
    last = next(i for i, mark in enumerate(marks) if mark >= most and i > first)
    return marks[first : last + 1]


def labelled(xs: list[float]) -> list[float]:
    """Choose which of the horizontal values are written: all of a few, else round ones."""
    return xs if len(xs) <= 8 else [x for x in xs if x == xs[0] or x % 5 == 0]


def scaled(x: float, panel: Panel) -> float:
    """Place a value along the horizontal axis."""
    return math.log2(x) if panel.log_x else x


def text(
    x: float, y: float, words: str, *, anchor: str = "start", fill: str = "black", size: int = 11
) -> str:
    """Write words."""
    return (
        f'<text x="{x}" y="{y}" text-anchor="{anchor}" fill="{fill}" font-size="{size}">'
        f"{escape(words)}</text>"
    )
