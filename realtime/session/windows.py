"""Recordings of any length cut into windows: parts that the model's encoder can hear."""

from __future__ import annotations

from collections.abc import Iterator

from realtime.audio.pcm import SAMPLE_RATE, Pcm

WINDOW = 30 * SAMPLE_RATE
"""Samples that the encoder hears at once, the most that a clip may have."""
STEP = SAMPLE_RATE // 10
"""All windows of a recording but the last are a multiple of it: 100 ms."""


def windows(pcm: Pcm) -> Iterator[Pcm]:
    """Cut a recording into as few windows as hold it, of the same length but for the last.

    None is much shorter than the others: of a word or two alone the model makes up the rest.
    """
    count = max(1, -(-len(pcm) // WINDOW))
    length = max(STEP, -(-len(pcm) // count // STEP) * STEP)
    yield from (pcm[at : at + length] for at in range(0, len(pcm), length))
