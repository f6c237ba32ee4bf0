"""What happens to a voice between a mouth and the model, and the log-mel spectrogram at the end.

Two places: the waveform (tempo, rooms, gain, noise, telephone, int16) and the power spectrum, where
shifting formants and colouring the channel cost next to nothing.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import soxr
import torch
from torch import Tensor
from transformers import WhisperFeatureExtractor

from .sounds import coloured_noise
from .voices import RATE, Pcm

Wave = npt.NDArray[np.float32]
Generator = np.random.Generator
HOP, WINDOW, MEL_BINS = 160, 400, 128
SPECTRUM = WINDOW // 2 + 1
# Frames of silence kept behind a clip: two for the spectrogram's window, two for the convolutions.
CONTEXT = 4
WARPS = np.exp(np.linspace(-0.24, 0.24, 25))


@dataclass(frozen=True, slots=True)
class Channel:
    """What is done to one clip in the spectrum: a formant shift and a gain per frequency."""

    warp: int = 12  # index into WARPS; 12 is none
    gain: npt.NDArray[np.float32] | None = None  # [SPECTRUM], power


def mel_frames(samples: int) -> int:
    """Return the number of valid mel frames of a clip."""
    return -(-samples // HOP)


def audio_tokens(samples: int) -> int:
    """Return the number of <|AUDIO|> tokens of a clip."""
    return ((mel_frames(samples) - 1) // 2 - 1) // 2 + 1


@functools.cache
def filters() -> Tensor:
    """Return the mel filterbank for every formant warp: [warp, mel, spectrum]."""
    extractor: Any = WhisperFeatureExtractor
    base = extractor(feature_size=MEL_BINS).mel_filters  # [spectrum, mel]
    bins = np.arange(SPECTRUM)
    banks = []
    for warp in WARPS:
        # Energy found at frequency f is counted at f * warp: read the filters at the new place.
        places = bins * warp
        bank = np.stack([np.interp(places, bins, base[:, m], right=0.0) for m in range(MEL_BINS)])
        banks.append(bank)
    banks[12] = base.T
    return torch.from_numpy(np.stack(banks)).float()


def log_mel(
    waves: list[Wave], channels: list[Channel] | None = None, frames: int | None = None
) -> Tensor:
    """Turn clips into log-mel frames as the feature extractor does: [clips, mel, frames]."""
    frames = frames or max(mel_frames(len(w)) for w in waves) + CONTEXT
    padded = torch.zeros(len(waves), frames * HOP)
    for row, wave in zip(padded, waves, strict=True):
        row[: len(wave)] = torch.from_numpy(wave)
    window = torch.hann_window(WINDOW)
    spectrum = torch.stft(padded, WINDOW, HOP, window=window, return_complex=True)
    power = spectrum[..., :-1].abs() ** 2
    channels = channels or [Channel()] * len(waves)
    for i, channel in enumerate(channels):
        if channel.gain is not None:
            power[i] *= torch.from_numpy(channel.gain)[:, None]
    bank = filters()[torch.tensor([c.warp for c in channels])]
    mel = torch.clamp(bank @ power, min=1e-10).log10()
    mel = torch.maximum(mel, mel.amax((1, 2), keepdim=True) - 8.0)
    return (mel + 4.0) / 4.0


@functools.cache
def rooms() -> list[Wave]:
    """Return synthetic room responses: a direct sound and a decaying tail of noise."""
    rng = np.random.default_rng(7)
    responses = []
    for _ in range(64):
        time = rng.uniform(0.05, 0.4)
        n = int(time * RATE)
        tail = rng.standard_normal(n) * 10 ** (-3 * np.arange(n) / n)
        tail *= rng.uniform(0.1, 0.7) / np.sqrt((tail**2).sum())
        tail[: int(rng.uniform(0.001, 0.01) * RATE)] = 0
        tail[0] = 1
        responses.append(tail.astype(np.float32))
    return responses


@functools.cache
def noises() -> list[Wave]:
    """Return half a minute of each of several colours of noise, at unit root mean square."""
    rng = np.random.default_rng(8)
    made = [coloured_noise(rng, 30 * RATE, slope) for slope in (0, 0, 0.2, 0.5, 0.8)]
    return [wave / np.sqrt((wave**2).mean()) for wave in made]


def add_room(wave: Wave, rng: Generator) -> Wave:
    """Put a clip into a room."""
    response = rooms()[rng.integers(64)]
    size = 1 << (len(wave) + len(response) - 1).bit_length()
    product = np.fft.rfft(wave, size) * np.fft.rfft(response, size)
    return np.fft.irfft(product, size)[: len(wave)].astype(np.float32)


def add_noise(wave: Wave, level: float, rng: Generator) -> Wave:
    """Add coloured noise of a level in dB below full scale."""
    noise = noises()[rng.integers(5)]
    start = rng.integers(0, len(noise) - min(len(wave), len(noise)) + 1)
    return wave + 10 ** (level / 20) * np.resize(noise[start:], len(wave))


def telephone(wave: Wave) -> Wave:
    """Send a clip through an 8 kHz G.711 mu-law line and back."""
    narrow = soxr.resample(wave, RATE, 8000).clip(-1, 1)
    squeezed = np.sign(narrow) * np.log1p(255 * np.abs(narrow)) / np.log(256)
    squeezed = np.round(squeezed * 127) / 127
    expanded = np.sign(squeezed) * np.expm1(np.abs(squeezed) * np.log(256)) / 255
    return np.asarray(soxr.resample(expanded, 8000, RATE), np.float32)


def quantise(wave: Wave) -> Wave:
    """Round to int16, as everything that reaches the model was."""
    return (np.round(wave * 32767).clip(-32768, 32767) / 32768).astype(np.float32)


def place(pcm: Pcm | Wave, lead: int, tail: int) -> Wave:
    """Return a clip as floats with silence before and after, in samples."""
    wave = pcm.astype(np.float32) / 32768 if pcm.dtype == np.int16 else pcm
    return np.pad(wave, (lead, tail)).astype(np.float32)


def disturb(pcm: Pcm | Wave, rng: Generator, keep_voice: bool = False) -> Wave:
    """Change a clip's tempo, room, level, noise and line at random.

    `keep_voice` spares what tells speakers apart.
    """
    wave: Wave = np.asarray(pcm.astype(np.float32) / 32768 if pcm.dtype == np.int16 else pcm)
    if rng.random() < 0.6:
        spread = 0.04 if keep_voice else 0.14
        rate = rng.uniform(1 - spread, 1 + spread)
        wave = soxr.resample(wave, RATE, RATE * rate, quality="LQ")
    wave = wave * 10 ** (rng.uniform(-18, 4) / 20)
    # The endpointer keeps about 300 ms before the speech and 200 ms after it.
    lead, tail = rng.normal(0.2, 0.13), rng.normal(0.12, 0.12)
    wave = place(wave, int(np.clip(lead, 0, 0.5) * RATE), int(np.clip(tail, 0, 0.5) * RATE))
    if rng.random() < 0.2:
        wave = add_room(wave, rng)
    if rng.random() < 0.8:
        wave = add_noise(wave, rng.uniform(-80, -32), rng)
    if rng.random() < 0.1:
        wave = telephone(wave)
    return quantise(wave)


def draw_channel(rng: Generator, keep_voice: bool = False, warp: float | None = None) -> Channel:
    """Draw a formant shift, a smooth equaliser curve and sometimes the band of a telephone."""
    if warp is None:
        warp = rng.uniform(-0.03, 0.03) if keep_voice else rng.uniform(-0.2, 0.22)
        warp = warp if rng.random() < 0.7 else 0.0
    index = int(np.abs(np.log(WARPS) - warp).argmin())
    decibels = np.zeros(SPECTRUM)
    if rng.random() < 0.6:
        knots = np.cumsum(rng.normal(0, 4, 6))
        decibels += np.interp(
            np.arange(SPECTRUM), np.linspace(0, SPECTRUM, 6), knots - knots.mean()
        )
    if rng.random() < 0.1:
        cut = rng.uniform(3200, 5500) / RATE * WINDOW
        decibels[int(cut) :] -= 60
    return Channel(index, (10 ** (decibels / 10)).astype(np.float32))


def mask_spectrogram(mel: Tensor, frames: int, rng: Generator) -> None:
    """Blank up to two bands and two moments of one spectrogram [mel, frames] in place."""
    fill = float(mel[:, :frames].mean())
    for _ in range(int(rng.integers(0, 3))):
        width = int(rng.integers(1, 17))
        start = int(rng.integers(0, MEL_BINS - width))
        mel[start : start + width, :frames] = fill
    for _ in range(int(rng.integers(0, 3))):
        width = int(rng.integers(1, 10))
        start = int(rng.integers(0, max(1, frames - width)))
        mel[:, start : start + width] = fill
