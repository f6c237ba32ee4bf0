"""Voice activity on noise, on voices, and through the endpointer."""

from __future__ import annotations

import os
import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import webrtcvad
from hypothesis import given, settings
from hypothesis import strategies as st

from realtime.audio import files
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
from realtime.audio.vad import QUIETEST, NoiseFloor, SpeechDetector, WebRtcVad
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
