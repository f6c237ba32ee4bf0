"""The picture of the turns says what the table says."""

from __future__ import annotations

from xml.etree import ElementTree

from realtime.session.turn_table import TABLE
from scripts.turn_picture import PICTURE, picture


def test_the_picture_is_up_to_date():
    assert PICTURE.read_text() == picture(), "run scripts/turn_picture.py"


def test_it_has_a_box_for_every_state_and_an_arrow_for_every_move():
    drawn = ElementTree.fromstring(picture())
    svg = "{http://www.w3.org/2000/svg}"
    boxes = [box for box in drawn.iter(f"{svg}rect") if box.get("rx")]
    arrows = [path for path in drawn.iter(f"{svg}path") if path.get("marker-end")]
    assert len(boxes) == len(TABLE)
    assert len(arrows) == sum(map(len, TABLE.values()))
