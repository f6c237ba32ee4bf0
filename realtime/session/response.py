"""The answer of a conversation as it is delivered: due, under way, over or stopped.

Rule: the conversation holds what was delivered, and nothing is delivered after the end.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal, assert_never

from realtime.engine.api import Clip, Turn, Usage, UserTurn
from realtime.session.conversation import Conversation, audio_tokens
from realtime.session.events import (
    Cancel,
    Cancelled,
    Effect,
    Emit,
    Final,
    Partial,
    ResponseEnded,
    ResponseFailed,
    ResponseOptions,
    ResponseStarted,
    TextDelta,
    Trouble,
)
from realtime.session.items import Answer
from realtime.session.out_of_band import with_audio
from realtime.session.turn_table import Move, Turns

Finish = Literal["stop", "length", "interrupted"]
Reason = Literal["speech", "asked"]


class Responses:
    """One answer after the other."""

    def __init__(self, conversation: Conversation, turns: Turns) -> None:
        self.conversation = conversation
        self.turns = turns
        self.response: str | None = None
        """Id of the answer that is due or under way."""
        self.answer = Answer("", 0)
        """That answer, or the one before."""
        self.audio_tokens = 0
        """Of its prompt."""
        self.partials = 0
        self.waited: tuple[tuple[str, float], ...] = ()
        """How long its turn was waited for after the speech, in ms."""

    def begin(
        self, response: str, audio_tokens: int, hangover_ms: float, options: ResponseOptions
    ) -> Emit:
        """Open an answer."""
        self.turns.move(Move.ASK)
        self.response = response
        self.answer = self.conversation.begin_answer()
        self.audio_tokens = audio_tokens
        self.partials = 0
        self.waited = (("hangover", hangover_ms),) if hangover_ms else ()
        previous = self.conversation.previous(self.answer.id)
        return Emit(ResponseStarted(response, self.answer, previous, options))

    def take(self, event: TextDelta | ResponseEnded | ResponseFailed) -> list[Effect]:
        """Deliver a piece, or end the answer."""
        match event:
            case TextDelta(response, tokens, text):
                return self.deliver(response, tokens, text)
            case ResponseEnded(_, finish, usage):
                return [self.end(finish, with_audio(usage, self.audio_tokens))]
            case ResponseFailed(_, code, message):
                return [self.end("interrupted", failure=Trouble(code, message))]
            case _:
                assert_never(event)

    def deliver(self, response: str, tokens: tuple[int, ...], text: str) -> list[Effect]:
        """Pass a piece on, and remember that the peer has it."""
        self.turns.move(Move.DELTA)
        self.answer.pieces.append((tokens, text))
        if not text:
            return []
        partial = Partial(self.answer.turn, self.partials, text, response)
        self.partials += 1
        return [Emit(partial)]

    def end(
        self,
        finish: Finish,
        usage: Usage | None = None,
        *,
        reason: Reason | None = None,
        failure: Trouble | None = None,
        move: Move = Move.END,
    ) -> Emit:
        """Close the answer; its turn number and text go to the peer."""
        assert self.response is not None
        self.turns.move(move)
        answer, response = self.answer, self.response
        self.response = None
        final = Final(answer.turn, answer.text, finish, usage, self.waited, response)
        return Emit(replace(final, reason=reason, failure=failure))

    def stop(self, reason: Reason, move: Move = Move.END) -> list[Effect]:
        """Stop the answer, if there is one, and keep what the user has had of it."""
        if self.response is None:
            return []
        cancel = Cancel(self.response)
        self.answer.cut_to_played()
        cancelled = Cancelled(self.answer.turn, self.answer.text)
        return [cancel, Emit(cancelled), self.end("interrupted", reason=reason, move=move)]

    def cut_unplayed(self) -> list[Effect]:
        """Drop what was delivered but not yet heard of an answer that is still being played."""
        answer = self.conversation.last_answer
        if answer is None or not answer.cut_to_played():
            return []
        return [Emit(Cancelled(answer.turn, answer.text))]

    def note_played(self, turn: int, chars: int) -> None:
        """Remember how far the user has followed the latest answer; never less than before."""
        answer = self.conversation.last_answer
        if answer is not None and answer.turn == turn:
            answer.played = max(answer.played or 0, chars)


def audio_of(turns: tuple[Turn, ...]) -> int:
    """Count the tokens of the audio in a prompt."""
    users = (turn for turn in turns if isinstance(turn, UserTurn))
    clips = (part for turn in users for part in turn.parts if isinstance(part, Clip))
    return sum(audio_tokens(len(clip.pcm)) for clip in clips)
