"""How long an mp3 is, where its first frame counts the others (Xing, VBRI)."""

from __future__ import annotations

from typing import BinaryIO

RATES = (44_100, 48_000, 32_000)  # of MPEG-1; of MPEG-2 half, of MPEG-2.5 a quarter
HALVINGS = {3: 0, 2: 1, 0: 2}  # by the two bits that tell the version
COUNTED = 1  # flag of a Xing header: the count of frames follows


def length(file: BinaryIO) -> float | None:
    """Give the seconds that the first frame promises, if it does."""
    head = first_frame(file)
    frames = count(head)
    if not frames or head[0] != 0xFF or (version := head[1] >> 3 & 3) not in HALVINGS:
        return None
    rate = head[2] >> 2 & 3
    if rate == len(RATES):
        return None
    samples = 1152 if version == 3 else 576
    return frames * samples / (RATES[rate] >> HALVINGS[version])


def first_frame(file: BinaryIO) -> bytes:
    """Read the beginning of the first frame, behind the tags."""
    at = 0
    file.seek(at)
    while (head := file.read(10))[:3] == b"ID3":  # ID3v2 section 3.1: a size of four times 7 bits
        at += 10 + sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(head[6:]))
        file.seek(at)
    return head + file.read(64)


def count(head: bytes) -> int:
    """Read how many frames follow; 0: it is not said."""
    for mark in (b"Xing", b"Info"):
        behind = head.partition(mark)[2]
        if len(behind) >= 8 and behind[3] & COUNTED:
            return int.from_bytes(behind[4:8], "big")
    return int.from_bytes(head.partition(b"VBRI")[2][10:14], "big")
