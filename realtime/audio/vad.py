"""Voice activity: the models that score a frame; the policy over them is in `endpoint`.

webrtcvad hears speech in hum, music, clicks and steady noise. `SpeechDetector` believes it
only near frames that a voice alone produces: louder than the noise floor, periodic like a
glottis, and changing in timbre within a tenth of a second.
"""

from __future__ import annotations

from collections import deque
from typing import Protocol

import numpy as np
import numpy.typing as npt
import webrtcvad

from realtime.audio.pcm import FRAME, SAMPLE_RATE, Pcm

Floats = npt.NDArray[np.float32]

LOW_RATE = 4_000  # pitch and first formant lie below 1 kHz: four samples are averaged into one
LOW_FRAME = FRAME * LOW_RATE // SAMPLE_RATE  # 80 samples
WINDOW = 3 * LOW_FRAME  # 60 ms: four periods of the deepest voice
BINS = 256
BAND = np.arange(6, 65)  # bins of 15.6 Hz: above 80 Hz, to 1 kHz
LAGS = np.arange(10, 58)  # samples: pitch from 400 down to 70 Hz
QUARTER = np.full(SAMPLE_RATE // LOW_RATE, LOW_RATE / SAMPLE_RATE, np.float32)


def fourier() -> Floats:
    """Compute the matrix of a Hann-windowed transform: [real of BAND, imaginary of BAND].

    For so few bins a matrix takes a third of the time of an FFT. Power is weighted by
    frequency: rumble, wind and other noise that falls with frequency counts less.
    """
    angles = 2 * np.pi / BINS * np.outer(BAND, np.arange(WINDOW))
    weights = np.sqrt(BAND * (LOW_RATE / BINS / 500))[:, None] * np.hanning(WINDOW)
    return np.concatenate((np.cos(angles) * weights, np.sin(angles) * weights)).astype(np.float32)


FOURIER = fourier()
# Autocorrelation at lag 0 and at every pitch lag, from the power spectrum.
COSINES = np.cos(2 * np.pi / BINS * np.outer(np.append(0, LAGS), BAND)).astype(np.float32)

# Tuned on human and synthetic voices against the noises of scripts/bench_vad.py.
PERIODIC, NEARLY = 0.45, 0.36  # autocorrelation at the pitch lag; noise stays below 0.4
CHANGED, HARDLY = 0.90**2, 0.94**2  # likeness (cosine squared) of two spectra; a tone's is 0.98
REACH = 2  # frames between the two: 40 ms
RISE, FALL = 100.0, 0.1  # power ratio of the two: beyond are the edges of tones and thumps
HISS, HUM = 0.25, 0.63  # share of the energy below 2 kHz in a fricative, in a vowel
HISSES, HISS_FRAMES = 2, 12  # so many fricative frames among so many before a vowel: "six"
SURE, ALL = 2, 5  # sure signs of a voice, and signs in all (a sure one is two), that open
SIGN_FRAMES = 8  # the gate within so many frames
HOLD = 20  # frames that the gate stays open after a sure sign: what is unvoiced in a word
GAP, MOST_BEFORE = 4, 25  # frames: the longest gap in a sound; 500 ms that a voice may come late
ABOVE_FLOOR = 2.0  # least energy over the noise floor: 3 dB
QUIETEST = FRAME * 10.0**2  # the lowest floor, energy of a frame: -70 dBFS
BUCKET, BUCKETS = 50, 3  # frames: the floor is the quietest of the last 3 to 4 seconds


class Vad(Protocol):
    """Score one 20 ms frame after the other."""

    def __call__(self, frame: Pcm) -> int:
        """Count the frames now known to be speech: 0 if not this one, 1 (or True) if this one.

        A model that needs time to recognise a voice says more than 1 once it has: the sound
        began so many frames ago.
        """

    def reset(self) -> None:
        """Forget everything heard."""

    def demand(self, threshold: float) -> None:
        """Ask for less (0) or more (1) evidence of speech than usual (0.5)."""


class WebRtcVad:
    """The voice-activity detector of WebRTC as it is."""

    def __init__(self, aggressiveness: int = 2) -> None:
        if aggressiveness not in range(4):
            raise ValueError("aggressiveness must be 0, 1, 2 or 3")
        self.aggressiveness = aggressiveness
        self.reset()

    def __call__(self, frame: Pcm) -> bool:
        """Tell whether these 320 samples are speech."""
        return bool(self.model.is_speech(frame.tobytes(), SAMPLE_RATE))

    def reset(self) -> None:
        """Forget everything heard."""
        self.model = webrtcvad.Vad(self.aggressiveness)

    def demand(self, threshold: float) -> None:
        """Choose how aggressively what is no speech is filtered out."""
        self.aggressiveness = min(3, int(threshold * 4))
        self.model.set_mode(self.aggressiveness)


class NoiseFloor:
    """Follow the quietest frame of the last seconds."""

    def __init__(self) -> None:
        self.past = deque([QUIETEST] * BUCKETS, maxlen=BUCKETS)
        self.level = QUIETEST  # the quietest of the past
        self.least = float("inf")  # the quietest since
        self.frames = 0

    def push(self, energy: float) -> float:
        """Take the energy of one frame and return the floor."""
        self.least = min(self.least, energy)
        self.frames += 1
        if self.frames == BUCKET:
            self.past.append(self.least)
            self.level = min(self.past)
            self.least, self.frames = float("inf"), 0
        return max(QUIETEST, min(self.level, self.least))


class SpeechDetector:
    """Call a frame speech when webrtcvad does and a voice was heard a moment ago."""

    def __init__(self) -> None:
        self.webrtc = WebRtcVad(1)
        self.above_floor = ABOVE_FLOOR
        self.reset()

    def demand(self, threshold: float) -> None:
        """Ask for speech that stands so much more above the noise: 15 dB more at 1, less at 0."""
        self.above_floor = ABOVE_FLOOR * 10.0 ** (3.0 * (threshold - 0.5))

    def reset(self) -> None:
        """Forget everything heard."""
        self.webrtc.reset()
        self.floor = NoiseFloor()
        self.heard = np.zeros(WINDOW, np.float32)  # at 4 kHz
        self.spectra: deque[tuple[Floats, float]] = deque(maxlen=REACH)  # of one voiced run
        self.hisses = self.sure = self.unsure = 0  # one bit per frame, the last the lowest
        self.open = 0  # frames until the gate closes
        self.sounding = 0  # frames since the sound began, gaps included
        self.silent = 0  # frames since it was last heard

    def __call__(self, frame: Pcm) -> int:
        """Count the frames now known to be speech: all of a sound when its voice is recognised."""
        samples = frame.astype(np.float32)
        self.heard[:-LOW_FRAME] = self.heard[LOW_FRAME:]
        low = self.heard[-LOW_FRAME:]
        np.dot(samples.reshape(LOW_FRAME, -1), QUARTER, out=low)
        energy = float(np.dot(samples, samples))
        loud = energy > self.above_floor * self.floor.push(energy) and self.webrtc(frame)
        signs = 0
        if loud:
            signs = self.signs(float(np.dot(low, low)) / energy * SAMPLE_RATE / LOW_RATE)
        else:
            self.spectra.clear()
            self.hisses <<= 1
        self.follow(loud)
        self.sure = (self.sure << 1 | (signs == 2)) & (1 << SIGN_FRAMES) - 1
        self.unsure = (self.unsure << 1 | (signs == 1)) & (1 << SIGN_FRAMES) - 1
        was_open = self.open
        self.open = HOLD if self.convinced(signs) else max(0, was_open - 1)
        if not loud or not self.open:
            return 0
        return 1 if was_open else min(self.sounding, MOST_BEFORE)

    def follow(self, loud: bool) -> None:
        """Measure how long a sound has lasted; a plosive's gap does not end it."""
        if loud:
            self.sounding += 1 + (self.silent if self.sounding else 0)
            self.silent = 0
        else:
            self.silent += 1
            if self.silent > GAP:
                self.sounding = 0

    def convinced(self, signs: int) -> bool:
        """Tell whether the signs of the last frames are those of a voice."""
        if self.open and signs == 2:
            return True
        sure = self.sure.bit_count()
        return sure >= SURE and 2 * sure + self.unsure.bit_count() >= ALL

    def signs(self, share: float) -> int:
        """Rate the last 60 ms: 2 for a voice, 1 for perhaps one, 0 for none.

        A voice is periodic and its spectrum moves; or it is nearly periodic after a
        fricative. `share` is how much of the last frame's energy lies below 2 kHz.
        """
        self.hisses = (self.hisses << 1 | (share < HISS)) & (1 << HISS_FRAMES) - 1
        parts = FOURIER @ self.heard
        parts *= parts
        power = parts[: BAND.size] + parts[BAND.size :]
        correlation = COSINES @ power
        total = float(correlation[0])
        periodicity = float(correlation[1:].max()) / (total + 1)
        if periodicity < NEARLY:
            self.spectra.clear()
            return 0
        magnitude = np.sqrt(power)
        before, before_total = self.spectra[0] if self.spectra else (magnitude, total)
        self.spectra.append((magnitude, total))
        if share > HUM and self.hisses.bit_count() >= HISSES:
            return 2
        likeness = float(np.dot(magnitude, before)) ** 2 / (total * before_total)
        moves = FALL * before_total < total < RISE * before_total
        if moves and periodicity > PERIODIC and likeness < CHANGED:
            return 2
        return int(moves and share > HUM and likeness < HARDLY)
