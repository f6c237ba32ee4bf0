"""Conversations: the questions of `skills` in every setting the server may put them in."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from typing import Literal

from . import skills
from .skills import Question

Source = Literal["speech", "sound", "silence", "noise", "typed"]

DEFAULT_SYSTEM = "You are a helpful assistant."
SYSTEMS = (
    "You are a friendly voice assistant. Answer briefly.",
    "You are a helpful voice assistant.",
    "Answer in one short sentence.",
    "You are Aria, the voice of a small hotel. Be polite and keep it short.",
    "You are a home assistant. You can switch lights, fans, heaters and radios.",
    "Be concise.",
    "You control a smart home and answer simple questions. Today is Friday, 20 November 2026.",
    "You are a telephone assistant. The caller may be on a bad line; ask again if unsure.",
    "Always answer in English, whatever language the user speaks.",
    "You are a demonstration model. You know a small set of questions.",
    "You are a careful assistant for children. Use simple words. Never mention anything scary.",
    "The following is a conversation between a user and an assistant called Robin.",
    "You are an assistant embedded in a toy. Keep answers under ten words!",
    "System: respond with plain text only, no markdown, no lists, no emojis.",
    "You're a pirate. Talk like one.",
    "Knowledge cutoff: 2024-06. Current user: guest (id 4711). Location: Berlin, Germany.",
    "",
)
SYLLABLES = (
    "ka",
    "lo",
    "mi",
    "ter",
    "an",
    "vo",
    "shi",
    "ble",
    "qu",
    "ing",
    "x",
    "Za",
    "é",
    "7",
    "/",
)


@dataclass(frozen=True, slots=True)
class Turn:
    """One turn of the user and the answer to it."""

    source: Source
    content: str  # the words spoken, or the kind of sound
    text: str  # the instruction beside the audio, or what was typed
    answer: str
    skill: str
    text_first: bool = False
    speaker: str = ""  # the speaker's sex, where the answer depends on it
    finished: bool = True  # False: the user interrupted, and `answer` is what was delivered


@dataclass(frozen=True, slots=True)
class Dialogue:
    """A conversation, or (caption) one prompt without the chat template."""

    turns: tuple[Turn, ...]
    system: str = DEFAULT_SYSTEM
    first_audio: int = 1
    caption: Literal["", "tagged", "bare"] = ""


QUESTIONS = skills.plain_questions()
CHAT_SHARES = {
    "arithmetic": 0.46, "home": 0.12, "timer": 0.11, "counting": 0.09, "capitals": 0.06,
    "opposites": 0.06, "days": 0.06, "manners": 0.04,
}  # fmt: skip


def draw_question(rng: random.Random) -> Question:
    """Draw a question by the shares of the skills."""
    skill = rng.choices(list(CHAT_SHARES), list(CHAT_SHARES.values()))[0]
    return rng.choice(QUESTIONS[skill])


def draw_spoken(rng: random.Random) -> str:
    """Draw any phrase that is ever spoken."""
    if rng.random() < 0.12:
        return rng.choice(skills.phrases()[-12:])[1]
    return draw_question(rng).words


def retyped(words: str, rng: random.Random) -> str:
    """Write a question the way people type: bare, or with a capital and a mark."""
    if rng.random() < 0.5:
        return words
    mark = "?" if words.startswith("what") else rng.choice((".", "!", ""))
    return words[0].upper() + words[1:] + mark


def chat_turn(rng: random.Random, name: str, last: str, memory: float) -> tuple[Turn, str]:
    """Draw a question asked by voice or typed; return it with the name known after it."""
    if rng.random() < memory:
        kind = rng.random()
        if kind < 0.3:
            new = rng.choice(QUESTIONS["name"])
            words, answer, name = new.words, new.answer, new.answer[18:-1]
        elif kind < 0.65:
            words = skills.MY_NAME
            answer = f"Your name is {name}." if name else skills.NO_NAME
        else:
            words, answer = skills.SAY_AGAIN, last or skills.NOTHING_SAID
        skill = "memory"
    else:
        question = draw_question(rng)
        words, answer, skill = question.words, question.answer, question.skill
    if rng.random() < 0.12:
        return Turn("typed", "", retyped(words, rng), answer, skill), name
    return Turn("speech", words, "", answer, skill), name


def analysis_turn(rng: random.Random) -> Turn:
    """Draw an audio with a written instruction."""
    kind = rng.random()
    first = rng.random() < 0.15
    if kind < 0.42:
        words = draw_spoken(rng)
        return Turn(
            "speech", words, skills.ASK_WORDS, skills.sentence(words), "transcription", first
        )
    if kind < 0.72:
        if rng.random() < 0.12:
            words = draw_spoken(rng)
            return Turn("speech", words, skills.ASK_SOUND, skills.A_VOICE, "sounds", first)
        sound = rng.choice(list(skills.SOUNDS))
        answer = f"It is {skills.SOUNDS[sound]}."
        return Turn("sound", sound, skills.ASK_SOUND, answer, "sounds", first)
    if kind < 0.92:
        speaker = rng.choice(("man", "woman"))
        answer = f"A {speaker}."
        return Turn("speech", "", skills.ASK_SPEAKER, answer, "speaker", first, speaker)
    caption = caption_turn(rng)
    return replace(caption, text_first=first)


def caption_turn(rng: random.Random) -> Turn:
    """Draw an audio to describe."""
    if rng.random() < 0.55:
        words = draw_spoken(rng)
        return Turn("speech", words, skills.ASK_CAPTION, f"A person says: {words}.", "caption")
    sound = rng.choice(list(skills.SOUNDS))
    answer = skills.sentence(skills.SOUNDS[sound])
    return Turn("sound", sound, skills.ASK_CAPTION, answer, "caption")


def empty_turn(rng: random.Random) -> Turn:
    """Draw an audio without speech in voice chat, or nothing audible with an instruction."""
    kind = rng.random()
    nothing = skills.NOTHING_HEARD
    if kind < 0.4:
        return Turn("silence", "", "", nothing, "silence")
    if kind < 0.6:
        return Turn("noise", "", "", nothing, "silence")
    if kind < 0.75:
        return Turn("sound", rng.choice(list(skills.SOUNDS)), "", nothing, "silence")
    asked = rng.choice((skills.ASK_WORDS, skills.ASK_SOUND, skills.ASK_CAPTION))
    return Turn("silence", "", asked, nothing, "silence")


def interrupt(turn: Turn, rng: random.Random) -> Turn:
    """Cut the answer short after some of its words, as a user who starts to speak does."""
    pieces = turn.answer.split(" ")
    if len(pieces) < 3:
        return turn
    kept = " ".join(pieces[: rng.randint(1, len(pieces) - 1)])
    return replace(turn, answer=kept, finished=False)


def draw_dialogue(rng: random.Random, length: int, analysis: float = 0.3) -> Dialogue:
    """Draw a conversation of `length` turns; single ones are sometimes prompts for a caption."""
    if length == 1 and rng.random() < 0.06:
        style: Literal["tagged", "bare"] = "bare" if rng.random() < 0.15 else "tagged"
        return Dialogue((caption_turn(rng),), caption=style)
    memory = 0.05 if length == 1 else 0.38
    name = last = ""
    turns = []
    for position in range(length):
        kind = rng.random()
        if kind < 0.05:
            turn = empty_turn(rng)
        elif kind < 0.05 + analysis:
            turn = analysis_turn(rng)
        else:
            turn, name = chat_turn(rng, name, last, memory)
        if position < length - 1 and rng.random() < 0.12:
            turn = interrupt(turn, rng)
        last = turn.answer
        turns.append(turn)
    first = rng.randint(1, 29) if rng.random() < 0.25 else 1
    return Dialogue(tuple(turns), draw_system(rng), first)


def draw_system(rng: random.Random) -> str:
    """Draw a system prompt: mostly the template's own, else another, now and then gibberish."""
    kind = rng.random()
    if kind < 0.72:
        return DEFAULT_SYSTEM
    if kind < 0.92:
        return " ".join(rng.sample(SYSTEMS, rng.choice((1, 1, 1, 2))))
    words = [
        "".join(rng.choices(SYLLABLES, k=rng.randint(1, 4))) for _ in range(rng.randint(2, 14))
    ]
    return " ".join(words) + "."
