"""Decode audio files: wav, flac, mp3 and ogg, at any rate, to 16 kHz mono.

What cannot be decoded whole is an error that says why; nothing is ever cut in silence.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from realtime.audio.pcm import SAMPLE_RATE, Pcm, from_float
from realtime.errors import AudioError

FORMATS = frozenset({"WAV", "WAVEX", "FLAC", "MP3", "OGG"})
RATES = range(4_000, 384_001)
BLOCK = 2**18  # samples of all channels decoded at a time
STREAM_BYTES = 512 * 2**20  # the most that is read from a file that cannot seek
UNKNOWN = 2**62  # as many frames or more: the header does not say how many
PLACEHOLDER = 2**31 - 2**16  # a wav written to a pipe claims about 2 or 4 GiB
MP3_FRAME = 1152  # samples; encoders miscount by less
OGG_PAGE = 65_307  # the longest Ogg page (RFC 3533 section 6)

Floats = npt.NDArray[np.float32]


class SoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A file read from front to back."""

    def seekable(self) -> bool:
        """Stop soundfile from seeking after each read: a flac of unknown length cannot."""
        return False


def read(source: str | os.PathLike[str] | BinaryIO | bytes, *, max_s: float = 3600.0) -> Pcm:
    """Decode a path, an open binary file or bytes, of at most `max_s` seconds."""
    if isinstance(source, bytes):
        return decode(BytesIO(source), max_s)
    if not isinstance(source, str | os.PathLike):
        return decode(seekable(source), max_s)
    try:
        with Path(source).open("rb") as file:
            return decode(seekable(file), max_s)
    except (OSError, ValueError) as error:  # ValueError: a null byte in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise AudioError(f"cannot read {os.fspath(source)!r}: {reason}") from error


def decode(file: BinaryIO, max_s: float) -> Pcm:
    """Decode an open, seekable file."""
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    if size == 0:
        raise AudioError("the file is empty (0 bytes)")
    try:
        with SoundFile(file) as sound:
            total = check_header(sound, file, max_s)
            check_whole(sound, file, size)
            samples = resample(blocks(sound, max_s, total), sound.samplerate)
            # Without a length libsndfile takes an mp3 to be as long as its first frame suggests.
            if sound.format == "MP3" and not total and size - file.tell() > max(2**14, size // 20):
                raise AudioError("a variable-rate mp3 without a Xing header: convert it to wav")
            return samples
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip().rstrip(".")
        raise AudioError(f"not a wav, flac, mp3 or ogg file that can be read: {reason}") from error


def seekable(file: BinaryIO) -> BinaryIO:
    """Read a pipe into memory; the decoder must be able to seek."""
    if file.seekable():
        return file
    data = file.read(STREAM_BYTES + 1)
    if len(data) > STREAM_BYTES:
        raise AudioError(f"more than {STREAM_BYTES >> 20} MiB from a file that cannot seek")
    return BytesIO(data)


def check_header(sound: SoundFile, file: BinaryIO, max_s: float) -> int | None:
    """Refuse what the header alone rules out; return the frames it promises, if it does."""
    if sound.format not in FORMATS:
        raise AudioError(f"{sound.format} is not one of wav, flac, mp3 and ogg")
    if sound.samplerate not in RATES:
        raise AudioError(f"a rate of {sound.samplerate} Hz is not one of speech")
    if sound.frames >= UNKNOWN or (sound.format == "MP3" and not tells_length(file)):
        return None
    check_duration(sound.frames / sound.samplerate, max_s)
    return int(sound.frames)


def tells_length(mp3: BinaryIO) -> bool:
    """Tell whether the first frame of an mp3 is one that counts the others."""
    here = mp3.tell()
    mp3.seek(0)
    head = mp3.read(10)
    if head[:3] == b"ID3":  # ID3v2 section 3.1: a size of four times 7 bits
        mp3.seek(10 + sum((byte & 0x7F) << 7 * (3 - i) for i, byte in enumerate(head[6:10])))
        head = b""
    head += mp3.read(64)
    mp3.seek(here)
    return any(mark in head for mark in (b"Xing", b"Info", b"VBRI"))


def check_duration(seconds: float, max_s: float) -> None:
    """Refuse what is too long."""
    if seconds > max_s:
        raise AudioError(f"the audio lasts {seconds:.0f} s or more; at most {max_s:.0f} s are read")


def check_whole(sound: SoundFile, file: BinaryIO, size: int) -> None:
    """Refuse a file that ends before its own header or pages say so.

    libsndfile repairs a wav in silence and only logs it; an Ogg stream marks its last page.
    """
    mended = re.search(r"^data : (\d+) \(should be (\d+)\)", sound.extra_info, re.MULTILINE)
    if mended and int(mended[2]) < int(mended[1]) < PLACEHOLDER:
        raise AudioError(f"the file is cut off: {mended[2]} of {mended[1]} bytes of audio are left")
    if sound.format == "OGG":
        here = file.tell()
        file.seek(max(0, size - OGG_PAGE))
        if not ends_ogg(file.read()):
            raise AudioError("the file is cut off: its last page does not end the Ogg stream")
        file.seek(here)


def ends_ogg(tail: bytes) -> bool:
    """Tell whether the last page is complete and marked as the last (RFC 3533 section 6)."""
    page = tail[max(0, tail.rfind(b"OggS")) :]
    if len(page) < 27 or not page[5] & 4:
        return False
    lacing = page[27 : 27 + page[26]]
    return len(lacing) == page[26] and len(page) >= 27 + page[26] + sum(lacing)


def blocks(sound: SoundFile, max_s: float, total: int | None) -> Iterator[Floats]:
    """Decode block after block, mixed down to mono; full scale is +-1."""
    frames = 0
    while (block := sound.read(BLOCK // sound.channels, "float32", always_2d=True)).size:
        if not np.isfinite(block).all():
            at = frames + int(np.flatnonzero(~np.isfinite(block).all(axis=1))[0])
            raise AudioError(f"sample {at} is not a finite number: the file is damaged")
        frames += len(block)
        check_duration(frames / sound.samplerate, max_s)
        yield block.mean(axis=1, dtype=np.float32)
    if total and frames < total - MP3_FRAME:
        raise AudioError(f"the file is cut off: {frames} of {total} samples are left")


def resample(blocks: Iterator[Floats], rate: int) -> Pcm:
    """Join blocks at 16 kHz, rounded and clipped."""
    parts: list[Pcm] = []
    if rate == SAMPLE_RATE:
        parts = [from_float(block) for block in blocks]
    else:
        stream = soxr.ResampleStream(rate, SAMPLE_RATE, 1, dtype="float32", quality="HQ")
        parts = [from_float(stream.resample_chunk(block)) for block in blocks]
        parts.append(from_float(stream.resample_chunk(np.empty(0, np.float32), last=True)))
    samples = np.concatenate(parts) if parts else np.empty(0, np.int16)
    if not samples.size:
        raise AudioError("the file holds no audio")
    return samples
