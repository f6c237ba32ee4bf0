"""The pages of an Ogg file (RFC 3533 section 6), as far as they tell where its streams end."""

from __future__ import annotations

import os
from typing import BinaryIO

from realtime.errors import AudioError

HEAD = 27  # bytes of a page before its table of segments
LONGEST = HEAD + 255 + 255 * 255  # bytes of a page
BEGINS, ENDS = 2, 4  # flags: the first, the last page of a stream


def check_end(file: BinaryIO) -> None:
    """Refuse a file that ends before its last page."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - LONGEST))
    tail = file.read()
    page = tail[tail.rfind(b"OggS") :]
    whole = len(page) >= HEAD and len(page) >= length(page)
    if not whole or not page[5] & ENDS:
        raise AudioError("the file is cut off: its last page does not end the Ogg stream")


def joined(file: BinaryIO) -> bool:
    """Tell whether a stream begins behind another one, or what comes behind is not clear."""
    at, begun = 0, False
    file.seek(0)
    while page := file.read(HEAD + 255):
        if not page.startswith(b"OggS") or len(page) < HEAD:
            return True
        if begun and page[5] & BEGINS:
            return True
        begun = begun or not page[5] & BEGINS
        at += length(page)
        file.seek(at)
    return False


def length(page: bytes) -> int:
    """Count the bytes of a page by its head and table of segments."""
    return HEAD + page[26] + sum(page[HEAD : HEAD + page[26]])
