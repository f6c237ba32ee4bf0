"""The picture of the rooms says what the imports say."""

from __future__ import annotations

from graphlib import CycleError
from xml.etree import ElementTree

import pytest

from scripts.layers_picture import PICTURE, drawn, levels, picture, rooms

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture
def source(tmp_path):
    """Write modules of a small realtime/."""

    def write(**modules: str):
        for name, text in modules.items():
            path = tmp_path / "realtime" / f"{name.replace('__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path

    return write


@pytest.fixture
def small(source):
    return source(
        errors="",
        audio__pcm="from realtime.errors import AudioError\nimport numpy",
        engine__model__load="import torch\nfrom realtime import errors",
        session__core="from realtime.audio import pcm\nimport realtime.errors",
        gateway__app="import asyncio\n"
        "if TYPE_CHECKING:\n    from realtime.session.core import Core\n"
        "def late():\n    from realtime.engine.model import load\n"
        "    from realtime.audio import pcm",
    )


def test_the_picture_is_up_to_date():
    assert PICTURE.read_text() == picture(), "run scripts/layers_picture.py"


def test_a_room_is_a_folder_or_a_file_beside_them(small):
    found = rooms(small)
    assert sorted(found) == ["audio", "engine/model", "errors", "gateway", "session"]
    assert found["gateway"].below == {"session", "engine/model", "audio"}
    assert [found[name].kind for name in ("audio", "gateway", "engine/model")] == [
        "neither",
        "loop",
        "tensors",
    ]


def test_each_room_stands_right_below_all_that_import_it(small):
    assert levels(rooms(small)) == [["errors"], ["audio"], ["engine/model", "session"], ["gateway"]]


def test_what_is_reached_by_way_of_another_room_has_no_arrow(small):
    found = rooms(small)
    assert drawn(found, "gateway") == ["engine/model", "session"]
    assert drawn(found, "session") == ["audio"]


def test_a_circle_cannot_be_drawn(source):
    circle = source(
        a__one="from realtime.b.two import Two",
        b__two="if TYPE_CHECKING:\n    from realtime.a.one import One",
    )
    with pytest.raises(CycleError):
        picture(circle)


def test_it_has_a_box_for_every_room_and_no_more_arrows_than_needed(small):
    found = rooms(small)
    image = ElementTree.fromstring(picture(small))
    boxes = [box for box in image.iter(f"{SVG}rect") if box.get("rx")]
    arrows = [path for path in image.iter(f"{SVG}path") if path.get("marker-end")]
    assert len(boxes) == len(found)
    assert len(arrows) == sum(len(drawn(found, name)) for name in found) == 5
