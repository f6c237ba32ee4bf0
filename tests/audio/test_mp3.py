"""How long mp3 files say that they are."""

from __future__ import annotations

from io import BytesIO

import numpy as np
import pytest
from encoding import KINDS, Kind, encode

from realtime.audio import mp3

TAGS = b"ID3\x04\x00\x00\x00\x00\x02\x00" + bytes(256)
SILENCE = np.zeros(96_000)


@pytest.mark.parametrize("rate", [48_000, 44_100, 32_000, 24_000, 22_050, 16_000, 12_000, 8_000])
def test_the_first_frame_counts_the_others(rate: int):
    data = encode(SILENCE, Kind("mp3", "libmp3lame", rate))
    length = SILENCE.size / rate
    for file in (data, TAGS + data):
        assert mp3.length(BytesIO(file)) == pytest.approx(length, abs=4 * 1152 / rate)


def test_vbri_counts_too():
    head = bytes([0xFF, 0xFB, 0x90, 0xC0]) + bytes(32)
    head += b"VBRI" + bytes(10) + (1_000).to_bytes(4, "big")
    assert mp3.length(BytesIO(head)) == pytest.approx(1_000 * 1152 / 44_100)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"ID3",
        b"\xff\xfb",
        b"RIFF" + bytes(60) + b"Xing\0\0\0\1\0\0\1\0",
        b"\xff\xfb\x9c\xc0" + bytes(32) + b"Xing\0\0\0\1\0\0\1\0",  # a rate that is none
        b"\xff\xfb\x90\xc0" + bytes(32) + b"Xing\0\0\0\0\0\0\1\0",  # bytes are counted, not frames
        b"\xff\xfb\x90\xc0" + bytes(32) + b"Xing",
        encode(SILENCE, KINDS["mp3-variable-bare"]),
    ],
)
def test_others_do_not_say(data: bytes):
    assert mp3.length(BytesIO(data)) is None


@pytest.mark.parametrize(
    ("version", "rates", "samples"),
    [
        (3, (44_100, 48_000, 32_000), 1152),
        (2, (22_050, 24_000, 16_000), 576),
        (0, (11_025, 12_000, 8_000), 576),
    ],
)
@pytest.mark.parametrize("index", [0, 1, 2])
@pytest.mark.parametrize("mark", [b"Xing", b"Info"])
def test_every_version_and_rate_is_known(version, rates, samples, index, mark):
    head = bytes([0xFF, 0xE3 | version << 3, 0x90 | index << 2, 0xC0]) + bytes(17)
    data = head + mark + b"\0\0\0\x0f" + (70_000).to_bytes(4, "big") + bytes(100)
    seconds = 70_000 * samples / rates[index]
    assert mp3.length(BytesIO(data)) == pytest.approx(seconds, rel=1e-9)


def tag(size: int) -> bytes:
    """Make an ID3v2 tag of so many bytes behind its head."""
    digits = bytes(size >> 7 * place & 0x7F for place in (3, 2, 1, 0))
    return b"ID3\x04\x00\x00" + digits + bytes(size)


@pytest.mark.parametrize(
    "tags", [tag(0), tag(1), tag(200), tag(20_000), tag(2_100_000), tag(5) * 3]
)
def test_the_first_frame_is_found_behind_tags_of_any_size(tags: bytes):
    frame = bytes([0xFF, 0xFB, 0x90, 0xC0]) + bytes(32) + b"Xing\0\0\0\1\0\0\0\2" + bytes(50)
    assert mp3.length(BytesIO(tags + frame)) == pytest.approx(2 * 1152 / 44_100)


def test_a_version_that_is_none_does_not_say():
    frame = bytes([0xFF, 0xEB, 0x90, 0xC0]) + bytes(32) + b"Xing\0\0\0\1\0\0\0\2" + bytes(50)
    assert mp3.length(BytesIO(frame)) is None


@pytest.mark.parametrize(
    ("head", "frames"),
    [
        (b"", 0),
        (b"Xing\0\0\0\1\0\1\0\0", 65_536),
        (b"xxInfo\0\0\0\3\0\0\0\5", 5),
        (b"Xing\0\0\0\2\0\0\0\5", 0),
        (b"Xing", 0),
        (b"Xing\0\0\0\1\0\0\5", 0),
        (b"Xing\0\0\0\1\0\0\0\5\6", 5),
        (b"\xff" * 40, 0),
        (b"VBRI" + bytes(13) + b"\5\6", 5),
        (b"VBRI" + bytes(9) + b"\7\0\0\0\5\6", 5),
        (b"VBRI" + bytes(10) + b"\0\0\1\2", 258),
        (b"x" + b"VBRI" + bytes(10) + b"\0\0\0\2\0\0\0\3", 2),
    ],
)
def test_frames_are_counted_behind_their_mark(head: bytes, frames: int):
    assert mp3.count(head) == frames


def test_a_file_is_read_from_its_beginning():
    file = BytesIO(bytes([0xFF, 0xFB, 0x90, 0xC0]) + bytes(32) + b"Xing\0\0\0\1\0\0\0\2")
    for _ in range(2):
        assert mp3.length(file) == pytest.approx(2 * 1152 / 44_100)


@pytest.mark.parametrize("behind", [12, 13])
def test_only_the_first_74_bytes_are_looked_at(behind: int):
    head = bytes([0xFF, 0xFB, 0x90, 0xC0]).ljust(74 - behind, b"\0")
    data = head + b"Xing\0\0\0\1\0\0\0\2" + bytes(50)
    assert len(mp3.first_frame(BytesIO(data))) == 74
    assert mp3.length(BytesIO(data)) == pytest.approx(2 * 1152 / 44_100)
