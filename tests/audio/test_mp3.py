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
