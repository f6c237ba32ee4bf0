"""Voice activity on noise, on voices, and through the endpointer."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import webrtcvad
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.audio import files, vad
from realtime.audio.endpoint import (
    Continued,
    Ended,
    EndpointConfig,
    Endpointer,
    EndpointEvent,
    Started,
    Utterance,
)
from realtime.audio.pcm import FRAME, SAMPLE_RATE, Pcm, from_float
from realtime.audio.vad import (
    BAND,
    COSINES,
    FOURIER,
    LAGS,
    QUARTER,
    QUIETEST,
    WINDOW,
    NoiseFloor,
    SpeechDetector,
    WebRtcVad,
)
from scripts.bench_vad import NOISES, coloured, loud, noisy, scored, tones

HUMAN = Path(
    os.environ.get("REALTIME_HUMAN_SPEECH", Path(__file__).parents[3] / "shared" / "data" / "human")
)
CLIPS = sorted(HUMAN.glob("*.wav"))
ESPEAK = shutil.which("espeak-ng")

needs_human = pytest.mark.skipif(not CLIPS, reason="no human recordings in ../shared/data/human")
needs_espeak = pytest.mark.skipif(not ESPEAK, reason="espeak-ng is not installed")


def quiet(seconds: float, seed: int = 0) -> Pcm:
    """Make room silence at -70 dBFS."""
    noise = np.random.default_rng(seed).standard_normal(round(seconds * SAMPLE_RATE))
    return from_float(noise * 3e-4)


def said(*clips: Pcm, gap_s: float = 1.0) -> Pcm:
    """Put clips between silences of room noise."""
    parts = [quiet(gap_s)]
    for i, clip in enumerate(clips):
        parts += [clip, quiet(gap_s, i + 1)]
    return np.concatenate(parts)


def endpointed(samples: Pcm) -> list[EndpointEvent]:
    endpointer = Endpointer(SpeechDetector(), EndpointConfig())
    return endpointer.push(samples) + endpointer.commit()


def utterances(samples: Pcm) -> list[Utterance]:
    """List what the endpointer makes of it, without the commit of what is no speech."""
    events = endpointed(samples)
    started = [event for event in events if isinstance(event, Started)]
    handed = [event.utterance for event in events if isinstance(event, Continued | Ended)]
    return [u for u in handed if any(u.start <= event.at < u.end for event in started)]


def covered(samples: Pcm, parts: list[Utterance]) -> np.ndarray:
    """Mark the frames inside any utterance."""
    inside = np.zeros(samples.size, bool)
    for part in parts:
        inside[part.start : part.end] = True
    return inside[: samples.size // FRAME * FRAME].reshape(-1, FRAME).all(axis=1)


def vowels(seconds: float = 0.6) -> Pcm:
    """Synthesise a voice: a glottal pulse train through two moving formants."""
    samples = round(seconds * SAMPLE_RATE)
    t = np.arange(samples) / SAMPLE_RATE
    pitch = 120 + 30 * np.sin(2 * np.pi * 1.3 * t)
    pulses = (np.diff(np.floor(np.cumsum(pitch) / SAMPLE_RATE), prepend=0) > 0).astype(float)
    first = 500 + 250 * np.sin(2 * np.pi * 4 * t)
    second = 1500 + 500 * np.cos(2 * np.pi * 3 * t)
    voice = np.zeros(samples)
    for formant, width in ((first, 80.0), (second, 120.0)):
        y1 = y2 = 0.0
        radius = np.exp(-np.pi * width / SAMPLE_RATE)
        for i in range(samples):
            turn = 2 * radius * np.cos(2 * np.pi * formant[i] / SAMPLE_RATE)
            y1, y2 = pulses[i] + turn * y1 - radius**2 * y2, y1
            voice[i] += y1
    swell = np.minimum(1, np.minimum(t, t[::-1]) / 0.03)
    return from_float(0.4 * voice / np.abs(voice).max() * swell)


# --- noise


@pytest.mark.parametrize("seed", [0, 1])
@pytest.mark.parametrize("kind", NOISES)
def test_noise_is_no_speech(kind: str, seed: int):
    """20 s of each: at most 1 % of the frames, and never an utterance."""
    samples = from_float(NOISES[kind](np.random.default_rng(seed)))
    assert scored(SpeechDetector(), samples).mean() <= 0.01
    assert utterances(samples) == []


def test_the_noises_are_those_that_webrtcvad_takes_for_speech():
    rng = np.random.default_rng(0)
    for kind in ("white -26 dBFS", "hum 50 Hz", "chord", "dial tone"):
        assert scored(WebRtcVad(1), from_float(NOISES[kind](rng))).mean() > 0.9


@pytest.mark.parametrize("after", ["white -26 dBFS", "hum 50 Hz"])
def test_a_noise_that_sets_in_is_no_speech(after: str):
    noise = from_float(NOISES[after](np.random.default_rng(2)))
    assert utterances(np.concatenate([quiet(5), noise, quiet(2)])) == []


# --- voices


def test_a_synthetic_voice_is_speech():
    samples = said(vowels())
    (utterance,) = utterances(samples)
    assert 600 * 16 <= utterance.start <= 1000 * 16
    assert utterance.end >= 1600 * 16


def test_a_voice_in_the_first_frame_is_speech():
    (utterance,) = utterances(np.concatenate([vowels(), quiet(1)]))
    assert utterance.start == 0


def test_a_voice_after_digital_silence_is_speech():
    silence = np.zeros(SAMPLE_RATE, np.int16)
    (utterance,) = utterances(np.concatenate([silence, vowels(), silence]))
    assert utterance.start <= SAMPLE_RATE


def test_a_voice_over_hum_is_speech():
    hum = tones(np.random.default_rng(1), {k * 50.0: 0.01 / k for k in range(1, 8)})
    samples = said(vowels())
    mixed = from_float(samples / 32768 + hum[: samples.size])
    (utterance,) = utterances(mixed)
    assert utterance.start <= SAMPLE_RATE


@needs_human
@pytest.mark.parametrize("clip", CLIPS, ids=lambda path: path.stem)
def test_human_speech_is_kept_whole(clip: Path):
    """One utterance or more; of the loud frames none is left out, and the onset is padded."""
    speech = files.read(clip)
    samples = said(speech)
    parts = utterances(samples)
    assert parts
    mask = loud(samples)
    assert covered(samples, parts)[mask].mean() == 1
    assert parts[0].start <= np.flatnonzero(mask)[0] * FRAME - 80 * 16


@needs_human
def test_at_least_97_percent_of_clean_human_speech_is_kept():
    """Of the frames within 30 dB of the loudest, and of those that webrtcvad calls speech."""
    speech = np.concatenate([files.read(clip) for clip in CLIPS])
    ours = scored(SpeechDetector(), speech)
    assert ours[loud(speech)].mean() >= 0.97
    assert ours[scored(WebRtcVad(1), speech)].mean() >= 0.97


@needs_human
@pytest.mark.parametrize(("snr", "share"), [(10, 0.95), (5, 0.85)])
def test_human_speech_in_noise_is_found(snr: float, share: float):
    """With white noise at that ratio; measured on the loud frames of the clean recording."""
    rng = np.random.default_rng(4)
    clean = said(*[files.read(clip) for clip in CLIPS])
    samples = noisy(clean, rng, snr)
    assert covered(samples, utterances(samples))[loud(clean)].mean() >= share


@needs_human
def test_a_whole_recording_ends_soon_after_its_speech():
    """Within a quarter of a second beyond the tail, whatever the detector's hold."""
    speech = files.read(CLIPS[0])
    samples = said(speech)
    last = np.flatnonzero(loud(samples))[-1] * FRAME
    assert utterances(samples)[-1].end <= last + (200 + 250) * 16


def spoken(text: str, voice: str) -> Pcm:
    assert ESPEAK is not None
    command = [ESPEAK, "-v", voice, "--stdout", text]
    return files.read(subprocess.run(command, capture_output=True, check=True).stdout)


@needs_espeak
@pytest.mark.parametrize("voice", ["en-us", "en-us+f3", "de", "en-gb-scotland"])
@pytest.mark.parametrize("text", ["no", "yes", "stop", "six", "help", "okay"])
def test_a_short_word_is_not_swallowed(text: str, voice: str):
    assert len(utterances(said(spoken(text, voice)))) == 1


@needs_espeak
@pytest.mark.parametrize("voice", ["en-us", "en-us+f3", "de"])
def test_a_sentence_is_kept_whole(voice: str):
    samples = said(spoken("She sells six thick thistle sticks. Thank you!", voice))
    parts = utterances(samples)
    assert covered(samples, parts)[loud(samples)].mean() >= 0.99


# --- the objects themselves


def test_a_recognised_voice_is_dated_back():
    """The first answer covers the sound so far; later ones only their own frame."""
    samples = said(vowels())
    detector = SpeechDetector()
    counts = [int(detector(frame)) for frame in np.split(samples, samples.size // FRAME)]
    speaking = [i for i, count in enumerate(counts) if count]
    first = speaking[0]
    assert counts[first] > 1
    assert 49 <= first + 1 - counts[first] <= 52
    assert {counts[i] for i in speaking[1:]} == {1}


def test_reset_forgets_everything():
    samples = np.split(said(vowels()), said(vowels()).size // FRAME)
    fresh, used = SpeechDetector(), SpeechDetector()
    for frame in samples[:60]:
        used(frame)
    used.reset()
    assert [used(frame) for frame in samples] == [fresh(frame) for frame in samples]


@settings(deadline=None, max_examples=15)
@given(st.lists(st.integers(0, 60_000), max_size=30))
def test_utterances_do_not_depend_on_how_the_audio_was_cut(cuts: list[int]):
    samples = said(vowels(0.4), vowels(0.3))
    endpointer = Endpointer(SpeechDetector(), EndpointConfig())
    places = [0, *sorted(min(cut, samples.size) for cut in cuts), samples.size]
    events = [event for a, b in pairwise(places) for event in endpointer.push(samples[a:b])]
    assert events + endpointer.commit() == endpointed(samples)


def test_full_scale_and_silence_are_scored_without_complaint():
    detector = SpeechDetector()
    for value in (-32768, 32767, 0):
        frame = np.full(FRAME, value, np.int16)
        assert [int(detector(frame)) for _ in range(100)] == [0] * 100


@pytest.mark.parametrize("aggressiveness", range(4))
def test_webrtcvad_is_passed_through(aggressiveness: int):
    samples = from_float(coloured(np.random.default_rng(3), 1, -25))[: SAMPLE_RATE * 2]
    reference = webrtcvad.Vad(aggressiveness)
    expected = [
        reference.is_speech(frame.tobytes(), SAMPLE_RATE)
        for frame in np.split(samples, samples.size // FRAME)
    ]
    vad = WebRtcVad(aggressiveness)
    for _ in range(2):
        assert [vad(frame) for frame in np.split(samples, samples.size // FRAME)] == expected
        vad.reset()


@pytest.mark.parametrize("aggressiveness", [-1, 4])
def test_webrtcvad_has_four_modes(aggressiveness: int):
    with pytest.raises(ValueError, match="0, 1, 2 or 3"):
        WebRtcVad(aggressiveness)


def test_the_noise_floor_falls_at_once_and_rises_within_four_seconds():
    floor = NoiseFloor()
    for _ in range(200):
        floor.push(1e6)
    assert floor.push(1e6) == 1e6
    assert floor.push(1e5) == 1e5
    rising = [floor.push(1e7) for _ in range(200)]
    assert rising[140] == 1e5
    assert rising[-1] == 1e7


def test_the_noise_floor_has_a_floor():
    floor = NoiseFloor()
    assert {floor.push(0) for _ in range(300)} == {QUIETEST}


@pytest.mark.parametrize("detector", [SpeechDetector, WebRtcVad])
def test_a_higher_threshold_hears_less(detector: type):
    rng = np.random.default_rng(0)
    voice = np.concatenate((np.zeros(5 * SAMPLE_RATE), 0.1 * vowels() / 32768))
    samples = from_float(voice + 0.003 * rng.standard_normal(voice.size))
    heard = []
    for threshold in (0.0, 0.5, 1.0):
        vad = detector()
        vad.demand(threshold)
        heard.append(int(scored(vad, samples).sum()))
    assert heard[0] >= heard[1] >= heard[2]
    assert heard[0] > heard[2]


# ---- the gate, by scripted signs of a voice -----------------------------------------------------

LOUD, SILENT = np.full(FRAME, 5_000, np.int16), np.zeros(FRAME, np.int16)


class Scripted(SpeechDetector):
    """A detector that takes every loud frame for speech and is told the signs of a voice."""

    def __init__(self) -> None:
        super().__init__()
        self.webrtc = lambda frame: True  # type: ignore[assignment]
        self.next = 0

    def signs(self, share: float) -> int:
        return self.next


def gate(*frames: int | None) -> list[int]:
    """Give the counts for loud frames with these signs of a voice; None is silence."""
    detector, counts = Scripted(), []
    for sign in frames:
        detector.next = sign or 0
        counts.append(detector(SILENT if sign is None else LOUD))
    return counts


@pytest.mark.parametrize(
    "frames",
    [(2, 2, 1), (2, 1, 2), (1, 2, 2), (2, 2, 2), (2, 0, 0, 1, 0, 0, 0, 2), (1, 1, 1, 2, 2)],
)
def test_two_sure_signs_and_a_little_more_within_8_frames_are_a_voice(frames):
    *before, last = gate(*frames)
    assert not any(before)
    assert last == len(frames)  # dated back to where the sound began


@pytest.mark.parametrize(
    "frames",
    [
        (2, 2),
        (2, 1, 1, 1, 1, 1, 1, 1),
        (1, 1, 1, 1, 1, 1, 1, 1),
        (2, 1, 0, 0, 0, 0, 0, 0, 2),
        (1, 2, 0, 0, 0, 0, 0, 0, 2),
    ],
)
def test_fewer_signs_or_signs_too_far_apart_are_none(frames):
    assert not any(gate(*frames))


def test_the_gate_stays_open_for_what_is_unvoiced_in_a_word():
    counts = gate(2, 2, 2, *[0] * 30)
    assert counts == [0, 0, 3, *[1] * (5 + 19), *[0] * 6]  # 8 frames are convinced, and 19 follow


def test_a_single_sure_sign_holds_an_open_gate():
    counts = gate(2, 2, 2, *[0] * 15, 2, *[0] * 25)
    assert counts == [0, 0, 3, *[1] * (15 + 1 + 19), *[0] * 6]


def test_perhaps_a_voice_does_not_hold_it():
    assert sum(gate(2, 2, 2, *[0] * 15, *[1] * 25)) == 3 + 5 + 19


def test_silence_is_no_speech_though_the_gate_is_open():
    assert gate(2, 2, 2, None, None, 0, 0) == [0, 0, 3, 0, 0, 1, 1]


@pytest.mark.parametrize(("silent", "count"), [(1, 9 + 1), (4, 9 + 4), (5, 3), (8, 3)])
def test_a_sound_goes_on_over_a_gap_of_up_to_4_frames(silent, count):
    assert gate(*[0] * 6, *[None] * silent, 2, 2, 2)[-1] == count


@pytest.mark.parametrize(("before", "count"), [(22, 25), (23, 25), (60, 25), (21, 24)])
def test_a_voice_is_dated_back_by_half_a_second_at_most(before, count):
    assert gate(*[0] * before, 2, 2, 2)[-1] == count


def test_silence_that_was_never_broken_dates_nothing_back():
    assert gate(*[None] * 10, 2, 2, 2)[-1] == 3


@pytest.mark.parametrize(("threshold", "decibels"), [(0.0, -15), (0.5, 0), (1.0, 15)])
def test_a_threshold_moves_the_least_loudness_by_15_db_each_way(threshold, decibels):
    detector = Scripted()
    detector.demand(threshold)
    assert 10 * np.log10(detector.above_floor / 2.0) == pytest.approx(decibels)


@pytest.mark.parametrize(("above", "count"), [(1.9, 0), (2.1, 1)])
def test_speech_stands_3_db_above_the_noise(above, count):
    detector = Scripted()
    noise = np.full(FRAME, 1_000, np.int16)
    for _ in range(200):
        detector(noise)
    detector.open = 5
    assert detector(np.full(FRAME, round(1_000 * above**0.5), np.int16)) == count


def test_what_webrtcvad_takes_for_none_is_none():
    detector = Scripted()
    detector.webrtc = lambda frame: False  # type: ignore[assignment]
    detector.next = 2
    assert not any(detector(LOUD) for _ in range(20))


# ---- the signs themselves -----------------------------------------------------------------------


def signs(samples: Pcm) -> list[int]:
    """Give the sign of each frame, once there are 60 ms of it."""
    detector, found = SpeechDetector(), []
    detector.webrtc = lambda frame: True  # type: ignore[assignment]
    rate = SpeechDetector.signs

    class Watched(SpeechDetector):
        def signs(self, share: float) -> int:
            found.append(rate(self, share))
            return found[-1]

    detector.__class__ = Watched
    for frame in samples[: samples.size // FRAME * FRAME].reshape(-1, FRAME):
        detector(frame)
    return found[3:]


def glottis(hertz: float, formants: np.ndarray, seconds: float = 1.0) -> Pcm:
    """Make a voice of this pitch, of which the first formant moves as given (in Hz)."""
    t = np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    at = np.interp(t, np.linspace(0, seconds, formants.size), formants)
    wave = sum(
        np.exp(-(((k * hertz - at) / 150) ** 2)) * np.sin(2 * np.pi * k * hertz * t)
        for k in range(1, int(2_000 / hertz))
    )
    return from_float(0.3 * wave / np.abs(wave).max())


@pytest.mark.parametrize("hertz", [75, 120, 220, 380])
def test_what_is_periodic_and_moves_is_a_voice(hertz):
    moving = glottis(hertz, np.array([300.0, 900.0] * 4))
    assert np.mean(np.array(signs(moving)) == 2) > 0.3


@pytest.mark.parametrize("hertz", [120, 220])
def test_what_is_periodic_and_stands_still_is_none(hertz):
    assert not any(signs(glottis(hertz, np.array([500.0, 500.0]))))


@pytest.mark.parametrize("seed", range(3))
def test_what_is_not_periodic_is_none(seed):
    noise = from_float(0.2 * np.random.default_rng(seed).standard_normal(SAMPLE_RATE))
    assert np.mean(signs(noise)) < 0.05


def test_a_vowel_behind_a_fricative_needs_not_move():
    rng = np.random.default_rng(3)
    hiss = np.diff(rng.standard_normal(SAMPLE_RATE // 5 + 1), n=1)
    hiss = np.convolve(hiss, [1, -2, 1], "same")
    vowel = glottis(150, np.array([500.0, 500.0]), 0.1)
    word = np.concatenate([from_float(0.05 * hiss), vowel])
    assert 2 in signs(word)[-5:]
    assert 2 not in signs(np.concatenate([np.zeros_like(from_float(hiss)), vowel]))[-2:]


# ---- what decides about a sign, to the last digit -----------------------------------------------


@dataclass(frozen=True)
class Sound:
    """The last 60 ms, by the numbers that decide; these are a voice, for it has changed."""

    period: float = 0.6
    """The autocorrelation at the pitch lag."""
    alike: float = 0.8
    """The cosine between its spectrum and that of 40 ms before."""
    grown: float = 1.0
    """How many times the power it has of that."""
    share: float = 0.5
    """Of the energy, below 2 kHz."""
    hisses: int = 0
    """Which of the frames before were fricatives, a bit each."""
    magnitude: float = 2.0**35
    """So large that what guards against a division by zero does not count."""


def rated(sound: Sound, monkeypatch: pytest.MonkeyPatch) -> int:
    """Rate a sound of a single bin."""
    monkeypatch.setattr(vad, "FOURIER", np.eye(2 * BAND.size, WINDOW, dtype=np.float32))
    monkeypatch.setattr(vad, "COSINES", np.outer([1, sound.period], np.ones(BAND.size)))
    detector = SpeechDetector()
    detector.hisses = sound.hisses
    detector.heard[0] = sound.magnitude
    before = np.zeros(BAND.size)
    before[0] = sound.alike * sound.magnitude / sound.grown**0.5
    detector.spectra.append((before, sound.magnitude**2 / sound.grown))
    return detector.signs(sound.share)


VOWEL, STILL = Sound(share=0.9), Sound(share=0.9, alike=0.99)


@pytest.mark.parametrize(
    ("sound", "sign"),
    [
        (Sound(), 2),
        # periodic
        (replace(VOWEL, period=0.451), 2),
        (replace(VOWEL, period=0.45), 1),
        (replace(VOWEL, period=0.36), 1),
        (replace(VOWEL, period=0.359), 0),
        (Sound(period=0.45), 0),
        # changed in its timbre
        (replace(VOWEL, alike=0.899), 2),
        (replace(VOWEL, alike=0.9), 1),
        (replace(VOWEL, alike=0.939), 1),
        (replace(VOWEL, alike=0.94), 0),
        (replace(VOWEL, alike=1.0), 0),
        (Sound(alike=0.9), 0),
        # neither the edge of a tone nor a thump
        (Sound(grown=99), 2),
        (Sound(grown=100), 0),
        (Sound(grown=0.11), 2),
        (Sound(grown=0.1), 0),
        (replace(VOWEL, grown=100), 0),
        # low
        (Sound(alike=0.92, share=0.631), 1),
        (Sound(alike=0.92, share=0.63), 0),
        # behind two fricative frames of the last twelve
        (replace(STILL, hisses=0b11), 2),
        (replace(STILL, hisses=0b11, share=0.631), 2),
        (replace(STILL, hisses=0b11, share=0.63), 0),
        (replace(STILL, hisses=0b111), 2),
        (replace(STILL, hisses=0b1), 0),
        (replace(STILL, hisses=0b1, share=0.249), 0),
        (replace(STILL, hisses=1 << 10 | 1), 2),
        (replace(STILL, hisses=1 << 11 | 1), 0),
        (replace(STILL, hisses=0b11, period=0.359), 0),
        # all but nothing
        (replace(VOWEL, magnitude=1.0, period=0.73), 1),
        (replace(VOWEL, magnitude=1.0, period=0.71), 0),
        (replace(VOWEL, magnitude=0.0), 0),
    ],
)
def test_a_sign_is_decided_by_these_bounds(sound, sign, monkeypatch):
    assert rated(sound, monkeypatch) == sign


@pytest.mark.parametrize(("share", "hisses"), [(0.249, 0b11), (0.25, 0b10)])
def test_a_fricative_has_less_than_a_quarter_of_its_energy_below_2_khz(share, hisses):
    detector = SpeechDetector()
    detector.hisses = 0b1
    detector.signs(share)
    assert detector.hisses == hisses


def test_a_spectrum_is_compared_with_that_of_40_ms_before(monkeypatch):
    monkeypatch.setattr(vad, "FOURIER", np.eye(2 * BAND.size, WINDOW, dtype=np.float32))
    monkeypatch.setattr(vad, "COSINES", np.ones((2, BAND.size), np.float32))
    detector, found = SpeechDetector(), []
    for bin in (0, 0, 0, 1, 1, 1, 0):
        detector.heard[:] = 0
        detector.heard[bin] = 1_000
        found.append(detector.signs(0.5))
    assert found == [0, 0, 0, 2, 2, 0, 2]


def test_what_is_not_periodic_breaks_the_comparison_off(monkeypatch):
    detector = SpeechDetector()
    detector.spectra.append((np.ones(BAND.size, np.float32), 1.0))
    assert detector.signs(0.9) == 0
    assert not detector.spectra


def test_silence_moves_fricatives_into_the_past_and_breaks_the_comparison_off():
    detector = SpeechDetector()
    detector.hisses = 0b101
    detector.spectra.append((np.ones(BAND.size, np.float32), 1.0))
    detector(SILENT)
    assert detector.hisses == 0b1010
    assert not detector.spectra


@pytest.mark.parametrize(("frame", "share"), [(LOUD, 1.0), (np.tile(LOUD[:2] * [1, -1], 160), 0.0)])
def test_the_share_below_2_khz_is_that_of_the_energy(frame, share):
    detector, told = Scripted(), []
    detector.signs = lambda share: told.append(share) or 0  # type: ignore[method-assign,func-returns-value]
    detector(frame.astype(np.int16))
    assert told == [share]


def test_speech_of_exactly_3_db_above_the_noise_is_none():
    detector = Scripted()
    for _ in range(200):
        detector(np.full(FRAME, 1_000, np.int16))
    detector.open = 5
    assert detector(np.tile(np.array([2_000, 0], np.int16), FRAME // 2)) == 0
    assert detector(np.tile(np.array([2_010, 0], np.int16), FRAME // 2)) == 1


# ---- the transform, against that of numpy -------------------------------------------------------


def test_the_band_is_that_of_pitch_and_first_formant():
    hertz = np.fft.rfftfreq(256, 1 / 4_000)
    assert np.array_equal(hertz[BAND], hertz[(hertz > 80) & (hertz <= 1_000)])
    assert LAGS[0] == 4_000 / 400
    assert LAGS[-1] == 4_000 // 70
    assert np.array_equal(np.diff(LAGS), np.ones(LAGS.size - 1))


def test_the_transform_is_a_windowed_one_weighted_by_frequency():
    sound = np.random.default_rng(3).standard_normal(WINDOW)
    assert WINDOW / 4_000 == 0.06
    wanted = np.fft.rfft(sound * np.hanning(WINDOW), 256)[BAND] * np.sqrt(BAND * 15.625 / 500)
    real, imaginary = np.split(FOURIER @ sound, 2)
    assert np.allclose(real, wanted.real, atol=1e-3)
    assert np.allclose(imaginary, -wanted.imag, atol=1e-3)
    assert FOURIER.dtype == np.float32


def test_the_autocorrelation_is_that_of_the_power():
    power = np.zeros(129)
    power[BAND] = np.random.default_rng(4).random(BAND.size)
    wanted = np.fft.irfft(power) * 128
    assert np.allclose(COSINES @ power[BAND], wanted[[0, *LAGS]], atol=1e-3)
    assert COSINES.dtype == np.float32


def test_four_samples_are_averaged_into_one():
    assert QUARTER.tolist() == [0.25] * 4
    detector = SpeechDetector()
    first, second = (np.repeat(np.arange(80), 4).astype(np.int16) + more for more in (0, 80))
    detector(first)
    detector(second)
    assert detector.heard.tolist() == [*[0.0] * 80, *range(160)]


# ---- how things begin ---------------------------------------------------------------------------


def test_the_quietest_floor_is_70_db_below_full_scale():
    assert 10 * np.log10(QUIETEST / FRAME / 2**30) == pytest.approx(-70.3, abs=0.02)


def test_the_noise_floor_is_the_quietest_of_three_buckets_of_a_second():
    floor = NoiseFloor()
    levels = [floor.push(energy) for energy in [1e6] * 170 + [1e5] + [1e7] * 200]
    assert levels[:149] == [QUIETEST] * 149
    assert levels[149:170] == [1e6] * 21
    assert levels[170:349] == [1e5] * 179
    assert levels[349:] == [1e7] * 22


@pytest.mark.parametrize(
    ("threshold", "aggressiveness"), [(0, 0), (0.24, 0), (0.25, 1), (0.5, 2), (0.75, 3), (1, 3)]
)
def test_a_threshold_is_a_mode_of_webrtcvad(threshold: float, aggressiveness: int):
    model = WebRtcVad()
    assert model.aggressiveness == 2
    model.demand(threshold)
    assert model.aggressiveness == aggressiveness


def test_the_detector_begins_with_the_second_mode_and_3_db():
    detector = SpeechDetector()
    assert (detector.webrtc.aggressiveness, detector.above_floor) == (1, 2.0)


def test_after_a_reset_it_is_as_new():
    used, fresh = SpeechDetector(), SpeechDetector()
    for frame in said(vowels())[: 70 * FRAME].reshape(-1, FRAME):
        used(frame)
    model = used.webrtc.model
    used.reset()
    assert used.webrtc.model is not model
    assert vars(used.floor) == vars(fresh.floor)
    assert not used.heard.any()
    assert not used.spectra
    for name in ("hisses", "sure", "unsure", "open", "sounding"):
        assert getattr(used, name) == getattr(fresh, name) == 0
