"""Exact-answer evaluation by skill, on voices that training never hears."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import DynamicCache

from . import augment, corpus, dialogues, skills, sounds
from .augment import Wave
from .batches import Composer
from .dialogues import Dialogue, Turn
from .model import Learner
from .vocabulary import AUDIO, END_OF_TEXT, IM_END
from .voices import RATE

LEAD, TAIL = int(0.3 * RATE), int(0.2 * RATE)
LONGEST_ANSWER = 64
SPOKEN = ("voice chat", "transcription", "speaker", "caption", "memory")


@dataclass(frozen=True, slots=True)
class Case:
    """A conversation whose last turn is to be answered; `topic` is the question's own skill."""

    skill: str
    voices: str
    topic: str
    dialogue: Dialogue
    audio: tuple[Wave, ...]

    @property
    def expected(self) -> str:
        """Return the one right answer."""
        return self.dialogue.turns[-1].answer


Score = dict[tuple[str, str, str], tuple[int, int]]


def placed(wave: Wave) -> Wave:
    """Put a clip between the silence that the endpointer leaves around it."""
    return augment.quantise(augment.place(wave, LEAD, TAIL))


def speech_cases(folder: Path, family: str, count: int, rng: random.Random) -> list[Case]:
    """Draw cases over held-out clips: every skill that needs a voice."""
    clips = corpus.load(folder, family)
    index = clips.by_words()
    answers = {q.words: q for group in skills.plain_questions().values() for q in group}
    asked = [i for i, order in enumerate(clips.orders) if order.words in answers]
    cases: list[Case] = []

    def clip(words: str) -> Wave:
        return placed(augment.place(clips.samples(rng.choice(index[words])), 0, 0))

    def add(skill: str, topic: str, turns: Sequence[Turn], audio: Sequence[Wave]) -> None:
        cases.append(Case(skill, family, topic, Dialogue(tuple(turns)), tuple(audio)))

    for i in rng.sample(asked, min(count, len(asked))):
        words = clips.orders[i].words
        wave = placed(augment.place(clips.samples(i), 0, 0))
        question = answers[words]
        add("voice chat", question.skill, [spoken(words, "", question.answer)], [wave])
        said = skills.sentence(words)
        add("transcription", question.skill, [spoken(words, skills.ASK_WORDS, said)], [wave])
        if len(cases) % 3 == 0:
            caption = f"A person says: {words}."
            add("caption", "speech", [spoken(words, skills.ASK_CAPTION, caption)], [wave])
            cases[-1] = tagged(cases[-1])
        if speaker := clips.orders[i].speaker:
            turn = spoken(words, skills.ASK_SPEAKER, f"A {speaker}.")
            add("speaker", speaker, [turn], [wave])
    for number in range(count // 3):
        topic, turns = memory_turns(number, rng, index, answers)
        add("memory", topic, turns, [clip(turn.content) for turn in turns])
    return cases


def spoken(words: str, text: str, answer: str) -> Turn:
    """Make a turn of speech."""
    return Turn("speech", words, text, answer, "")


def tagged(case: Case) -> Case:
    """Ask for a caption by the base prompt instead of in a chat."""
    return replace(case, dialogue=replace(case.dialogue, caption="tagged"))


def memory_turns(
    number: int,
    rng: random.Random,
    index: dict[str, list[int]],
    answers: dict[str, skills.Question],
) -> tuple[str, list[Turn]]:
    """Make a conversation that ends in a question about what was said before."""
    questions = [answers[words] for words in sorted(index) if words in answers]
    filler = rng.choice([q for q in questions if q.skill != "name"])
    between = spoken(filler.words, "", filler.answer)
    kind = number % 5
    if kind < 2:
        told = rng.choice([q for q in questions if q.skill == "name"])
        first = spoken(told.words, "", told.answer)
        last = spoken(skills.MY_NAME, "", f"Your name is {told.answer[18:-1]}.")
        return "name", [first, between, last] if kind else [first, last]
    if kind < 4:
        return "again", [between, spoken(skills.SAY_AGAIN, "", filler.answer)]
    if number % 10 == 4:
        return "unknown", [spoken(skills.MY_NAME, "", skills.NO_NAME)]
    return "unknown", [spoken(skills.SAY_AGAIN, "", skills.NOTHING_SAID)]


def other_cases(count: int, rng: random.Random, seed: int) -> list[Case]:
    """Draw cases that need no voice: sounds, captions of sounds, silence, typed questions."""
    generator = np.random.default_rng(seed)
    cases = []
    for number in range(count):
        kind = list(skills.SOUNDS)[number % len(skills.SOUNDS)]
        level = 10 ** (generator.uniform(-12, 0) / 20)
        wave = placed((sounds.MAKERS[kind](generator) * level).astype(np.float32))
        answer = f"It is {skills.SOUNDS[kind]}."
        turn = Turn("sound", kind, skills.ASK_SOUND, answer, "")
        cases.append(Case("sounds", "synthesised", kind, Dialogue((turn,)), (wave,)))
        if number % 3 == 0:
            answer = skills.sentence(skills.SOUNDS[kind])
            turn = Turn("sound", kind, skills.ASK_CAPTION, answer, "")
            case = Case("caption", "synthesised", "sound", Dialogue((turn,)), (wave,))
            cases.append(tagged(case))
        if number % 2 == 0:
            silent = number % 4 == 0
            made = sounds.silence(generator) if silent else sounds.loud_noise(generator)
            topic = "silence" if silent else "noise"
            turn = Turn("silence", "", "", skills.NOTHING_HEARD, "")
            wave = augment.quantise(made)
            cases.append(Case("silence", "synthesised", topic, Dialogue((turn,)), (wave,)))
        question = dialogues.draw_question(rng)
        turn = Turn("typed", "", dialogues.retyped(question.words, rng), question.answer, "")
        cases.append(Case("text only", "typed", question.skill, Dialogue((turn,)), ()))
    return cases


def all_cases(folder: Path, count: int, seed: int) -> list[Case]:
    """Draw the cases of an evaluation: `count` clips per held-out family, and the rest."""
    rng = random.Random(f"{seed}-cases")
    cases: list[Case] = []
    for family in corpus.HELD_OUT:
        if (folder / f"{family}.json").exists():
            cases += speech_cases(folder, family, count, rng)
    return cases + other_cases(count // 2, rng, seed + 77)


def changed(cases: Iterable[Case], voices: str, change: Callable[[Wave], Wave]) -> list[Case]:
    """Put every case's audio through a line or into noise, and name the voices anew."""
    return [
        replace(case, voices=voices, audio=tuple(change(wave) for wave in case.audio))
        for case in cases
    ]


@torch.no_grad()
def answer_all(learner: Learner, tokenizer: Tokenizer, cases: list[Case]) -> list[str]:
    """Answer the cases greedily in batches of similar length."""
    learner.eval()
    answers = [""] * len(cases)
    order = sorted(range(len(cases)), key=lambda i: sum(len(w) for w in cases[i].audio))
    for start in range(0, len(order), 32):
        part = order[start : start + 32]
        texts = answer_batch(learner, tokenizer, [cases[i] for i in part])
        for i, text in zip(part, texts, strict=True):
            answers[i] = text
    learner.train()
    return answers


def answer_batch(learner: Learner, tokenizer: Tokenizer, cases: list[Case]) -> list[str]:
    """Answer one batch: left-padded prompts, greedy, until every answer has ended."""
    composer = Composer(tokenizer)
    prompts = [embed_prompt(learner, composer, case) for case in cases]
    device = learner.blank.device
    longest = max(len(p) for p in prompts)
    inputs = torch.stack([torch.nn.functional.pad(p, (0, 0, longest - len(p), 0)) for p in prompts])
    mask = torch.stack(
        [torch.arange(longest, device=device) >= longest - len(p) for p in prompts]
    ).long()
    cache = DynamicCache()
    chosen: list[Tensor] = []
    ended = torch.zeros(len(cases), dtype=torch.bool, device=device)
    for _ in range(LONGEST_ANSWER):
        places = (mask.cumsum(1) - 1).clamp(min=0)[:, -inputs.shape[1] :]
        out = learner.model.model.language_model(
            inputs_embeds=inputs, attention_mask=mask, position_ids=places,
            past_key_values=cache, use_cache=True,
        )  # fmt: skip
        ids = learner.model.lm_head(out.last_hidden_state[:, -1]).argmax(-1)
        chosen.append(ids)
        ended |= (ids == IM_END) | (ids == END_OF_TEXT)
        if bool(ended.all()):
            break
        inputs = learner.embeddings(ids[:, None])
        mask = torch.cat([mask, torch.ones_like(mask[:, :1])], 1)
    return [until_end(tokenizer, row) for row in torch.stack(chosen, 1).tolist()]


def until_end(tokenizer: Tokenizer, ids: list[int]) -> str:
    """Decode up to the end token; an answer that never ends is marked, and so never right."""
    for position, token in enumerate(ids):
        if token in (IM_END, END_OF_TEXT):
            return tokenizer.decode(ids[:position])
    return tokenizer.decode(ids) + "[...]"


def embed_prompt(learner: Learner, composer: Composer, case: Case) -> Tensor:
    """Return the embeddings of a case's prompt up to where the answer begins: [tokens, width]."""
    counts = [augment.audio_tokens(len(wave)) for wave in case.audio]
    layout = composer.lay_out(case.dialogue, [[AUDIO] * n for n in counts])
    ending = len(composer.encode(case.expected)) + (1 if case.dialogue.caption else 2)
    device = learner.blank.device
    ids = torch.tensor(layout.ids[:-ending], device=device)
    inputs = learner.embeddings(ids)
    if not case.audio:
        return torch.as_tensor(inputs)
    heard = []
    for wave, count in zip(case.audio, counts, strict=True):
        frames = torch.tensor([augment.mel_frames(len(wave))], device=device)
        projected = learner.encode(augment.log_mel([wave]).to(device), frames)[2]
        heard.append(projected[0, :count])
    audio = torch.cat(heard).to(inputs.dtype)
    return torch.as_tensor(inputs.masked_scatter((ids == AUDIO)[:, None], audio))


def score(cases: list[Case], answers: list[str]) -> Score:
    """Count right answers by skill, voices and topic."""
    right: Counter[tuple[str, str, str]] = Counter()
    total: Counter[tuple[str, str, str]] = Counter()
    for case, answer in zip(cases, answers, strict=True):
        key = (case.skill, case.voices, case.topic)
        total[key] += 1
        right[key] += answer == case.expected
    return {key: (right[key], total[key]) for key in total}


def merge(scores: Iterable[Score]) -> Score:
    """Add up scores."""
    merged: Score = {}
    for one in scores:
        for key, (right, total) in one.items():
            had = merged.get(key, (0, 0))
            merged[key] = (had[0] + right, had[1] + total)
    return merged


def by_skill(found: Score) -> dict[tuple[str, str], tuple[int, int]]:
    """Sum a score over topics."""
    summed: dict[tuple[str, str], tuple[int, int]] = {}
    for (skill, voices, _), (right, total) in found.items():
        had = summed.get((skill, voices), (0, 0))
        summed[skill, voices] = (had[0] + right, had[1] + total)
    return summed


def one_line(found: Score) -> str:
    """Write a score on one line for the log."""
    parts = [
        f"{skill}/{voices} {right}/{total}"
        for (skill, voices), (right, total) in sorted(by_skill(found).items())
    ]
    return "  ".join(parts)
