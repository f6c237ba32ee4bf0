"""The response of a conversation: asked for, delivered, over, stopped, and asked for anew.

Rule: the conversation holds what was delivered, and nothing is delivered after the end.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from realtime.engine.api import Clip, Request, Sampling, Turn, Usage, UserTurn
from realtime.engine.audio_tokens import audio_tokens
from realtime.session.conversation import Conversation, Question
from realtime.session.events import (
    Cancel,
    Cancelled,
    Effect,
    Emit,
    EngineEvent,
    Final,
    Generate,
    Partial,
    ResponseEnded,
    ResponseFailed,
    ResponseOptions,
    ResponseStarted,
    TextDelta,
    Trouble,
)
from realtime.session.items import Answer
from realtime.session.turn_table import Move, Turns

Finish = Literal["stop", "length", "interrupted"]
Reason = Literal["speech", "asked"]

UNCHANGED = ResponseOptions()


@dataclass(slots=True)
class LiveResponse:
    """A response that is due or under way, in the conversation or out of band."""

    id: str
    answer: Answer
    audio_tokens: int
    """Of its prompt."""
    waited: tuple[tuple[str, float], ...] = ()
    """How long its turn was waited for after the speech, in ms."""
    partials: int = 0

    def take(self, event: EngineEvent) -> list[Effect]:
        """Deliver a piece, or tell the end."""
        match event:
            case TextDelta(_, tokens, text):
                return self.deliver(tokens, text)
            case ResponseEnded(_, finish, usage):
                return [self.final(finish, usage)]
            case ResponseFailed(_, code, message):
                return [self.final("interrupted", failure=Trouble(code, message))]

    def deliver(self, tokens: tuple[int, ...], text: str) -> list[Effect]:
        """Pass a piece on, and remember that the peer has it."""
        self.answer.pieces.append((tokens, text))
        if not text:
            return []
        partial = Partial(self.answer.turn, self.partials, text, self.id)
        self.partials += 1
        return [Emit(partial)]

    def final(
        self,
        finish: Finish,
        usage: Usage | None = None,
        *,
        reason: Reason | None = None,
        failure: Trouble | None = None,
    ) -> Emit:
        """Tell that it is over: its turn number and what stays of its text."""
        if usage is not None:
            audio = min(self.audio_tokens, usage.prompt_tokens)
            usage = replace(usage, audio_tokens=audio)
        turn, text = self.answer.turn, self.answer.text
        return Emit(Final(turn, text, finish, usage, self.waited, self.id, reason, failure))


class Responses:
    """The responses of one conversation, one after the other."""

    def __init__(self, conversation: Conversation, turns: Turns) -> None:
        self.conversation = conversation
        self.turns = turns
        self.live: LiveResponse | None = None
        self.answer_owed = False
        """The user has spoken during an answer that was not to be stopped."""

    def ask(
        self,
        turns: tuple[Turn, ...],
        sampling: Sampling,
        options: ResponseOptions,
        hangover_ms: float,
    ) -> list[Effect]:
        """Ask for the next answer."""
        id = f"{self.conversation.id}:{self.conversation.turn + 1}"
        request = Request(id, self.conversation.id, turns, sampling)
        return [self.begin(request, options, hangover_ms), Generate(request)]

    def begin(self, request: Request, options: ResponseOptions, hangover_ms: float) -> Emit:
        """Open the answer that is asked for, and wait for it from now on."""
        self.turns.move(Move.ASK)
        self.answer_owed = False
        answer = self.conversation.begin_answer()
        waited = (("hangover", hangover_ms),) if hangover_ms else ()
        self.live = LiveResponse(request.id, answer, audio_of(request.turns), waited)
        self.conversation.question = Question(answer, request.turns, request.sampling, options)
        previous = self.conversation.previous(answer.id)
        return Emit(ResponseStarted(request.id, answer, previous, options))

    def receive(self, live: LiveResponse, event: EngineEvent) -> list[Effect]:
        """Deliver a piece, or end the answer."""
        if isinstance(event, TextDelta):
            self.turns.move(Move.DELTA)
        else:
            self.turns.move(Move.END)
            self.live = None
        return live.take(event)

    def stop(self, reason: Reason, move: Move = Move.END) -> list[Effect]:
        """Stop the answer, if there is one, and keep what the user has had of it.

        What was said to it meanwhile is not answered.
        """
        if self.live is None:
            return []
        live, self.live = self.live, None
        self.turns.move(move)
        self.conversation.question = None
        live.answer.cut_to_played()
        cancelled = Cancelled(live.answer.turn, live.answer.text)
        return [Cancel(live.id), Emit(cancelled), live.final("interrupted", reason=reason)]

    def cut_unplayed(self) -> list[Effect]:
        """Drop what was delivered but not yet heard of an answer that is still being played."""
        answer = self.conversation.last_answer
        if self.live is not None or answer is None or not answer.cut_to_played():
            return []
        return [Emit(Cancelled(answer.turn, answer.text))]

    def note_played(self, turn: int, chars: int) -> None:
        """Remember how far the user has followed the latest answer; never less than before."""
        answer = self.conversation.last_answer
        if answer is not None and answer.turn == turn:
            answer.played = max(answer.played or 0, chars)

    def lose_peer(self, sent: bool) -> list[Effect]:
        """Stop the answer; it is asked for anew if the peer comes back."""
        question = self.conversation.question
        if question is not None:
            if self.answer_owed:  # what was said meanwhile belongs to the question
                items = [item for item in self.conversation.items if item is not question.answer]
                question.turns = self.conversation.turns(items)
            arrived = self.live is None and (sent or question.answer.played_out)
            question.lost = question.lost or not arrived
        effects = self.stop("asked")
        self.conversation.question = question
        return effects

    def ask_again(self, had: int | None) -> list[Effect]:
        """Ask anew what the peer missed the answer to; the answer that was cut stands nowhere."""
        question = self.conversation.missed(had)
        if question is None:
            return []
        return self.ask(question.turns, question.sampling, question.options, 0.0)


def audio_of(turns: tuple[Turn, ...]) -> int:
    """Count the tokens of the audio in a prompt."""
    users = (turn for turn in turns if isinstance(turn, UserTurn))
    clips = (part for turn in users for part in turn.parts if isinstance(part, Clip))
    return sum(audio_tokens(len(clip.pcm)) for clip in clips)
