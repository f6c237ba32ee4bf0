"""Ten kinds of everyday sounds and the absence of any, drawn with numpy: float32 at 16 kHz."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from .voices import RATE

Wave = npt.NDArray[np.float32]
Generator = np.random.Generator


def to_wave(samples: npt.ArrayLike) -> Wave:
    """Return samples as float32."""
    return np.asarray(samples, np.float32)


def seconds(rng: Generator, low: float, high: float) -> int:
    """Draw a duration and return it in samples."""
    return int(rng.uniform(low, high) * RATE)


def coloured_noise(rng: Generator, n: int, slope: float) -> Wave:
    """Draw noise whose amplitude falls as frequency to the power `slope`; unit peak."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    spectrum *= np.maximum(np.arange(len(spectrum)), 8.0) ** -slope
    noise = np.fft.irfft(spectrum, n)
    return to_wave(noise / (np.abs(noise).max() + 1e-9))


def band_noise(rng: Generator, n: int, low: float, high: float) -> Wave:
    """Draw noise between two frequencies in Hz; unit peak."""
    spectrum = np.fft.rfft(rng.standard_normal(n))
    hertz = np.fft.rfftfreq(n, 1 / RATE)
    noise = np.fft.irfft(spectrum * ((hertz > low) & (hertz < high)), n)
    return to_wave(noise / (np.abs(noise).max() + 1e-9))


def tone(hertz: npt.NDArray[np.float64] | float, n: int) -> npt.NDArray[np.float64]:
    """Return a sine of fixed or moving frequency."""
    return np.sin(2 * np.pi * np.cumsum(np.broadcast_to(hertz, n)) / RATE)


def decay(n: int, time: float) -> npt.NDArray[np.float64]:
    """Return an exponential decay with a time constant in seconds."""
    return np.exp(-np.arange(n) / (time * RATE))


def siren(rng: Generator) -> Wave:
    """Sweep or alternate between two pitches, as emergency vehicles do."""
    n = seconds(rng, 1.2, 3.5)
    low, high = rng.uniform(450, 700), rng.uniform(900, 1500)
    phase = np.arange(n) / RATE * rng.uniform(0.4, 2.0)
    swing = 0.5 + 0.5 * np.sin(2 * np.pi * phase)
    if rng.random() < 0.35:
        swing = (swing > 0.5).astype(np.float64)
    hertz = low + (high - low) * swing
    wave = tone(hertz, n) + rng.uniform(0, 0.5) * tone(2 * hertz, n)
    return (wave / 2).astype(np.float32)


def beep(rng: Generator) -> Wave:
    """Repeat one pure tone in equal pulses."""
    on, off = seconds(rng, 0.08, 0.4), seconds(rng, 0.08, 0.4)
    pulse = tone(rng.uniform(700, 2500), on)
    if rng.random() < 0.4:
        pulse = np.sign(pulse) * 0.6
    ramp = np.minimum(1, np.minimum(np.arange(on), np.arange(on)[::-1]) / 80)
    one = np.concatenate([pulse * ramp, np.zeros(off)])
    return np.tile(one, int(rng.integers(2, 7))).astype(np.float32)


def noise(rng: Generator) -> Wave:
    """Hiss steadily."""
    n = seconds(rng, 0.8, 3)
    return coloured_noise(rng, n, rng.uniform(-0.05, 0.6))


def strikes(rng: Generator, hit: Callable[[], Wave], count: int, gap: tuple[float, float]) -> Wave:
    """Lay single hits one after another with random gaps in seconds."""
    hits = [hit() for _ in range(count)]
    starts = np.cumsum([0, *(seconds(rng, *gap) for _ in range(count - 1))])
    wave = np.zeros(int(starts[-1]) + max(len(h) for h in hits), np.float32)
    for start, one in zip(starts, hits, strict=True):
        wave[start : start + len(one)] += one * rng.uniform(0.6, 1)
    return wave


def knocking(rng: Generator) -> Wave:
    """Knock on wood: short low thuds."""
    base = rng.uniform(120, 300)

    def hit() -> Wave:
        n = RATE // 6
        body = sum(tone(base * k, n) * decay(n, 0.02 / k) / k for k in (1, 2.3, 3.9))
        click = rng.standard_normal(n) * decay(n, 0.003)
        return (0.5 * body + 0.3 * click).astype(np.float32)

    return strikes(rng, hit, int(rng.integers(3, 8)), (0.15, 0.4))


def bell(rng: Generator) -> Wave:
    """Ring a bell: inharmonic partials with a long decay."""
    base = rng.uniform(400, 1100)
    ring = rng.uniform(0.3, 0.9)

    def hit() -> Wave:
        n = seconds(rng, 1.0, 1.8)
        partials = zip((0.5, 1, 1.19, 2.0, 2.74, 3.76), (0.3, 1, 0.6, 0.7, 0.4, 0.3), strict=True)
        wave = sum(a * tone(base * k, n) * decay(n, ring / k**0.7) for k, a in partials)
        return to_wave(wave / 3)

    return strikes(rng, hit, int(rng.integers(1, 4)), (0.5, 0.9))


def birds(rng: Generator) -> Wave:
    """Chirp: quick sweeps high up."""

    def hit() -> Wave:
        n = seconds(rng, 0.06, 0.2)
        ramp = np.linspace(0, 1, n)
        start, end = rng.uniform(2200, 5500, 2)
        trill = rng.uniform(0, 500) * np.sin(2 * np.pi * rng.uniform(15, 40) * ramp)
        wave = tone(start + (end - start) * ramp + trill, n) * np.sin(np.pi * ramp)
        return (0.7 * wave).astype(np.float32)

    return strikes(rng, hit, int(rng.integers(6, 16)), (0.09, 0.3))


def engine(rng: Generator) -> Wave:
    """Run a motor: a low buzz of many harmonics, slightly uneven."""
    n = seconds(rng, 1, 3.5)
    drift = rng.uniform(0.05, 0.25) * np.sin(
        2 * np.pi * rng.uniform(0.1, 0.7) * np.arange(n) / RATE
    )
    base = rng.uniform(35, 110) * (1 + drift)
    wave = sum(tone(base * k, n) * rng.uniform(0.3, 1) / k**0.8 for k in range(1, 14))
    wave = wave + 0.3 * coloured_noise(rng, n, 0.8)
    return to_wave(wave / np.abs(wave).max())


def clapping(rng: Generator) -> Wave:
    """Clap hands: sharp bursts of mid-frequency noise, one or several people."""

    def hit() -> Wave:
        n = RATE // 12
        low = rng.uniform(600, 1100)
        return (band_noise(rng, n, low, low * 3) * decay(n, 0.009)).astype(np.float32)

    people = int(rng.integers(1, 4))
    pace = rng.uniform(0.18, 0.35)
    waves = [
        strikes(rng, hit, int(rng.integers(5, 11)), (pace, pace * 1.15)) for _ in range(people)
    ]
    mixed = np.zeros(max(len(w) for w in waves), np.float32)
    for wave in waves:
        mixed[: len(wave)] += wave
    return to_wave(mixed / people**0.5)


def glass(rng: Generator) -> Wave:
    """Break glass: one crash, then splinters ringing high."""
    n = seconds(rng, 0.9, 1.6)
    wave = 0.8 * band_noise(rng, n, 2000, 7900) * decay(n, rng.uniform(0.03, 0.08))
    for _ in range(int(rng.integers(14, 34))):
        start = int(rng.beta(1, 2.5) * n * 0.8)
        ping = tone(rng.uniform(2500, 7500), n - start) * decay(n - start, rng.uniform(0.01, 0.06))
        wave[start:] += rng.uniform(0.1, 0.5) * ping
    return to_wave(wave / np.abs(wave).max())


def rain(rng: Generator) -> Wave:
    """Rain: a soft hiss full of single drops."""
    n = seconds(rng, 1, 3.5)
    drops = np.zeros(n)
    for start in rng.integers(0, n - 400, int(n / RATE * rng.uniform(60, 160))):
        size = int(rng.integers(60, 300))
        drop = tone(rng.uniform(1200, 5000), size) * decay(size, size / RATE / 4)
        drops[start : start + size] += rng.uniform(0.1, 1) ** 2 * drop
    wave = drops + rng.uniform(0.05, 0.15) * band_noise(rng, n, 800, 7900)
    return to_wave(wave / np.abs(wave).max())


MAKERS: dict[str, Callable[[Generator], Wave]] = {
    "siren": siren, "beep": beep, "noise": noise, "knocking": knocking, "bell": bell,
    "birds": birds, "engine": engine, "clapping": clapping, "glass": glass, "rain": rain,
}  # fmt: skip


def silence(rng: Generator) -> Wave:
    """Return digital silence, or a room's faint noise, or hum: nothing worth an answer."""
    n = int(RATE * 0.3 * 20 ** rng.beta(1, 1.6))
    kind = rng.random()
    if kind < 0.25:
        return np.zeros(n, np.float32)
    level = 10 ** (rng.uniform(-75, -42) / 20)
    if kind < 0.85:
        return level * coloured_noise(rng, n, rng.uniform(-0.05, 0.8))
    return (level * tone(rng.choice([50.0, 60.0, 100.0]), n)).astype(np.float32)


def loud_noise(rng: Generator) -> Wave:
    """Return steady noise at any level, as a bad line or a fan gives it."""
    return (10 ** (rng.uniform(-45, -8) / 20) * noise(rng)).astype(np.float32)
