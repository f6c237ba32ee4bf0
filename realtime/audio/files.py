"""Decode sound files of any common kind, at any rate, to 16 kHz mono.

libsndfile reads wav, flac and ogg, FFmpeg everything else and what libsndfile does not read to its
end. What cannot be decoded whole is an error that says why; nothing is cut in silence.
"""

from __future__ import annotations

import os
import re
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import soundfile

from realtime.audio import ogg
from realtime.audio.decoder import decode_container
from realtime.audio.mixdown import Mixdown, check_duration, check_rate
from realtime.audio.pcm import Pcm
from realtime.errors import AudioError

FORMATS = frozenset({"WAV", "WAVEX", "FLAC", "OGG"})
MARKS = (b"RIFF", b"fLaC", b"OggS")
"""How files of these formats begin."""
BLOCK = 2**18  # samples of all channels decoded at a time
STREAM_BYTES = 512 * 2**20  # the most that is read from a file that cannot seek
UNKNOWN = 2**62  # as many frames or more: the header does not say how many
PLACEHOLDER = 2**31 - 2**16  # a wav written to a pipe claims about 2 or 4 GiB
HEADERS = 512  # bytes that writers count as audio by mistake: what stands before it


class SoundFile(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """A file read from front to back."""

    def seekable(self) -> bool:
        """Stop soundfile from seeking after each read: a flac of unknown length cannot."""
        return False


class Unfinished(Exception):
    """There is more in the file than libsndfile reads."""


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


def seekable(file: BinaryIO) -> BinaryIO:
    """Read a pipe into memory; the decoder must be able to seek."""
    if file.seekable():
        return file
    data = file.read(STREAM_BYTES + 1)
    if len(data) > STREAM_BYTES:
        raise AudioError(f"more than {STREAM_BYTES >> 20} MiB from a file that cannot seek")
    return BytesIO(data)


def decode(file: BinaryIO, max_s: float) -> Pcm:
    """Decode an open, seekable file."""
    if file.seek(0, os.SEEK_END) == 0:
        raise AudioError("the file is empty (0 bytes)")
    file.seek(0)
    if file.read(4) in MARKS:
        try:
            return decode_plain(file, max_s)
        except Unfinished:
            pass
    return decode_container(file, max_s)


def decode_plain(file: BinaryIO, max_s: float) -> Pcm:
    """Decode with libsndfile; raise Unfinished where it cannot, or not to the end."""
    check_joints(file)
    file.seek(0)
    try:
        sound = SoundFile(file)
    except soundfile.LibsndfileError as error:
        raise Unfinished from error
    with sound:
        if sound.format not in FORMATS or sound.subtype == "MPEG_LAYER_III" or not sound.frames:
            raise Unfinished
        check_whole(sound)
        try:
            return read_sound(sound, max_s)
        except soundfile.LibsndfileError as error:
            reason = error.error_string.strip().rstrip(".")
            raise AudioError(f"not a wav, flac or other file that can be read: {reason}") from error


def check_joints(file: BinaryIO) -> None:
    """See to files that are several in one, of which libsndfile reads the first."""
    file.seek(0)
    head = file.read(12)
    if head.startswith(b"OggS"):
        ogg.check_end(file)
        if ogg.joined(file):
            raise Unfinished
    if is_wav(head):
        file.seek(8 + int.from_bytes(head[4:8], "little"))
        if is_wav(file.read(12)):  # no decoder goes on
            raise AudioError("several wav files in one, of which only the first would be heard")


def is_wav(head: bytes) -> bool:
    """Tell whether a wav begins like this."""
    return head.startswith(b"RIFF") and head.endswith(b"WAVE")


def read_sound(sound: SoundFile, max_s: float) -> Pcm:
    """Read to the end, and see that this is the end which the header promises."""
    check_rate(sound.samplerate)
    total = None if sound.frames >= UNKNOWN else int(sound.frames)
    if total:
        check_duration(total / sound.samplerate, max_s)
    mixdown = Mixdown(max_s)
    while len(block := sound.read(BLOCK // sound.channels, "float32", always_2d=True)):
        mixdown.push(block, sound.samplerate)
    if total and mixdown.samples < total:
        raise AudioError(f"the file is cut off: {mixdown.samples} of {total} samples are left")
    return mixdown.finish()


def check_whole(sound: SoundFile) -> None:
    """Refuse a wav that ends before its own header says so; libsndfile repairs it in silence."""
    mended = re.search(r"^data : (\d+) \(should be (\d+)\)", sound.extra_info, re.MULTILINE)
    if mended and int(mended[2]) + HEADERS < int(mended[1]) < PLACEHOLDER:
        raise AudioError(f"the file is cut off: {mended[2]} of {mended[1]} bytes of audio are left")
