"""What is asked of the engine beside the conversation: responses out of band, and transcripts.

Rule: nothing here changes the conversation, but for the transcript that a user item is given. The
number of such requests is bounded; one too many is refused, none is ever queued.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from realtime.audio.pcm import SAMPLE_RATE
from realtime.engine.api import Priority, Request, Sampling, Turn, UserTurn
from realtime.session.conversation import Conversation
from realtime.session.events import (
    Cancel,
    Effect,
    Emit,
    EngineEvent,
    Generate,
    ResponseEnded,
    ResponseFailed,
    ResponseOptions,
    ResponseStarted,
    TextDelta,
    Transcribed,
    Trouble,
)
from realtime.session.items import Answer, UserItem
from realtime.session.response import LiveResponse, audio_of

MOST_TRANSCRIPTS = 8
EXACTLY = Sampling(temperature=0.0, repetition_penalty=1.0, max_tokens=512)
"""How a transcript is decoded: greedily, and free to repeat what was said."""


@dataclass(slots=True)
class Transcript:
    """What was said in an item, as far as it is written down."""

    item: UserItem
    text: str = ""

    @property
    def seconds(self) -> float:
        """Give the length of what was said."""
        return sum(len(clip.pcm) for clip in self.item.clips) / SAMPLE_RATE

    def told(self, text: str, failure: Trouble | None = None) -> Emit:
        """Tell what was said, or why that cannot be told."""
        return Emit(Transcribed(self.item.id, text, self.seconds, failure))


class OutOfBand:
    """The requests of one session that nobody's turn waits for."""

    def __init__(self, conversation: Conversation, prompt: str, *, most: int) -> None:
        self.conversation = conversation
        self.most = most
        """Responses at once."""
        self.prompt = prompt
        """Asks the model to write down what it hears."""
        self.responses: dict[str, LiveResponse] = {}
        self.transcripts: dict[str, Transcript] = {}

    @property
    def full(self) -> bool:
        """Tell whether no more responses are taken."""
        return len(self.responses) >= self.most

    def respond(
        self, turns: tuple[Turn, ...], sampling: Sampling, options: ResponseOptions
    ) -> list[Effect]:
        """Ask for a response."""
        request = self.request("a", turns, sampling)
        answer = Answer(self.conversation.new_id(), 0)
        self.responses[request.id] = LiveResponse(request.id, answer, audio_of(turns))
        started = ResponseStarted(request.id, answer, None, options)
        return [Emit(started), Generate(request, "out_of_band")]

    def transcribe(self, item: UserItem) -> list[Effect]:
        """Ask what was said in an item."""
        transcript = Transcript(item)
        if len(self.transcripts) >= MOST_TRANSCRIPTS:
            trouble = Trouble("busy", "Too many transcripts are being made already.")
            return [transcript.told("", trouble)]
        turns = (UserTurn((*item.clips, self.prompt)),)
        request = self.request("t", turns, EXACTLY, "low")
        self.transcripts[request.id] = transcript
        return [Generate(request, "out_of_band")]

    def request(
        self,
        kind: str,
        turns: tuple[Turn, ...],
        sampling: Sampling,
        priority: Priority = "normal",
    ) -> Request:
        """Make a request that leaves what the engine keeps of the conversation alone."""
        self.conversation.out_of_band_made += 1
        name = f"{self.conversation.id}~{kind}"
        id = f"{name}{self.conversation.out_of_band_made}"
        return Request(id, name, turns, sampling, priority=priority)

    def receive(self, event: EngineEvent) -> list[Effect] | None:
        """Take a piece or an end; None when it belongs to nothing here."""
        if (live := self.responses.get(event.response)) is not None:
            if not isinstance(event, TextDelta):
                del self.responses[event.response]
            return live.take(event)
        if (transcript := self.transcripts.get(event.response)) is not None:
            return self.transcribed(transcript, event)
        return None

    def transcribed(self, transcript: Transcript, event: EngineEvent) -> list[Effect]:
        """Write a piece down, or tell the whole."""
        match event:
            case TextDelta(_, _, text):
                transcript.text += text
                return []
            case ResponseEnded(response):
                del self.transcripts[response]
                text = transcript.text.strip()
                self.conversation.replace(replace(transcript.item, transcript=text))
                return [transcript.told(text)]
            case ResponseFailed(response, code, message):
                del self.transcripts[response]
                return [transcript.told("", Trouble(code, message))]

    def cancel(self, response: str) -> list[Effect]:
        """Stop one response, if it is one of these."""
        live = self.responses.pop(response, None)
        if live is None:
            return []
        return [Cancel(response), live.final("interrupted", reason="asked")]
