"""Synthesised speakers: espeak-ng, flite and festival, with the voices kept out of training.

Every call is deterministic in its arguments. Clips are mono int16 at 16 kHz, trimmed to the speech.
"""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

Pcm = npt.NDArray[np.int16]
RATE = 16_000

ACCENTS = (
    "en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbclan", "en-gb-x-gbcwmd",
)  # fmt: skip
HELD_OUT_VARIANTS = ("f4", "m7", "Annie", "Mike", "belinda", "paul", "zac")
WOMEN = (
    "f1", "f2", "f3", "f5", "Alicia", "Andrea", "steph", "steph2", "steph3", "linda", "anika",
    "aunty", "grandma",
)  # fmt: skip
MEN = (
    "m1", "m2", "m3", "m4", "m5", "m6", "m8", "Alex", "Andy", "Denis", "Diogo", "Gene", "Gene2",
    "Jacky", "Lee", "Michael", "Tweaky", "benjamin", "boris", "caleb", "ed", "grandpa", "iven",
    "iven2", "iven3", "john", "kaukovalta", "marcelo", "max", "michel", "miguel", "norbert",
    "pablo", "pedro", "robert", "sandro", "shelby", "travis", "victor", "adam", "antonio", "david",
    "edward", "edward2", "gustave", "quincy", "rob", "announcer", "Hugo", "Marco", "Mario",
    "Henrique", "Nguyen", "Storm", "RicishayMax",
)  # fmt: skip
KLATT = ("klatt", "klatt2", "klatt3", "klatt4", "klatt5", "klatt6")
HELD_OUT_WOMEN = ("f4", "Annie", "belinda", "slt", "cmu_us_slt_arctic_hts")
FLITE_VOICES = ("awb", "rms", "kal16", "kal")
FESTIVAL_VOICES = ("kal_diphone", "ked_diphone")

PACKAGES = {
    "espeak-ng": ("espeak-ng", "espeak-ng"),
    "flite": ("flite", "flite"),
    "festival": ("festival", "festival festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts"),
}


@dataclass(frozen=True, slots=True)
class Speech:
    """One order to a synthesiser: what to say, and how."""

    family: str
    voice: str
    words: str
    speed: float  # 1 is the voice's own; larger is faster
    pitch: float  # espeak-ng: 0 to 99; flite and festival: mean in Hz, 0 for the voice's own

    @property
    def speaker(self) -> str:
        """Name the speaker's sex where it is certain: man, woman, or nothing."""
        name = self.voice.rpartition("+")[2]
        if name in HELD_OUT_WOMEN or name in WOMEN:
            return "woman" if self.family != "espeak" or self.pitch >= 35 else ""
        if name in KLATT:
            return ""
        high = self.pitch > 65 if self.family == "espeak" else self.pitch > 140
        return "" if high else "man"


def missing_synthesisers() -> dict[str, str]:
    """Name the synthesisers that are not installed, with their Debian packages."""
    return {
        name: packages
        for name, (command, packages) in PACKAGES.items()
        if shutil.which(command) is None
    }


def order_espeak(words: str, rng: random.Random, held_out: bool = False) -> Speech:
    """Draw an espeak-ng speaker: an accent, a variant, a speed and a pitch."""
    if held_out:
        variant = rng.choice(HELD_OUT_VARIANTS)
    else:
        group = rng.choices((MEN, WOMEN, KLATT), (0.5, 0.38, 0.12))[0]
        variant = rng.choice(group)
    voice = f"{rng.choice(ACCENTS)}+{variant}"
    return Speech("espeak", voice, words, rng.uniform(0.7, 1.22), rng.randint(15, 85))


def order_flite(words: str, rng: random.Random) -> Speech:
    """Draw a flite voice of the training set, faster or slower, at its own or another pitch."""
    voice = rng.choices(FLITE_VOICES, (0.4, 0.38, 0.14, 0.08))[0]
    own_pitch = rng.random() < 0.35
    pitch = 0.0 if own_pitch else float(round(rng.uniform(85, 240)))
    return Speech("flite", voice, words, round(rng.uniform(0.75, 1.25), 2), pitch)


def order_festival(words: str, rng: random.Random) -> Speech:
    """Draw a festival diphone voice, faster or slower, at its own or another pitch."""
    pitch = 105.0 if rng.random() < 0.3 else float(round(rng.uniform(85, 230)))
    return Speech(
        "festival", rng.choice(FESTIVAL_VOICES), words, round(rng.uniform(0.7, 1.2), 2), pitch
    )


def speak_espeak(order: Speech) -> Pcm:
    """Synthesise with espeak-ng."""
    command = [
        "espeak-ng", "-v", order.voice, "-s", str(round(170 * order.speed)),
        "-p", str(round(order.pitch)), "--stdout", order.words,
    ]  # fmt: skip
    wav = subprocess.run(command, capture_output=True, check=True).stdout
    # espeak-ng cannot seek in a pipe: the sizes in its header are not true, the samples are.
    samples = np.frombuffer(wav[44 : len(wav) - len(wav) % 2], dtype="<i2")
    return trim(soxr.resample(samples.astype(np.float32) / 32768, 22_050, RATE))


def speak_flite(order: Speech, folder: Path) -> Pcm:
    """Synthesise with flite."""
    path = folder / "flite.wav"
    command = ["flite", "-voice", order.voice, "--setf", f"duration_stretch={1 / order.speed:.3f}"]
    if order.pitch:
        command += ["--setf", f"int_f0_target_mean={order.pitch:.0f}"]
    subprocess.run([*command, "-t", order.words, "-o", str(path)], check=True)
    return read_trimmed(path.read_bytes())


def speak_festival(orders: list[Speech]) -> list[Pcm]:
    """Synthesise a list with one festival process: starting it costs far more than one clip."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        script = folder / "orders.scm"
        voices = sorted({order.voice for order in orders})
        lines = [FESTIVAL_SAY]
        for voice in voices:
            lines.append(f"(voice_{voice})")
            lines += [
                f'(say "{o.words}" {1 / o.speed:.3f} {o.pitch:.0f} "{folder / f"{i}.wav"}")'
                for i, o in enumerate(orders)
                if o.voice == voice
            ]
        script.write_text("\n".join(lines))
        subprocess.run(["festival", "-b", str(script)], check=True, capture_output=True)
        return [read_trimmed((folder / f"{i}.wav").read_bytes()) for i in range(len(orders))]


# `Utterance` is a macro that takes its argument as written, hence the eval.
FESTIVAL_SAY = """
(define (say words stretch pitch file)
  (Parameter.set 'Duration_Stretch stretch)
  (if (> pitch 0)
    (set! int_lr_params (list (list 'target_f0_mean pitch) (list 'target_f0_std 14)
                              (list 'model_f0_mean 170) (list 'model_f0_std 34))))
  (let ((utterance (utt.synth (eval (list 'Utterance 'Text words)))))
    (utt.save.wave utterance file 'riff)))
"""


def read_trimmed(wav: bytes) -> Pcm:
    """Decode a wav file to 16 kHz and trim it."""
    samples, rate = soundfile.read(io.BytesIO(wav), dtype="float32")
    return trim(soxr.resample(samples, rate, RATE))


def trim(samples: npt.NDArray[np.float32], floor: float = 0.01) -> Pcm:
    """Cut the silence around speech, keeping 50 ms before and 100 ms after."""
    loud = np.flatnonzero(np.abs(samples) > floor)
    if not len(loud):
        return np.zeros(0, np.int16)
    kept = samples[max(0, loud[0] - 800) : loud[-1] + 1600]
    return (kept * 32767).clip(-32768, 32767).astype(np.int16)
