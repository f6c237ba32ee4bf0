"""What is asked of the engine beside the conversation: answers out of band, and transcripts.

Rule: nothing here changes the conversation, but for the transcript that a user item is given. The
number of such requests is bounded; one too many is refused, none is ever queued.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from realtime.engine.api import Request, Sampling, Turn, Usage, UserTurn
from realtime.session.conversation import Conversation
from realtime.session.events import (
    Cancel,
    Effect,
    Emit,
    Final,
    Generate,
    Partial,
    ResponseEnded,
    ResponseFailed,
    ResponseOptions,
    ResponseStarted,
    TextDelta,
    Transcribed,
    Trouble,
)
from realtime.session.items import Answer, UserItem

MOST_TRANSCRIPTS = 8
EXACTLY = Sampling(temperature=0.0, repetition_penalty=1.0, max_tokens=512)
"""How a transcript is decoded: greedily, and free to repeat what was said."""


@dataclass(slots=True)
class OutOfBandResponse:
    """An answer that does not become part of the conversation."""

    answer: Answer
    audio_tokens: int
    partials: int = 0


@dataclass(slots=True)
class Transcript:
    """What was said in an item, as far as it is written down."""

    item: UserItem
    text: str = ""

    @property
    def seconds(self) -> float:
        """Give the length of what was said."""
        return sum(len(clip.pcm) for clip in self.item.clips) / 16_000


class OutOfBand:
    """The requests of one session that nobody's turn waits for."""

    def __init__(self, conversation: Conversation, prompt: str, *, most: int) -> None:
        self.conversation = conversation
        self.most = most
        """Answers at once."""
        self.prompt = prompt
        """Asks the model to write down what it hears."""
        self.answers: dict[str, OutOfBandResponse] = {}
        self.transcripts: dict[str, Transcript] = {}

    @property
    def full(self) -> bool:
        """Tell whether no more answers are taken."""
        return len(self.answers) >= self.most

    def respond(
        self,
        turns: tuple[Turn, ...],
        audio_tokens: int,
        sampling: Sampling,
        options: ResponseOptions,
    ) -> list[Effect]:
        """Ask for an answer out of band."""
        request = self.request("a", turns, sampling)
        answer = Answer(self.conversation.new_id(), 0)
        self.answers[request.id] = OutOfBandResponse(answer, audio_tokens)
        started = ResponseStarted(request.id, answer, None, options)
        return [Emit(started), Generate(request, "out_of_band")]

    def transcribe(self, item: UserItem) -> list[Effect]:
        """Ask what was said in an item."""
        transcript = Transcript(item)
        if len(self.transcripts) >= MOST_TRANSCRIPTS:
            trouble = Trouble("busy", "Too many transcripts are being made already.")
            return [Emit(Transcribed(item.id, "", transcript.seconds, trouble))]
        turns = (UserTurn((*item.clips, self.prompt)),)
        request = replace(self.request("t", turns, EXACTLY), priority="low")
        self.transcripts[request.id] = transcript
        return [Generate(request, "out_of_band")]

    def request(self, kind: str, turns: tuple[Turn, ...], sampling: Sampling) -> Request:
        """Make a request that leaves what the engine keeps of the conversation alone."""
        self.conversation.out_of_band_made += 1
        name = f"{self.conversation.id}~{kind}"
        return Request(f"{name}{self.conversation.out_of_band_made}", name, turns, sampling)

    def receive(self, event: TextDelta | ResponseEnded | ResponseFailed) -> list[Effect] | None:
        """Take a piece or an end; None when it belongs to nothing here."""
        if (live := self.answers.get(event.response)) is not None:
            return self.answered(live, event)
        if (transcript := self.transcripts.get(event.response)) is not None:
            return self.transcribed(transcript, event)
        return None

    def answered(
        self, live: OutOfBandResponse, event: TextDelta | ResponseEnded | ResponseFailed
    ) -> list[Effect]:
        """Deliver a piece of an answer, or end it."""
        match event:
            case TextDelta(response, tokens, text):
                live.answer.pieces.append((tokens, text))
                if not text:
                    return []
                partial = Partial(0, live.partials, text, response)
                live.partials += 1
                return [Emit(partial)]
            case ResponseEnded(response, finish, usage):
                return [self.end(response, Final(0, "", finish, usage))]
            case ResponseFailed(response, code, message):
                failure = Trouble(code, message)
                return [self.end(response, Final(0, "", "interrupted", failure=failure))]

    def end(self, response: str, final: Final) -> Emit:
        """Close an answer; its text is what was delivered."""
        live = self.answers.pop(response)
        usage = with_audio(final.usage, live.audio_tokens)
        return Emit(replace(final, text=live.answer.text, usage=usage, response=response))

    def transcribed(
        self, transcript: Transcript, event: TextDelta | ResponseEnded | ResponseFailed
    ) -> list[Effect]:
        """Write a piece down, or tell the whole."""
        item, seconds = transcript.item, transcript.seconds
        match event:
            case TextDelta(_, _, text):
                transcript.text += text
                return []
            case ResponseEnded(response):
                del self.transcripts[response]
                text = transcript.text.strip()
                self.conversation.replace(replace(item, transcript=text))
                return [Emit(Transcribed(item.id, text, seconds))]
            case ResponseFailed(response, code, message):
                del self.transcripts[response]
                return [Emit(Transcribed(item.id, "", seconds, Trouble(code, message)))]

    def cancel(self, response: str) -> list[Effect]:
        """Stop one answer, if it is one of these."""
        if response not in self.answers:
            return []
        final = Final(0, "", "interrupted", reason="asked")
        return [Cancel(response), self.end(response, final)]


def with_audio(usage: Usage | None, audio_tokens: int) -> Usage | None:
    """Add how much of the prompt is audio."""
    return usage and replace(usage, audio_tokens=min(audio_tokens, usage.prompt_tokens))
