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

SHORTEST = SAMPLE_RATE // 10
"""Samples; shorter recordings have next to no tokens, and the model invents what it heard."""
LONGEST = SAMPLE_RATE * 30
"""Samples of one clip: the encoder's window."""
SHORTEST_REST = SAMPLE_RATE
"""Samples that a recording's last clip has at least; the one before it gives them up."""


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
            if not template and len(pcm) > LONGEST:
                raise AudioError(
                    f"{part.name} lasts {len(pcm) / SAMPLE_RATE:.1f} s; "
                    "in a prompt a recording has at most 30 s"
                )
            parts += clips(pcm)
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


def clips(pcm: Pcm) -> list[Clip]:
    """Cut a recording into clips that the encoder takes; nothing is lost."""
    cut: list[Clip] = []
    while len(pcm) > LONGEST:
        size = min(LONGEST, len(pcm) - SHORTEST_REST)
        cut.append(named(pcm[:size]))
        pcm = pcm[size:]
    return [*cut, named(pcm)]


def named(pcm: Pcm) -> Clip:
    """Name samples by what they are, so that recordings asked about twice are encoded once."""
    return Clip(hashlib.blake2b(pcm.tobytes(), digest_size=16).hexdigest(), pcm)
