"""Draw docs/turn-table.svg from the table of turns: a box a state, an arrow a move.

    python scripts/turn_picture.py

A test holds the picture against the table.
"""

from __future__ import annotations

import math
from html import escape
from pathlib import Path

from realtime.session.turn_table import TABLE, Move, Response, State, User

PICTURE = Path(__file__).parents[1] / "docs" / "turn-table.svg"
BOX, STEP, ORIGIN = (150, 46), (300, 190), (150, 120)
"""Size of a box, distance from one to the next, centre of the first; pixels."""
WIDTH, HEIGHT = 950, 580
OF_THE_USER, OF_THE_RESPONSE, BARGE_IN = "#0b6e4f", "#6c757d", "#c8553d"
COLOURS = {
    **dict.fromkeys([Move.SPEAK, Move.PAUSE, Move.RESUME, Move.STOP], OF_THE_USER),
    **dict.fromkeys([Move.ASK, Move.DELTA, Move.END], OF_THE_RESPONSE),
    Move.INTERRUPT: BARGE_IN,
}

Point = tuple[float, float]


def centre(state: State) -> Point:
    """Place a state: the response goes across, the user down."""
    user, response = state
    column, row = list(Response).index(response), list(User).index(user)
    return ORIGIN[0] + column * STEP[0], ORIGIN[1] + row * STEP[1]


def edge(of: Point, towards: Point) -> Point:
    """Give where a straight line leaves a box."""
    across, down = towards[0] - of[0], towards[1] - of[1]
    reach = min(
        BOX[0] / 2 / abs(across) if across else math.inf,
        BOX[1] / 2 / abs(down) if down else math.inf,
    )
    return of[0] + across * reach, of[1] + down * reach


def arrow(source: State, target: State, move: Move) -> str:
    """Draw a move, bent to its right so that the way back lies beside it."""
    colour = COLOURS[move]
    begin, end = centre(source), centre(target)
    if source == target:
        x, y = begin[0] + BOX[0] / 2, begin[1]
        path = f"M{x} {y - 10}C{x + 50} {y - 34} {x + 50} {y + 34} {x + 2} {y + 10}"
        return line(path, colour) + words(x + 22, y - 24, move.value, colour)
    across, down = end[0] - begin[0], end[1] - begin[1]
    middle = (begin[0] + end[0]) / 2, (begin[1] + end[1]) / 2
    if move is Move.INTERRUPT:
        bent = 0.0
    else:
        bent = 0.6 if abs(down) > STEP[1] else 0.22  # around the box between
    bend = middle[0] - bent * down, middle[1] + bent * across
    (x0, y0), (x1, y1) = edge(begin, bend), edge(end, bend)
    path = f"M{x0:.0f} {y0:.0f}Q{bend[0]:.0f} {bend[1]:.0f} {x1:.0f} {y1:.0f}"
    at = 0.3 if move is Move.INTERRUPT else 0.5  # of the way
    x, y = (
        (1 - at) ** 2 * a + 2 * at * (1 - at) * b + at**2 * c
        for a, b, c in ((x0, bend[0], x1), (y0, bend[1], y1))
    )
    return line(path, colour) + words(x, y + 4, move.value, colour)


def line(path: str, colour: str) -> str:
    """Draw a line that ends in a point."""
    name = colour.removeprefix("#")
    return f'<path d="{path}" fill="none" stroke="{colour}" marker-end="url(#to-{name})"/>\n'


def words(x: float, y: float, text: str, colour: str) -> str:
    """Write words that stay readable on a line."""
    return (
        f'<text x="{x:.0f}" y="{y:.0f}" text-anchor="middle" fill="{colour}" stroke="white" '
        f'stroke-width="4" paint-order="stroke">{escape(text)}</text>\n'
    )


def box(state: State) -> str:
    """Draw a state."""
    x, y = centre(state)
    user, response = state
    fill = "#e7f3ee" if user is not User.SILENT else "#f4f4f4"
    said = {Response.NONE: "no response", Response.WAITING: "response is due"}
    rows = [user.value, said.get(response, "responding")]
    text = "".join(
        f'<text x="{x}" y="{y - 3 + 17 * i}" text-anchor="middle">{row}</text>\n'
        for i, row in enumerate(rows)
    )
    return (
        f'<rect x="{x - BOX[0] / 2}" y="{y - BOX[1] / 2}" width="{BOX[0]}" height="{BOX[1]}" '
        f'rx="8" fill="{fill}" stroke="#888"/>\n{text}'
    )


def picture() -> str:
    """Draw the whole table."""
    points = "".join(
        f'<marker id="to-{colour[1:]}" viewBox="0 0 8 8" refX="8" refY="4" markerWidth="8" '
        f'markerHeight="8" orient="auto"><path d="M0 0L8 4L0 8z" fill="{colour}"/></marker>\n'
        for colour in (OF_THE_USER, OF_THE_RESPONSE, BARGE_IN)
    )
    arrows = "".join(
        arrow(source, target, move)
        for source, moves in TABLE.items()
        for move, target in moves.items()
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="13">\n<rect width="100%" height="100%" fill="white"/>'
        f"\n<defs>\n{points}</defs>\n{arrows}{''.join(map(box, TABLE))}</svg>\n"
    )


if __name__ == "__main__":
    PICTURE.write_text(picture())
