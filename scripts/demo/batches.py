"""Training batches: conversations laid out as token ids, with audio as mel frames or imitated.

Imitated audio is what a perfect encoder would hand over: the embeddings of the words between
blanks. It costs no encoder work, so the language model meets far more conversations than clips.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor

from . import augment, corpus, dialogues, sounds, voices
from .augment import Channel
from .dialogues import Dialogue, Turn
from .vocabulary import AUDIO, AUDIO_BOS, AUDIO_EOS, END_OF_TEXT, IM_END, IM_START

FAMILIES = {"espeak": 0.46, "flite": 0.33, "festival": 0.13, "codec": 0.08}
IGNORED = -100
BLANK = -1


@dataclass(slots=True)
class Audio:
    """One clip ready for the encoder, and what it says (nothing for sounds)."""

    wave: augment.Wave
    channel: Channel
    words: str


@dataclass(slots=True)
class Layout:
    """One conversation as token ids; `imitated` holds word ids or BLANK at imitated audio."""

    ids: list[int] = field(default_factory=list)
    labels: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    imitated: list[int] = field(default_factory=list)

    def add(self, ids: list[int]) -> None:
        """Append ids that are given, not predicted."""
        self.ids += ids
        self.labels += [IGNORED] * len(ids)
        self.weights += [0.0] * len(ids)
        self.imitated += [IGNORED] * len(ids)

    def add_answer(self, ids: list[int], weight: float) -> None:
        """Append ids to be predicted."""
        self.add(ids)
        self.labels[-len(ids) :] = ids
        self.weights[-len(ids) :] = [weight] * len(ids)

    def add_imitated(self, ids: list[int]) -> None:
        """Append imitated audio: word ids and BLANK."""
        self.add([AUDIO] * len(ids))
        self.imitated[-len(ids) :] = ids


@dataclass(frozen=True, slots=True)
class Sequences:
    """Conversations padded to one length: all tensors [conversations, tokens]."""

    ids: Tensor
    labels: Tensor
    weights: Tensor
    imitated: Tensor
    clips: int = 0


@dataclass(frozen=True, slots=True)
class Batch:
    """Tensors of one training step."""

    mels: list[Tensor]  # groups of clips of similar length: [clips, mel, frames]
    frames: list[Tensor]  # valid mel frames per clip, per group
    places: list[Tensor]  # the clips' numbers, per group
    letters: list[Tensor]  # per clip: letter ids, empty for sounds
    words: list[Tensor]  # per clip: token ids of what is said
    spoken: list[Sequences]  # conversations over the clips, in clip order
    imitated: Sequences


class Voices:
    """The training clips, found by what they say or by who says it."""

    def __init__(self, folder: Path) -> None:
        self.families = {
            name: corpus.load(folder, name)
            for name in FAMILIES
            if (folder / f"{name}.json").exists()
        }
        self.index = {name: clips.by_words() for name, clips in self.families.items()}
        self.speakers: dict[str, list[tuple[str, int]]] = {"man": [], "woman": []}
        self.raised: list[tuple[str, int]] = []
        for name, clips in self.families.items():
            for i, order in enumerate(clips.orders):
                if order.speaker:
                    self.speakers[order.speaker].append((name, i))
                elif order.family != "espeak" and order.pitch >= 165:
                    self.raised.append((name, i))

    def say(self, words: str, rng: np.random.Generator) -> Audio:
        """Pick a clip that says the words, and disturb it."""
        names = [name for name in self.families if words in self.index[name]]
        if not names:  # a corpus this small lacks some phrases: have them said on the spot
            clip = voices.speak_espeak(voices.order_espeak(words, random.Random(rng.bytes(8))))
            return Audio(augment.disturb(clip, rng), augment.draw_channel(rng), words)
        shares = np.array([FAMILIES[name] for name in names])
        name = names[rng.choice(len(names), p=shares / shares.sum())]
        clip = self.families[name].samples(int(rng.choice(self.index[name][words])))
        return Audio(augment.disturb(clip, rng), augment.draw_channel(rng), words)

    def by_speaker(self, speaker: str, rng: np.random.Generator) -> Audio:
        """Pick a clip by a man or a woman; a man's voice raised and warped is a woman's."""
        if speaker == "woman" and self.raised and rng.random() < 0.45:
            name, i = self.raised[rng.integers(len(self.raised))]
            warp = rng.uniform(0.13, 0.22)
        else:
            name, i = self.speakers[speaker][rng.integers(len(self.speakers[speaker]))]
            warp = None
        wave = augment.disturb(self.families[name].samples(i), rng, keep_voice=True)
        channel = augment.draw_channel(rng, keep_voice=True, warp=warp)
        return Audio(wave, channel, self.families[name].orders[i].words)

    def hear(self, turn: Turn, rng: np.random.Generator) -> Audio:
        """Make the audio of a turn."""
        if turn.source == "speech":
            if turn.speaker:
                return self.by_speaker(turn.speaker, rng)
            return self.say(turn.content, rng)
        if turn.source == "sound":
            level = 10 ** (rng.uniform(-16, 0) / 20)
            wave = augment.disturb(sounds.MAKERS[turn.content](rng) * level, rng, keep_voice=True)
            return Audio(wave, augment.draw_channel(rng, warp=0.0), "")
        wave = sounds.silence(rng) if turn.source == "silence" else sounds.loud_noise(rng)
        return Audio(augment.quantise(wave), Channel(), "")


class Composer:
    """Lay conversations out as token ids."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer

    def encode(self, text: str) -> list[int]:
        """Return the token ids of a text."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def start(self, layout: Layout, role: str, text: str = "") -> None:
        """Open a message."""
        layout.add([IM_START, *self.encode(f"{role}\n{text}")])

    def end(self, layout: Layout) -> None:
        """Close a message."""
        layout.add([IM_END, *self.encode("\n")])

    def lay_out(self, dialogue: Dialogue, audio: list[list[int]]) -> Layout:
        """Lay out a conversation; `audio` has, per turn with sound, ids for its audio tokens."""
        layout = Layout()
        feed = iter(audio)
        if dialogue.caption:
            return self.caption(dialogue, next(feed))
        self.start(layout, "system", dialogue.system)
        self.end(layout)
        number = dialogue.first_audio
        for turn in dialogue.turns:
            if turn.source == "typed":
                self.start(layout, "user", turn.text)
            else:
                before = turn.text if turn.text_first else ""
                self.start(layout, "user", f"{before}Audio {number}: ")
                self.add_audio(layout, next(feed))
                layout.add(self.encode("\n" + ("" if turn.text_first else turn.text)))
                number += 1
            self.end(layout)
            self.start(layout, "assistant", "")
            self.answer(layout, turn)
        return layout

    def add_audio(self, layout: Layout, ids: list[int]) -> None:
        """Add the tokens of a clip between their marks."""
        layout.add([AUDIO_BOS])
        if ids and ids[0] == AUDIO:
            layout.add(ids)
        else:
            layout.add_imitated(ids)
        layout.add([AUDIO_EOS])

    def answer(self, layout: Layout, turn: Turn) -> None:
        """Add the answer to be learnt; an interrupted one has no end of its own to learn."""
        ids = self.encode(turn.answer)
        weight = (1.6 if turn.skill == "arithmetic" else 1.0) / (len(ids) + 1) ** 0.5
        if turn.finished:
            layout.add_answer([*ids, IM_END], weight)
            layout.add(self.encode("\n"))
        else:
            layout.add_answer(ids, weight)
            self.end(layout)

    def caption(self, dialogue: Dialogue, ids: list[int]) -> Layout:
        """Lay out the base prompt, which has no chat template."""
        layout = Layout()
        if dialogue.caption == "tagged":
            self.add_audio(layout, ids)
        elif ids and ids[0] == AUDIO:
            layout.add(ids)
        else:
            layout.add_imitated(ids)
        turn = dialogue.turns[0]
        layout.add(self.encode(turn.text))
        answer = self.encode(turn.answer)
        layout.add_answer([*answer, END_OF_TEXT], 1.0 / (len(answer) + 1) ** 0.5)
        return layout

    def imitate(self, words: str, rng: random.Random) -> list[int]:
        """Spread the words' tokens over audio positions as an aligned encoder does."""
        out = [BLANK] * rng.randint(2, 12)
        for token in self.encode(words):
            out += [token] * rng.choice((1, 1, 1, 2, 2, 3))
            out += [BLANK] * rng.randint(1, 8)
        return out + [BLANK] * rng.randint(1, 10)


def round_up(length: int, multiple: int = 32) -> int:
    """Round a length up, so that few shapes occur: every new one costs kernels their set-up."""
    return -(-length // multiple) * multiple


def pad(layouts: list[Layout], clips: int = 0) -> Sequences:
    """Pad conversations to the longest."""
    length = round_up(max(len(layout.ids) for layout in layouts))
    ids = torch.full((len(layouts), length), END_OF_TEXT)
    labels = torch.full((len(layouts), length), IGNORED)
    imitated = torch.full((len(layouts), length), IGNORED)
    weights = torch.zeros(len(layouts), length)
    for i, layout in enumerate(layouts):
        n = len(layout.ids)
        ids[i, :n] = torch.tensor(layout.ids)
        labels[i, :n] = torch.tensor(layout.labels)
        weights[i, :n] = torch.tensor(layout.weights)
        imitated[i, :n] = torch.tensor(layout.imitated)
    return Sequences(ids, labels, weights, imitated, clips)


LETTERS = " abcdefghijklmnopqrstuvwxyz"


def letter_ids(words: str) -> Tensor:
    """Return CTC targets for words; 0 is the blank."""
    return torch.tensor([LETTERS.index(c) + 1 for c in words], dtype=torch.long)


def group_mels(audios: list[Audio], rng: np.random.Generator) -> tuple[list[Tensor], ...]:
    """Compute spectrograms in groups of similar length, so that little is padding."""
    order = np.argsort([len(a.wave) for a in audios])
    parts = np.array_split(order, max(1, round(len(audios) / 7)))
    mels, frames = [], []
    for part in parts:
        chosen = [audios[i] for i in part]
        longest = round_up(max(augment.mel_frames(len(a.wave)) for a in chosen) + augment.CONTEXT)
        channels = [a.channel for a in chosen]
        mel = augment.log_mel([a.wave for a in chosen], channels, longest)
        valid = [augment.mel_frames(len(a.wave)) for a in chosen]
        for one, count in zip(mel, valid, strict=True):
            if rng.random() < 0.7:
                augment.mask_spectrogram(one, count, rng)
        mels.append(mel)
        frames.append(torch.tensor(valid))
    return mels, frames, [torch.from_numpy(part) for part in parts]


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much one step holds."""

    clips: int = 40
    imitated: int = 12
    aligning_steps: int = 0  # afterwards, when sense matters more, twice as many are imitated


class Batches(torch.utils.data.Dataset[Batch]):
    """Batch number `step` is a function of the seed and the step alone: resuming loses nothing."""

    def __init__(self, folder: Path, tokenizer: str, seed: int, steps: range, sizes: Sizes) -> None:
        self.folder, self.serialised, self.seed = folder, tokenizer, seed
        self.steps, self.sizes = steps, sizes
        self.voices: Voices
        self.composer: Composer
        self.opened = False

    def __len__(self) -> int:
        return len(self.steps)

    def __getitem__(self, item: int) -> Batch:
        if not self.opened:  # in the worker process, once
            self.opened = True
            self.voices = Voices(self.folder)
            self.composer = Composer(Tokenizer.from_str(self.serialised))
        step = self.steps[item]
        rng = random.Random(f"{self.seed}-{step}")
        generator = np.random.default_rng([self.seed, step])
        spoken, audios = self.spoken(rng, generator)
        mels, frames, places = group_mels(audios, generator)
        words = [torch.tensor(self.composer.encode(a.words), dtype=torch.long) for a in audios]
        letters = [letter_ids(a.words) for a in audios]
        imitated = pad(
            self.imitated(rng, self.sizes.imitated * (1 + (step > self.sizes.aligning_steps)))
        )
        return Batch(mels, frames, places, letters, words, spoken, imitated)

    def spoken(
        self, rng: random.Random, generator: np.random.Generator
    ) -> tuple[list[Sequences], list[Audio]]:
        """Draw conversations of one length until the clips are used up; group similar ones."""
        length = rng.choices((1, 2, 3, 4, 6), (0.4, 0.22, 0.17, 0.13, 0.08))[0]
        drawn: list[tuple[Layout, list[Audio]]] = []
        count = 0
        while count < self.sizes.clips:
            dialogue = dialogues.draw_dialogue(rng, length)
            heard = [self.voices.hear(t, generator) for t in dialogue.turns if t.source != "typed"]
            ids = [[AUDIO] * augment.audio_tokens(len(a.wave)) for a in heard]
            drawn.append((self.composer.lay_out(dialogue, ids), heard))
            count += len(heard)
        drawn.sort(key=lambda pair: len(pair[0].ids))
        size = max(1, -(-len(drawn) // 3))
        groups = []
        for start in range(0, len(drawn), size):
            part = drawn[start : start + size]
            groups.append(pad([lay for lay, _ in part], sum(len(heard) for _, heard in part)))
        return groups, [audio for _, heard in drawn for audio in heard]

    def imitated(self, rng: random.Random, count: int) -> list[Layout]:
        """Draw conversations whose audio is imitated; now and then long ones."""
        length = rng.choices((1, 2, 3, 5, 18), (0.3, 0.25, 0.25, 0.17, 0.03))[0]
        layouts = []
        for _ in range(max(1, count // length)):
            dialogue = dialogues.draw_dialogue(rng, length, analysis=0.15)
            spoken = [t for t in dialogue.turns if t.source != "typed"]
            if any(not imitable(t) for t in spoken):
                dialogue = keep_imitable(dialogue, rng)
                spoken = [t for t in dialogue.turns if t.source != "typed"]
            ids = [self.composer.imitate(turn.content, rng) for turn in spoken]
            layouts.append(self.composer.lay_out(dialogue, ids))
        return layouts


def imitable(turn: Turn) -> bool:
    """Tell whether the words alone decide the answer, so that embeddings of words can stand in."""
    return turn.source == "typed" or (turn.source == "speech" and not turn.speaker)


def keep_imitable(dialogue: Dialogue, rng: random.Random) -> Dialogue:
    """Redraw the conversation without sounds, silence and speakers."""
    while not all(imitable(turn) for turn in dialogue.turns):
        dialogue = dialogues.draw_dialogue(rng, len(dialogue.turns), analysis=0.0)
    return dialogue
