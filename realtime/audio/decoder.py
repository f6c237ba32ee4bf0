"""Decode containers in a process of its own.

Rule: whatever FFmpeg and PyAV do over a file, it is this file alone that cannot be read. Files are
known that end the process: PyAV 17.1 to 18.1 frees twice an order of channels that has no name.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from io import BufferedReader, FileIO
from typing import BinaryIO

from realtime import interpreter
from realtime.audio.containers import REFUSED
from realtime.audio.pcm import Pcm, from_bytes
from realtime.errors import AudioError

PATIENCE_S = 600.0
"""Seconds that the child may take; an hour of audio takes some ten."""


def decode_container(file: BinaryIO, max_s: float) -> Pcm:
    """Decode an open, seekable file; raise AudioError where it is not audio, or not whole."""
    if isinstance(file, BufferedReader) and isinstance(file.raw, FileIO):
        return decode_apart(file, max_s)
    with tempfile.TemporaryFile() as copy:  # others have no descriptor, or that of packed bytes
        file.seek(0)
        shutil.copyfileobj(file, copy)
        copy.flush()
        return decode_apart(copy, max_s)


def decode_apart(file: BinaryIO, max_s: float) -> Pcm:
    """Let a child read a file of the system."""
    os.lseek(file.fileno(), 0, os.SEEK_SET)
    try:
        child = subprocess.run(
            interpreter.command("realtime.audio.containers", str(max_s)),
            stdin=file,
            capture_output=True,
            env=os.environ | {"PYTHONPATH": interpreter.import_path()},
            check=False,
            timeout=PATIENCE_S,
        )
    except subprocess.TimeoutExpired as error:
        raise AudioError(f"the file is not decoded within {PATIENCE_S:.0f} s") from error
    if child.returncode == REFUSED:
        raise AudioError(child.stderr.decode(errors="replace"))
    if child.returncode:
        raise AudioError("the file is damaged, or of a kind that FFmpeg fails over")
    return from_bytes(child.stdout)
