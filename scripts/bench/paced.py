"""Many peers who speak at once, each at the pace of a microphone, and what they were answered."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from client.errors import VoiceError
from client.events import Final, Partial, SpeechStopped
from client.microphone import Microphone
from client.pcm import Voice, connect
from realtime.audio.files import read
from realtime.audio.pcm import to_bytes

SAMPLES = Path(__file__).parents[2] / "client" / "samples"
ASKED = (
    "what-is-two-plus-three.wav",
    "what-is-the-capital-of-france.mp3",
    "turn-on-the-kitchen-light.flac",
    "set-a-timer-for-ten-minutes.ogg",
    "what-is-my-name.wav",
    "good-morning-8khz.wav",
)
BYTES_PER_S = 32_000
QUIET = 8 * BYTES_PER_S
"""Bytes of silence after a question until its answer is given up."""
APART_S = 0.11
"""Between one peer's first word and the next one's, so that they do not ask in step."""


@dataclass(frozen=True, slots=True)
class Question:
    """A recording as 16-bit samples at 16 kHz, and its one right answer; None: any."""

    pcm: bytes
    right: str | None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one question."""

    right: bool = False
    after_ms: float | None = None
    """From the end of the hangover to the first piece of the answer, as the peer saw it."""


def questions(*, judged: bool) -> tuple[Question, ...]:
    """Read the recordings; with `judged`, what is right to answer too."""
    known = json.loads((SAMPLES / "samples.json").read_text())
    return tuple(
        Question(to_bytes(read(SAMPLES / name)), known[name]["answer"] if judged else None)
        for name in ASKED
    )


async def crowd(url: str, asked: Sequence[Question], *, peers: int, each: int) -> list[Outcome]:
    """Have so many peers ask so many questions each, all at once."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(peer(url, asked, number, each)) for number in range(peers)]
    return [outcome for task in tasks for outcome in task.result()]


async def peer(url: str, asked: Sequence[Question], number: int, each: int) -> list[Outcome]:
    """Ask in one connection, each question once the last is answered or given up."""
    await asyncio.sleep(number * APART_S)
    outcomes: list[Outcome] = []
    with contextlib.suppress(VoiceError, TimeoutError):
        async with connect(url) as voice:
            mouth = Mouth(voice)
            for at in range(each):
                outcomes.append(await mouth.ask(asked[(number + at) % len(asked)]))
                await voice.reset()
    return [*outcomes, *[Outcome()] * (each - len(outcomes))]


class Mouth:
    """One peer's voice, which knows when each sample of its connection was spoken."""

    def __init__(self, voice: Voice) -> None:
        self.voice = voice
        self.sent = 0
        """Bytes."""

    async def ask(self, question: Question) -> Outcome:
        """Speak one question, fall silent, and judge the answer."""
        begun = now() - self.sent / BYTES_PER_S
        listening = asyncio.create_task(listen(self.voice))
        microphone = Microphone()
        try:
            async for frame in microphone.frames(question.pcm + bytes(QUIET)):
                await self.voice.send(frame)
                self.sent += len(frame)
                if listening.done():
                    break
        finally:
            listening.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            heard = await listening
            right = heard.turns == 1 and question.right in (None, heard.text)
            return Outcome(right, (heard.first - begun) * 1000 - heard.stopped_ms)
        return Outcome()


@dataclass(slots=True)
class Heard:
    """What came back for one question."""

    turns: int = 0
    stopped_ms: float = 0.0
    """Where in the audio the hangover was over: the tail that is kept is as long."""
    first: float = 0.0
    text: str = ""


async def listen(voice: Voice) -> Heard:
    """Follow events until an answer is over."""
    heard = Heard()
    async for event in voice:
        match event:
            case SpeechStopped(at_ms=at):
                heard.turns, heard.stopped_ms = heard.turns + 1, at
            case Partial() if not heard.first:
                heard.first = now()
            case Final(text=text, finish=finish) if finish != "interrupted":
                heard.text = text
                return heard
    raise voice.lost()


def now() -> float:
    """Read the clock, in seconds."""
    return asyncio.get_running_loop().time()
