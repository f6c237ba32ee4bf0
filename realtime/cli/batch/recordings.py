"""Recordings of a manifest as the model's clips."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import dataclass, field
from pathlib import Path

from realtime.audio.files import read
from realtime.audio.pcm import SAMPLE_RATE, Pcm
from realtime.cli.batch.manifest import Question, Recording
from realtime.cli.shared.download import download, is_url
from realtime.engine.api import Clip, UserTurn
from realtime.errors import AudioError
from realtime.session.windows import WINDOW, windows

SHORTEST = SAMPLE_RATE // 10
"""Samples; shorter recordings have next to no tokens, and the model invents what it heard."""


@dataclass(frozen=True, slots=True)
class Recordings:
    """Reads recordings, from anywhere; blocks, so it is used in threads."""

    folder: Path
    """What paths are relative to."""
    max_s: float
    """Seconds that are read at most: the model's context has no room for more."""
    closed: threading.Event = field(default_factory=threading.Event)
    """Set when nobody waits any more: a download then breaks off."""

    def turn(self, question: Question, *, template: bool) -> UserTurn:
        """Give a user turn with its recordings as clips; raise AudioError naming the recording."""
        parts: list[Clip | str] = []
        for part in question:
            if isinstance(part, str):
                parts.append(part)
                continue
            pcm = self.pcm(part)
            if not template and len(pcm) > WINDOW:
                raise AudioError(
                    f"{part.name} lasts {len(pcm) / SAMPLE_RATE:.1f} s; "
                    "in a prompt a recording has at most 30 s"
                )
            parts += map(named, windows(pcm))
        return UserTurn(tuple(parts))

    def pcm(self, recording: Recording) -> Pcm:
        """Read a recording."""
        name = recording.name
        try:
            source = self.fetch(name) if is_url(name) else self.folder / name
            pcm = read(source, max_s=self.max_s)
        except AudioError as error:
            prefix = "" if name in str(error) else f"{name}: "
            raise AudioError(f"{prefix}{error}") from None
        if len(pcm) < SHORTEST:
            raise AudioError(f"{name} lasts {1000 * len(pcm) // SAMPLE_RATE} ms; 100 ms are needed")
        return pcm

    def fetch(self, url: str) -> bytes:
        """Download a recording."""

        def progress(done: int, of: int | None) -> None:
            if self.closed.is_set():
                raise AudioError("nobody waits for it any more")

        return download(url, progress=progress)


def named(pcm: Pcm) -> Clip:
    """Name samples by what they are, so that recordings asked about twice are encoded once."""
    return Clip(hashlib.blake2b(pcm.tobytes(), digest_size=16).hexdigest(), pcm)
