"""Measure voice activity on noise and on speech: ours beside webrtcvad alone.

Prints one JSON line: per signal of 20 s the share of frames called speech in percent (ours,
webrtcvad modes 0 to 3) and the utterances that the endpointer makes of it; for clean speech
also the share kept of the frames within 30 dB of the loudest (`loud`) and of those that
webrtcvad mode 1 calls speech (`webrtc1`); CPU milliseconds per second of audio. Frames that
our detector dates back when it recognises a voice count as called speech.

The speech is the human recordings in ../shared/data/human (or REALTIME_HUMAN_SPEECH);
without them only noise is measured.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from realtime.audio import files
from realtime.audio.endpoint import EndpointConfig, Endpointer, Started
from realtime.audio.pcm import FRAME, SAMPLE_RATE, Pcm, from_float
from realtime.audio.vad import SpeechDetector, Vad, WebRtcVad

SECONDS = 20
SAMPLES = SECONDS * SAMPLE_RATE
HUMAN = Path(__file__).parents[2] / "shared" / "data" / "human"

Signal = npt.NDArray[np.float64]
Mask = npt.NDArray[np.bool_]


def decibels(level: float) -> float:
    """Convert dB to an amplitude ratio."""
    return float(10 ** (level / 20))


def coloured(rng: np.random.Generator, exponent: float, level: float) -> Signal:
    """Make noise whose power falls with frequency to the exponent, at a level in dBFS (RMS)."""
    spectrum = np.fft.rfft(rng.standard_normal(SAMPLES))
    hertz = np.maximum(np.arange(spectrum.size) / SECONDS, 20)
    noise: Signal = np.fft.irfft(spectrum / hertz ** (exponent / 2), SAMPLES)
    noise *= decibels(level) / noise.std()
    return noise


def tones(rng: np.random.Generator, partials: dict[float, float]) -> Signal:
    """Add sines (frequency in Hz: amplitude) of random phase."""
    t = np.arange(SAMPLES) / SAMPLE_RATE
    parts = [a * np.sin(2 * np.pi * f * t + rng.uniform(0, 7)) for f, a in partials.items()]
    total: Signal = np.sum(parts, axis=0)
    return total


def clicks(rng: np.random.Generator, per_second: float) -> Signal:
    """Make key clicks: bursts of noise that die within 10 ms, at random moments."""
    hits = (rng.random(SAMPLES) < per_second / SAMPLE_RATE).astype(float)
    burst = np.exp(-np.arange(400) / 60) * rng.standard_normal(400) * 0.4
    return np.convolve(hits, burst)[:SAMPLES] + coloured(rng, 0, -70)


def struck(rng: np.random.Generator, per_second: float, partials: int) -> Signal:
    """Strike something every now and then: harmonics of a random pitch that die away."""
    signal = coloured(rng, 0, -70)
    for at in rng.integers(0, SAMPLES - SAMPLE_RATE, int(SECONDS * per_second)):
        t = np.arange(SAMPLE_RATE) / SAMPLE_RATE
        pitch = rng.uniform(50, 200) if partials == 1 else 220 * 2 ** (rng.integers(13) / 12)
        parts = [np.sin(2 * np.pi * pitch * k * t) / k for k in range(1, partials + 1)]
        decay = np.exp(-t / rng.uniform(0.01, 0.04) if partials == 1 else -t / 0.2)
        signal[at : at + t.size] += rng.uniform(0.1, 0.4) * decay * np.sum(parts, axis=0)
    return signal


def wobble(hertz: float, depth: float) -> Signal:
    """Make an envelope between 1 - depth and 1."""
    t = np.arange(SAMPLES) / SAMPLE_RATE
    swing: Signal = 1 - depth / 2 + depth / 2 * np.sin(2 * np.pi * hertz * t)
    return swing


def gate(period: float, on: float) -> Signal:
    """Make an envelope that is 1 for `on` seconds of every `period`, else 0."""
    return ((np.arange(SAMPLES) / SAMPLE_RATE) % period < on).astype(float)


def mains(hertz: float) -> dict[float, float]:
    """List the first seven harmonics of a hum."""
    return {k * hertz: 0.05 / k for k in range(1, 8)}


CHORD = {440.0: 0.1, 554.0: 0.1, 659.0: 0.1}
Maker = Callable[[np.random.Generator], Signal]
NOISES: dict[str, Maker] = {
    "digital silence": lambda rng: np.zeros(SAMPLES),
    "silence -70 dBFS": lambda rng: coloured(rng, 0, -70),
    "white -40 dBFS": lambda rng: coloured(rng, 0, -40),
    "white -26 dBFS": lambda rng: coloured(rng, 0, -26),
    "white bursts": lambda rng: coloured(rng, 0, -26) * gate(2, 1) + coloured(rng, 0, -70),
    "pink -40 dBFS": lambda rng: coloured(rng, 1, -40),
    "pink -30 dBFS": lambda rng: coloured(rng, 1, -30),
    "brown -30 dBFS": lambda rng: coloured(rng, 2, -30),
    "hum 50 Hz": lambda rng: tones(rng, mains(50)),
    "hum 60 Hz": lambda rng: tones(rng, mains(60)),
    "hum 120 Hz": lambda rng: tones(rng, mains(120)),
    "hum in white": lambda rng: tones(rng, mains(50)) + coloured(rng, 0, -45),
    "key clicks 4/s": lambda rng: clicks(rng, 4),
    "key clicks 8/s": lambda rng: clicks(rng, 8),
    "chord": lambda rng: tones(rng, CHORD),
    "chord swelling": lambda rng: tones(rng, CHORD) * wobble(2, 1),
    "chord struck": lambda rng: tones(rng, CHORD) * gate(1.5, 0.8) + coloured(rng, 0, -70),
    "dial tone": lambda rng: tones(rng, {350.0: 0.1, 440.0: 0.1}),
    "ringing": lambda rng: tones(rng, {440.0: 0.1, 480.0: 0.1}) * gate(6, 2),
    "beeps": lambda rng: tones(rng, {1000.0: 0.2}) * gate(1, 0.3),
}
# What is still taken for a voice at times: it is periodic and its timbre moves.
HARD: dict[str, Maker] = {
    "thumps 1/s": lambda rng: struck(rng, 1, 1),
    "melody": lambda rng: struck(rng, 3, 6),
}


def scored(vad: Vad, samples: Pcm) -> Mask:
    """Run a model over the samples and mark the frames that it calls speech."""
    called = np.zeros(samples.size // FRAME, bool)
    for i in range(called.size):
        count = int(vad(samples[i * FRAME : (i + 1) * FRAME]))
        called[max(0, i + 1 - count) : i + 1] = True
    return called


def loud(samples: Pcm) -> Mask:
    """Mark the frames within 30 dB of the loudest (95th percentile)."""
    frames = samples[: samples.size // FRAME * FRAME].reshape(-1, FRAME).astype(float)
    level = 10 * np.log10((frames**2).mean(axis=1) + 1)
    mask: Mask = level > np.percentile(level, 95) - 30
    return mask


def utterances(samples: Pcm) -> int:
    """Count how often the endpointer starts."""
    events = Endpointer(SpeechDetector(), EndpointConfig()).push(samples)
    return sum(isinstance(event, Started) for event in events)


def measured(samples: Pcm) -> dict[str, float]:
    """Measure the share of frames called speech, in percent, and the utterances."""
    shares = {f"webrtc{mode}": scored(WebRtcVad(mode), samples).mean() for mode in range(4)}
    shares = {"ours": scored(SpeechDetector(), samples).mean(), **shares}
    percent = {name: round(100 * float(share), 2) for name, share in shares.items()}
    return {**percent, "utterances": utterances(samples)}


def human_speech() -> Pcm | None:
    """Read the human recordings, one after the other, at a peak of 0.7."""
    folder = Path(os.environ.get("REALTIME_HUMAN_SPEECH", HUMAN))
    clips = [files.read(path) for path in sorted(folder.glob("*.wav"))]
    if not clips:
        return None
    speech = np.concatenate(clips).astype(float)
    return from_float(speech * 0.7 / np.abs(speech).max())


def noisy(samples: Pcm, rng: np.random.Generator, snr: float) -> Pcm:
    """Add white noise at a signal-to-noise ratio in dB."""
    speech = samples / 32768
    noise = rng.standard_normal(speech.size) * np.sqrt((speech**2).mean()) * decibels(-snr)
    return from_float(speech + noise)


def babble(samples: Pcm, rng: np.random.Generator) -> Pcm:
    """Mix eight voices at -30 dBFS."""
    voices = [np.roll(np.resize(samples / 32768, SAMPLES), rng.integers(SAMPLES)) for _ in range(8)]
    mixed = np.sum(voices, axis=0)
    return from_float(mixed / np.sqrt((mixed**2).mean()) * decibels(-30))


def cost(vad: Vad, samples: Pcm) -> float:
    """Measure CPU milliseconds per second of audio, the best of three runs."""
    best = float("inf")
    for _ in range(3):
        begin = time.process_time()
        scored(vad, samples)
        best = min(best, time.process_time() - begin)
    return round(1000 * best * SAMPLE_RATE / samples.size, 3)


def main() -> None:
    """Measure everything and print it."""
    rng = np.random.default_rng(0)
    signals = {name: from_float(make(rng)) for name, make in (NOISES | HARD).items()}
    result: dict[str, object] = {name: measured(samples) for name, samples in signals.items()}
    timed = {"silence": signals["silence -70 dBFS"], "white": signals["white -26 dBFS"]}
    speech = human_speech()
    if speech is None:
        print("no human recordings: only noise is measured", file=sys.stderr)
    else:
        ours = scored(SpeechDetector(), speech)
        kept = {"loud": loud(speech), "webrtc1": scored(WebRtcVad(1), speech)}
        shares = {name: round(100 * float(ours[mask].mean()), 2) for name, mask in kept.items()}
        result["speech clean"] = {**measured(speech), "kept": shares}
        result["speech in white, 10 dB"] = measured(noisy(speech, rng, 10))
        result["speech in white, 5 dB"] = measured(noisy(speech, rng, 5))
        result["babble of 8, -30 dBFS"] = measured(babble(speech, rng))
        timed["speech"] = speech
    result["cpu ms per s"] = {
        name: {"ours": cost(SpeechDetector(), s), "webrtc1": cost(WebRtcVad(1), s)}
        for name, s in timed.items()
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
