"""A few spoken questions as small audio files, for a first try without a microphone."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile
import soxr

from . import skills, sounds, voices
from .augment import Wave, place
from .voices import RATE, Speech


@dataclass(frozen=True, slots=True)
class Sample:
    """One file: how it is made, and the answer it should get."""

    file: str
    rate: int
    words: str  # what is said, or the kind of sound
    answer: str
    voice: str = ""
    text: str = ""  # the instruction to send with it
    after: tuple[str, str] = ("", "")  # another file, and the answer if that was the turn before


SAMPLES = (
    Sample(
        "what-is-two-plus-three.wav", 16_000, "what is two plus three", "Five.", "en-gb+Annie"
    ),
    Sample(
        "turn-on-the-kitchen-light.flac", 22_050, "turn on the kitchen light",
        "Okay, the kitchen light is on.", "en-us+paul",
    ),
    Sample(
        "set-a-timer-for-ten-minutes.ogg", 24_000, "set a timer for ten minutes",
        "Timer set for ten minutes.", "en-us+f4",
    ),
    Sample(
        "what-is-the-capital-of-france.mp3", 44_100, "what is the capital of france", "Paris.",
        "en-gb+m7",
    ),
    Sample(
        "count-to-twenty.wav", 16_000, "count to twenty",
        skills.sentence(", ".join(skills.NUMBERS[1:21])), "en-us+Mike",
    ),
    Sample(
        "my-name-is-anna.wav", 16_000, "my name is anna", "Nice to meet you, Anna.", "en-us+belinda"
    ),
    Sample(
        "what-is-my-name.wav", 16_000, skills.MY_NAME, skills.NO_NAME, "en-us+belinda",
        after=("my-name-is-anna.wav", "Your name is Anna."),
    ),
    Sample(
        "say-that-again.wav", 16_000, skills.SAY_AGAIN, skills.NOTHING_SAID, "en-gb+zac",
        after=("what-is-two-plus-three.wav", "Five."),
    ),
    Sample("good-morning-8khz.wav", 8_000, "good morning", "Good morning to you.", "en-us+f4"),
    Sample("siren.wav", 16_000, "siren", "It is a siren.", text=skills.ASK_SOUND),
)  # fmt: skip


def make_wave(sample: Sample) -> Wave:
    """Speak a sample, or draw its sound, with the silence a microphone has around it."""
    if sample.voice:
        clip = voices.speak_espeak(Speech("espeak", sample.voice, sample.words, 0.95, 50))
        wave = place(clip, RATE // 3, RATE)
    else:
        wave = place(sounds.MAKERS[sample.words](np.random.default_rng(4)), RATE // 3, RATE)
    return np.asarray(soxr.resample(wave * 0.8, RATE, sample.rate), np.float32)


def write_samples(folder: Path) -> None:
    """Write every file and the index."""
    folder.mkdir(parents=True, exist_ok=True)
    index = {}
    for sample in SAMPLES:
        soundfile.write(folder / sample.file, make_wave(sample), sample.rate)
        entry: dict[str, object] = {"words": sample.words, "answer": sample.answer}
        if sample.text:
            entry["text"] = sample.text
        if sample.after[0]:
            entry["after"] = {sample.after[0]: sample.after[1]}
        index[sample.file] = entry
    (folder / "samples.json").write_text(json.dumps(index, indent=2) + "\n")
