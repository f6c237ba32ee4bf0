"""Where Ogg streams end."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from encoding import KINDS, encode

from realtime.audio import ogg
from realtime.errors import AudioError

NOISE = 0.1 * np.random.default_rng(8).standard_normal(5 * 48_000)
WHOLE = encode(NOISE, KINDS["opus"])


def test_a_whole_file_is_one_stream_that_ends():
    ogg.check_end(BytesIO(WHOLE))
    assert not ogg.joined(BytesIO(WHOLE))


@pytest.mark.parametrize("missing", [1, 20, 500, len(WHOLE) // 2, len(WHOLE) - 1])
def test_a_file_without_its_last_page_does_not_end(missing: int):
    with pytest.raises(AudioError, match="cut off"):
        ogg.check_end(BytesIO(WHOLE[:-missing]))


@pytest.mark.parametrize("behind", [WHOLE, b"OggS", b"tags", bytes(300)])
def test_what_comes_behind_is_seen(behind: bytes):
    assert ogg.joined(BytesIO(WHOLE + behind))


def page(flags: int, *segments: int) -> bytes:
    """Make a page with these flags, of segments of these lengths."""
    head = b"OggS\0" + bytes([flags]) + bytes(20) + bytes([len(segments)])
    return head + bytes(segments) + bytes(sum(segments))


FIRST, MIDDLE, LAST = page(2, 30), page(0, 255, 255, 7), page(4, 9)


def test_a_page_is_as_long_as_its_table_says():
    for data in (FIRST, MIDDLE, LAST, page(0)):
        assert ogg.length(data + b"more") == len(data)


@pytest.mark.parametrize(
    ("pages", "joined"),
    [
        ((), False),
        ((FIRST, MIDDLE, LAST), False),
        ((FIRST, FIRST, MIDDLE, LAST), False),  # two streams at once
        ((FIRST, MIDDLE, LAST, FIRST), True),
        ((FIRST, LAST, FIRST, LAST), True),
        ((FIRST, MIDDLE, b"no page" * 9), True),
        ((FIRST, page(0, *[255] * 255), LAST), False),
        ((FIRST, page(0, *[255] * 255), FIRST), True),
        ((FIRST, MIDDLE, MIDDLE[:26]), True),
        ((FIRST, MIDDLE, MIDDLE[:27]), False),
    ],
)
def test_streams_are_joined_where_one_begins_behind_another(pages, joined):
    assert ogg.joined(BytesIO(b"".join(pages))) is joined


@pytest.mark.parametrize(
    ("data", "ends"),
    [
        (LAST, True),
        (FIRST + MIDDLE + LAST, True),
        (FIRST + MIDDLE + page(4), True),
        (FIRST + page(5, 9), True),
        (FIRST + MIDDLE + page(4, *[255] * 255), True),
        (FIRST + MIDDLE, False),
        (FIRST + LAST[:-1], False),
        (LAST[:26], False),
        (b"", False),
        (b"\4" * 300, False),
        (b"OggS" + bytes(70_000) + b"\4" * 300, False),
    ],
)
def test_a_file_ends_with_a_whole_last_page(data, ends):
    if ends:
        ogg.check_end(BytesIO(data))
    else:
        with pytest.raises(AudioError, match="its last page does not end"):
            ogg.check_end(BytesIO(data))


def test_the_longest_page_is_looked_for_and_no_more_is_read():
    longest = page(4, *[255] * 255)
    assert len(longest) == ogg.LONGEST == 65_307
    ogg.check_end(BytesIO(bytes(100_000) + longest))


def test_a_file_is_read_from_its_beginning_wherever_it_stands():
    file = BytesIO(FIRST + MIDDLE + LAST + FIRST)
    for _ in range(2):
        assert ogg.joined(file)
