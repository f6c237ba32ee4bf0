"""Voice activity: the models that score a frame; the policy over them is in `endpoint`."""

from __future__ import annotations

from typing import Protocol

from realtime.audio.pcm import Pcm


class Vad(Protocol):
    """Score one 20 ms frame after the other."""

    def __call__(self, frame: Pcm) -> bool:
        """Tell whether these 320 samples are speech."""

    def reset(self) -> None:
        """Forget everything heard."""
