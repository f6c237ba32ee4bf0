"""How many tokens audio takes: the one count of the gateway's estimate, the prompt and the encoder.

The log-mel has a frame each 10 ms; the encoder's second convolution and its pooling halve twice.
"""

from __future__ import annotations

from realtime.audio.pcm import SAMPLE_RATE

HOP = SAMPLE_RATE // 100
"""Samples from one mel frame to the next."""


def mel_frames(samples: int, hop: int = HOP) -> int:
    """Count the mel frames that audio of so many samples fills."""
    return -(-samples // hop)


def audio_positions(frames: int) -> int:
    """Count the encoder's positions for so many mel frames (conv2 has stride 2)."""
    return (frames - 1) // 2 + 1


def audio_tokens(samples: int, hop: int = HOP) -> int:
    """Count the <|AUDIO|> tokens of a clip: 25 a second."""
    return audio_positions(mel_frames(samples, hop)) // 2
