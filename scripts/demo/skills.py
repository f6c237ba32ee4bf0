"""What the demonstration model knows: every question, its exact wording and its one right answer.

The wording is a contract. Tests, samples and the model card speak to the model in these words.
All spoken text is lower case with numbers in words; answers are short sentences.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

UNITS_IN_WORDS = ("one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
NUMBERS = (
    "zero", *UNITS_IN_WORDS, "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen",
    "sixteen", "seventeen", "eighteen", "nineteen",
    "twenty", *("twenty-" + unit for unit in UNITS_IN_WORDS),
    "thirty", *("thirty-" + unit for unit in UNITS_IN_WORDS),
    "forty",
)  # fmt: skip
ROOMS = ("kitchen", "bedroom", "bathroom", "garden", "office", "hall")
DEVICES = ("light", "fan", "heater", "radio", "door")
UNITS = ("second", "minute", "hour")
CAPITALS = {
    "france": "Paris", "italy": "Rome", "spain": "Madrid", "germany": "Berlin", "japan": "Tokyo",
    "china": "Beijing", "england": "London", "russia": "Moscow", "egypt": "Cairo",
    "greece": "Athens", "portugal": "Lisbon", "austria": "Vienna",
}  # fmt: skip
OPPOSITES = {
    "hot": "cold", "big": "small", "fast": "slow", "day": "night", "happy": "sad",
    "open": "closed", "left": "right", "up": "down", "old": "new", "rich": "poor",
    "black": "white", "full": "empty",
}  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
NAMES = ("Anna", "Peter", "Maria", "John", "Lucy", "Tom", "Sara", "David", "Emma", "Paul")
MANNERS = {
    "hello there": "Hello! How can I help you?",
    "good morning": "Good morning to you.",
    "thank you very much": "You are welcome.",
    "goodbye": "Goodbye, see you soon.",
}
SOUNDS = {
    "siren": "a siren", "beep": "a beep", "noise": "noise", "knocking": "knocking",
    "bell": "a bell", "birds": "birds", "engine": "an engine", "clapping": "clapping",
    "glass": "breaking glass", "rain": "rain",
}  # fmt: skip

ASK_WORDS = "What does the person say?"
ASK_SOUND = "What's that sound?"
ASK_SPEAKER = "Is the speaker a man or a woman?"
ASK_CAPTION = "Generate the caption in English:"
NOTHING_HEARD = "I did not hear anything."
A_VOICE = "It is a voice."
MY_NAME = "what is my name"
NO_NAME = "You have not told me your name."
SAY_AGAIN = "say that again"
NOTHING_SAID = "I have not said anything yet."


@dataclass(frozen=True, slots=True)
class Question:
    """One thing that can be said to the model, and the answer that depends on nothing else."""

    skill: str
    words: str
    answer: str


def sentence(words: str) -> str:
    """Write words as a sentence: a capital first and a full stop last."""
    return words[:1].upper() + words[1:] + "."


def arithmetic() -> list[Question]:
    """List all sums and differences up to twenty and products up to six times six."""
    said = []
    for a in range(21):
        for b in range(21):
            said.append((f"what is {NUMBERS[a]} plus {NUMBERS[b]}", a + b))
            if b <= a:
                said.append((f"what is {NUMBERS[a]} minus {NUMBERS[b]}", a - b))
            if a <= 6 and b <= 6:
                said.append((f"what is {NUMBERS[a]} times {NUMBERS[b]}", a * b))
    return [Question("arithmetic", words, sentence(NUMBERS[n])) for words, n in said]


def home() -> list[Question]:
    """List every device of every room, on and off."""
    return [
        Question("home", f"turn {s} the {r} {d}", f"Okay, the {r} {d} is {s}.")
        for s in ("on", "off")
        for r in ROOMS
        for d in DEVICES
    ]


def timers() -> list[Question]:
    """List timers of one to twenty seconds, minutes and hours ("one minute", "two minutes")."""
    spans = [f"{NUMBERS[n]} {unit}{'s' * (n > 1)}" for n in range(1, 21) for unit in UNITS]
    return [Question("timer", f"set a timer for {s}", f"Timer set for {s}.") for s in spans]


def counting() -> list[Question]:
    """List the long answers: counts to three up to twenty."""
    return [
        Question("counting", f"count to {NUMBERS[n]}", sentence(", ".join(NUMBERS[1 : n + 1])))
        for n in range(3, 21)
    ]


def facts() -> list[Question]:
    """List capitals, opposites, days of the week and manners."""
    found = [
        Question("capitals", f"what is the capital of {country}", f"{city}.")
        for country, city in CAPITALS.items()
    ]
    found += [
        Question("opposites", f"what is the opposite of {a}", sentence(b))
        for a, b in OPPOSITES.items()
    ]
    for i, day in enumerate(DAYS):
        for word, step in (("after", 1), ("before", -1)):
            answer = f"{DAYS[(i + step) % 7]}."
            found.append(Question("days", f"what day comes {word} {day.lower()}", answer))
    return found + [Question("manners", words, answer) for words, answer in MANNERS.items()]


def names() -> list[Question]:
    """List the introductions."""
    return [Question("name", f"my name is {n.lower()}", f"Nice to meet you, {n}.") for n in NAMES]


def plain_questions() -> dict[str, list[Question]]:
    """Group by skill every question whose answer needs no memory."""
    grouped: dict[str, list[Question]] = {}
    for question in arithmetic() + home() + timers() + counting() + facts() + names():
        grouped.setdefault(question.skill, []).append(question)
    return grouped


def phrases() -> list[tuple[str, str]]:
    """List (skill, words) of everything that is ever spoken, the questions of memory included."""
    plain = [(q.skill, q.words) for group in plain_questions().values() for q in group]
    return [*plain, ("memory", MY_NAME), ("memory", SAY_AGAIN)]


# Shares of the skills among spoken phrases; arithmetic has hundreds of phrases, others tens.
SKILL_SHARES = {
    "arithmetic": 0.44, "home": 0.11, "timer": 0.10, "counting": 0.06, "capitals": 0.06,
    "opposites": 0.06, "days": 0.05, "manners": 0.03, "name": 0.04, "memory": 0.05,
}  # fmt: skip


def spoken_plan(count: int, rng: random.Random) -> list[str]:
    """Plan `count` phrases to synthesise: skills by share, the phrases of a skill evenly."""
    by_skill: dict[str, list[str]] = {}
    for skill, words in phrases():
        by_skill.setdefault(skill, []).append(words)
    plan: list[str] = []
    for skill, share in SKILL_SHARES.items():
        plan += cycle_shuffled(by_skill[skill], round(count * share), rng)
    rng.shuffle(plan)
    return plan[:count]


def cycle_shuffled(items: Sequence[str], count: int, rng: random.Random) -> list[str]:
    """Repeat `items` in fresh random orders until there are `count`."""
    out: list[str] = []
    while len(out) < count:
        out += rng.sample(list(items), len(items))
    return out[:count]
