"""The spoken corpus: clips of every family of voices, made once and kept in the work folder."""

from __future__ import annotations

import functools
import json
import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import soundfile
import soxr

from . import skills, voices
from .voices import RATE, Pcm, Speech

SHARD = 250
GAP = RATE // 10

# Container, subtype, rate in Hz, compression level: what networks and small devices do to a voice.
CODECS = (
    ("OGG", "OPUS", 16_000, 0.93),
    ("OGG", "OPUS", 8_000, 0.95),
    ("WAV", "GSM610", 8_000, None),
    ("MP3", "MPEG_LAYER_III", 16_000, 0.9),
    ("WAV", "ULAW", 8_000, None),
)


@dataclass(frozen=True, slots=True)
class Plan:
    """How many clips of which family."""

    name: str
    count: int
    order: Callable[[str, random.Random], Speech]


def order_held_espeak(words: str, rng: random.Random) -> Speech:
    """Draw an espeak-ng variant that training never hears."""
    return voices.order_espeak(words, rng, held_out=True)


def order_slt(words: str, rng: random.Random) -> Speech:
    """Order flite's slt, whom training never hears."""
    return Speech("flite", "slt", words, 1.0, 0.0)


def order_slt_hts(words: str, rng: random.Random) -> Speech:
    """Order the same speaker from another synthesiser."""
    return Speech("festival", "cmu_us_slt_arctic_hts", words, 1.0, 0.0)


ORDERS: dict[str, Callable[[str, random.Random], Speech]] = {
    "espeak": voices.order_espeak,
    "flite": voices.order_flite,
    "festival": voices.order_festival,
    "held_espeak": order_held_espeak,
    "slt": order_slt,
    "slt_hts": order_slt_hts,
}
HELD_OUT = ("held_espeak", "slt", "slt_hts")


@dataclass(frozen=True, slots=True)
class Clips:
    """A family of clips: their orders, and their samples end to end in one memory-mapped file."""

    name: str
    orders: list[Speech]
    offsets: npt.NDArray[np.int64]
    pcm: npt.NDArray[np.int16]

    def __len__(self) -> int:
        return len(self.orders)

    def samples(self, index: int) -> Pcm:
        """Return one clip."""
        return self.pcm[self.offsets[index] : self.offsets[index + 1]]

    def by_words(self) -> dict[str, list[int]]:
        """Index the clips by what is said."""
        index: dict[str, list[int]] = {}
        for i, order in enumerate(self.orders):
            index.setdefault(order.words, []).append(i)
        return index


def synthesise(orders: list[Speech]) -> list[Pcm]:
    """Speak one shard of orders, all of the same family."""
    family = orders[0].family
    if family == "festival":
        return voices.speak_festival(orders)
    if family == "espeak":
        return [voices.speak_espeak(order) for order in orders]
    with tempfile.TemporaryDirectory() as folder:
        return [voices.speak_flite(order, Path(folder)) for order in orders]


def plan_orders(name: str, count: int, seed: int) -> list[Speech]:
    """Draw the orders of one family from the seed."""
    rng = random.Random(f"{seed}-{name}")
    return [ORDERS[name](words, rng) for words in skills.spoken_plan(count, rng)]


def save(folder: Path, name: str, orders: list[Speech], clips: list[Pcm]) -> None:
    """Write a family; clips that came out implausibly short or long are left out."""
    kept = [i for i, clip in enumerate(clips) if RATE // 4 < len(clip) < 8 * RATE]
    np.save(folder / f"{name}.pcm.npy", np.concatenate([clips[i] for i in kept]))
    offsets = np.cumsum([0, *(len(clips[i]) for i in kept)])
    table = {"orders": [asdict(orders[i]) for i in kept], "offsets": offsets.tolist()}
    # The table is written last: a family without one is not finished and is made again.
    partial = folder / f"{name}.json.part"
    partial.write_text(json.dumps(table))
    partial.rename(folder / f"{name}.json")


@functools.cache
def load(folder: Path, name: str) -> Clips:
    """Open a family."""
    table = json.loads((folder / f"{name}.json").read_text())
    orders = [Speech(**order) for order in table["orders"]]
    pcm = np.load(folder / f"{name}.pcm.npy", mmap_mode="r")
    return Clips(name, orders, np.array(table["offsets"]), pcm)


def build(folder: Path, name: str, count: int, seed: int, workers: int) -> Iterator[int]:
    """Make one family unless it is there; yield the number of clips after every shard."""
    if (folder / f"{name}.json").exists():
        return
    orders = plan_orders(name, count, seed)
    shards = [orders[i : i + SHARD] for i in range(0, len(orders), SHARD)]
    clips: list[Pcm] = []
    with ProcessPoolExecutor(workers) as pool:
        for shard in pool.map(synthesise, shards):
            clips += shard
            yield len(clips)
    save(folder, name, orders, clips)


def build_codec(
    folder: Path, sources: Sequence[str], count: int, seed: int, workers: int
) -> Iterator[int]:
    """Make a family of training clips that went through lossy codecs, unless it is there."""
    if (folder / "codec.json").exists():
        return
    rng = random.Random(f"{seed}-codec")
    orders: list[Speech] = []
    shards: list[list[Pcm]] = []
    for start in range(0, count, SHARD):
        family = load(folder, rng.choice(sources))
        chosen = rng.sample(range(len(family)), min(SHARD, count - start, len(family)))
        orders += [family.orders[i] for i in chosen]
        shards.append([np.array(family.samples(i)) for i in chosen])
    codecs = [CODECS[i % len(CODECS)] for i in range(len(shards))]
    clips: list[Pcm] = []
    with ProcessPoolExecutor(workers) as pool:
        for shard in pool.map(through_codec, shards, codecs):
            clips += shard
            yield len(clips)
    save(folder, "codec", orders, clips)


def through_codec(clips: list[Pcm], codec: tuple[str, str, int, float | None]) -> list[Pcm]:
    """Encode and decode clips as one stream, so that the codec's start-up is paid once."""
    container, subtype, rate, level = codec
    stream = np.concatenate([np.concatenate([c, np.zeros(GAP, np.int16)]) for c in clips])
    narrow = soxr.resample(stream.astype(np.float32) / 32768, RATE, rate)
    with tempfile.NamedTemporaryFile(suffix=".audio") as file:
        soundfile.write(file.name, narrow, rate, subtype, format=container, compression_level=level)
        decoded, decoded_rate = soundfile.read(file.name, dtype="float32")
    wide = soxr.resample(decoded, decoded_rate, RATE)
    wide = (np.pad(wide, (0, RATE)) * 32767).clip(-32768, 32767).astype(np.int16)
    starts = np.cumsum([0, *(len(c) + GAP for c in clips)])
    return [wide[start : start + len(c)] for start, c in zip(starts, clips, strict=False)]
