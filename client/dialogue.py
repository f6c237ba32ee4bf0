"""Questions put to a server as a person would, and the answers with what they took.

A question is a recording, a text, or both. With voice activity the recording goes out at the
microphone's pace and silence follows it; what the server never takes for speech (a siren) is
committed. Push-to-talk (`manual`) makes exactly one turn of each recording.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field

from client.errors import NoAnswer, VoiceError
from client.events import (
    Error,
    Event,
    Final,
    Partial,
    Pong,
    SpeechStarted,
    SpeechStopped,
)
from client.microphone import Microphone
from client.pcm import Voice

QUIET_MS = 1000  # silence after a recording before its turn is judged
LONG_S = 30.0  # a longer recording may be more than one turn, which is for the server to say
MAX_QUIET_MS = 10_000  # silence after which an utterance that will not end is committed

UNANSWERED = {"nothing_to_commit", "nothing_to_answer", "audio_too_short"}
"""Errors that come in the place of an answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """One recording (in the connection's rate and encoding), one text, or both for one turn."""

    name: str
    pcm: bytes = b""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Answer:
    """One answer, and when it came; durations in milliseconds, None where there is none."""

    question: str
    turn: int
    text: str
    finish: str
    ms: dict[str, float]
    """As the server measured: see Final."""
    first_partial_ms: float | None
    """From the end of speech, or from the commit, to the first piece, as seen here."""
    writing_ms: float | None
    """From the first piece to the end."""
    hangover_ms: float | None
    """The part of `first_partial_ms` in which the server waited for more speech."""
    error: Error | None = None

    @property
    def interrupted(self) -> bool:
        """Tell whether the answer was stopped before its end."""
        return self.finish == "interrupted"

    @property
    def characters_per_second(self) -> float | None:
        """Give the pace of writing after the first piece; None for an answer in one piece."""
        return len(self.text) / self.writing_ms * 1000 if self.writing_ms else None


@dataclass(slots=True)
class Exchange:
    """What one question has led to so far. No I/O; `now` is seconds of any steady clock."""

    question: str
    speed: float = 1.0
    speaking: bool = False
    heard: bool = False
    """The server has reported speech."""
    answering: bool = False
    """An utterance ended, so that an answer is due."""
    asked: bool = False
    """A commit or respond was sent and nothing came of it yet."""
    too_long: bool = False
    """The server made a turn of the beginning of what was said."""
    since: float = 0.0
    """When the answer that is due was asked for."""
    first: float | None = None
    """When its first piece came."""
    error: Error | None = None
    answers: list[Answer] = field(default_factory=list)

    def ask(self, now: float) -> None:
        """Note that an answer is asked for."""
        self.asked, self.since = True, now

    def receive(self, event: Event, now: float) -> Answer | None:
        """Follow what the server tells; give the answer that it completes."""
        match event:
            case SpeechStarted():
                self.speaking = self.heard = True
            case SpeechStopped():
                self.speaking, self.answering = False, True
                self.since = self.since if self.asked else now
            case Partial() if self.first is None:
                self.first = now
            case Final():
                return self.complete(event, now)
            case Error(code):
                self.error = event
                # A commit that crosses the server's own end of speech is refused, and answered.
                self.asked = False if code in UNANSWERED else self.asked
                self.answering = self.answering and code != "audio_too_short"
                if code == "turn_too_long":
                    self.too_long = self.answering = True
                    self.since = now
            case _:
                pass
        return None

    def complete(self, final: Final, now: float) -> Answer:
        """Note the end of an answer."""
        hangover = final.ms.get("hangover", 0.0) / self.speed
        waited = 0.0 if self.asked else hangover
        answer = Answer(
            self.question,
            final.turn,
            final.text,
            final.finish,
            final.ms,
            None if self.first is None else (self.first - self.since) * 1000 + waited,
            None if self.first is None else (now - self.first) * 1000,
            waited or None,
            self.error if final.finish == "interrupted" else None,
        )
        self.answers.append(answer)
        self.answering = self.asked = False
        self.first = self.error = None
        return answer

    @property
    def open(self) -> bool:
        """Tell whether an answer is still due."""
        return self.speaking or self.answering or self.asked


class Dialogue:
    """Puts questions one after another over one connection.

    `watch` is called with every event as it comes, and with each answer after its Final.
    """

    def __init__(
        self,
        voice: Voice,
        microphone: Microphone,
        *,
        manual: bool = False,
        patience: float = 120.0,
        watch: Callable[[Event | Answer], None] = lambda _: None,
    ) -> None:
        self.voice = voice
        self.microphone = microphone
        self.manual = manual
        """The connection was made with turn_detection="manual"."""
        self.patience = patience
        """Seconds without a word from the server while one is due."""
        self.watch = watch
        self.exchange = Exchange("")
        self.pongs = 0
        self.news = asyncio.Event()

    async def ask(self, question: Question) -> Exchange:
        """Put a question and wait until it is answered: its answers, or the error instead.

        Speech that goes on after a pause makes several turns of one recording.
        """
        self.exchange = Exchange(question.name, self.microphone.speed)
        try:
            async with asyncio.TaskGroup() as group:
                listening = group.create_task(self.listen())
                await self.put(question)
                await self.until(lambda: not self.exchange.open)
                listening.cancel()
        except BaseExceptionGroup as group:
            raise first(group) from None
        return self.exchange

    async def put(self, question: Question) -> None:
        """Write and say the question."""
        if question.text:
            await self.voice.text(question.text)
        if not question.pcm:
            self.exchange.ask(self.now)
            await self.voice.respond()
            return
        async for frame in self.microphone.frames(question.pcm):
            await self.voice.send(frame)
        if self.manual and self.microphone.seconds(question.pcm) > LONG_S:
            await self.split(question)
        if self.manual or not await self.heard_out():
            self.exchange.ask(self.now)
            await self.voice.commit()

    async def split(self, question: Question) -> None:
        """Wait for the answer to the beginning of what is too long for one turn."""
        await self.caught_up()
        if self.exchange.too_long:
            await self.until(lambda: not self.exchange.open)
            if question.text:  # it holds for the rest, too
                await self.voice.text(question.text)

    async def heard_out(self) -> bool:
        """Stay silent until the server ends the utterance; False when it has to be committed."""
        for _ in range(MAX_QUIET_MS // QUIET_MS):
            async for frame in self.microphone.quiet(QUIET_MS):
                await self.voice.send(frame)
            await self.caught_up()
            if not self.exchange.speaking:
                return self.exchange.heard
        return False

    async def caught_up(self) -> None:
        """Wait until the server has judged everything sent: it answers a ping in order."""
        awaited = self.pongs + 1
        await self.voice.ping()
        await self.until(lambda: self.pongs >= awaited)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait for a condition, which is looked at after each event."""
        while not condition():
            self.news.clear()
            try:
                async with asyncio.timeout(self.patience):
                    await self.news.wait()
            except TimeoutError:
                raise NoAnswer(f"no word from the server for {self.patience:g} s") from None

    async def listen(self) -> None:
        """Follow the server's events."""
        async for event in self.voice:
            answer = self.exchange.receive(event, self.now)
            self.pongs += isinstance(event, Pong)
            self.watch(event)
            if answer is not None:
                self.watch(answer)
            self.news.set()
        raise self.voice.lost()

    @property
    def now(self) -> float:
        """Read the clock, in seconds."""
        return asyncio.get_running_loop().time()


def first(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """Pick what to report of the things that went wrong at once: a failure of the connection."""
    failures = [error for error in group.exceptions if isinstance(error, VoiceError)]
    return failures[0] if failures else group.exceptions[0]
