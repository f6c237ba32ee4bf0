"""The turn machine: who speaks, who is answered, who is interrupted. No I/O, no clock.

Theory of operation. The user either speaks (HEARING) or not. When an utterance ends, its audio and
the text that came with it become a user turn and an answer is asked for (WAITING); its first piece
moves us to RESPONDING, its end back to LISTENING. Speech while an answer is due or under way stops
it first (barge-in: the user always wins). What was delivered by then stays in the conversation;
late pieces of a stopped answer carry its id and are dropped in one place. If nothing was delivered,
the question is still open, and what the user says next continues that same turn.

At a short pause the utterance is frozen and its answer asked for on a guess, held back: the end of
speech confirms it, more speech (or a word that changes the turn) drops it. The peer sees nothing of
a guess but that its answer comes sooner.

Time is sample positions: the same audio gives the same events however it was cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum, auto
from typing import Literal, assert_never

from realtime.audio.endpoint import (
    Continued,
    Ended,
    Endpointer,
    EndpointEvent,
    Paused,
    Resumed,
    Started,
    Utterance,
)
from realtime.audio.pcm import SAMPLE_RATE
from realtime.conversation import Answer, Conversation
from realtime.draft import Draft
from realtime.engine.api import Clip, Sampling, Usage
from realtime.events import (
    AudioReceived,
    Cancel,
    CancelAsked,
    Cancelled,
    ClearAsked,
    CommitAsked,
    Confirm,
    Effect,
    Emit,
    Final,
    Generate,
    Input,
    InstructionSet,
    Partial,
    PingReceived,
    Played,
    Pong,
    ResetAsked,
    ResponseAsked,
    ResponseEnded,
    ResponseFailed,
    SpeechStarted,
    SpeechStopped,
    TextDelta,
    TextReceived,
    Trouble,
)


class State(Enum):
    """What the session is doing."""

    LISTENING = auto()
    HEARING = auto()
    WAITING = auto()
    RESPONDING = auto()


class Move(Enum):
    """What changes the state."""

    SPEECH = auto()
    NO_SPEECH = auto()
    ASK = auto()
    DELTA = auto()
    END = auto()


TRANSITIONS = {
    (State.LISTENING, Move.SPEECH): State.HEARING,
    (State.HEARING, Move.NO_SPEECH): State.LISTENING,
    (State.LISTENING, Move.ASK): State.WAITING,
    (State.HEARING, Move.ASK): State.WAITING,
    (State.WAITING, Move.DELTA): State.RESPONDING,
    (State.RESPONDING, Move.DELTA): State.RESPONDING,
    (State.WAITING, Move.END): State.LISTENING,
    (State.RESPONDING, Move.END): State.LISTENING,
}


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """How a session takes turns."""

    sampling: Sampling = field(default_factory=Sampling)
    min_audio_ms: int = 100
    """Shorter audio is ignored: under 21 ms the model would see none of it and answer anyway."""
    max_turn_s: int = 300
    """A longer turn is committed as it stands."""
    max_text_bytes: int = 16_384
    """Of the written instructions of one turn, UTF-8."""
    budget_tokens: int = 6_144
    """Of the conversation; see Conversation.trim."""
    speculate: bool = True
    """Ask for the answer at a pause already, before the end of speech is certain."""

    def __post_init__(self) -> None:
        """Refuse settings that no session can keep; raise ValueError naming the field."""
        for name in ("min_audio_ms", "max_turn_s", "max_text_bytes", "budget_tokens"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)!r}")


@dataclass(slots=True)
class Guess:
    """An answer asked for at a pause, held back until the end of speech is certain."""

    utterance: Utterance
    clip: Clip
    response: str
    held: list[TextDelta | ResponseEnded] = field(default_factory=list)


class Session:
    """One peer's side of a conversation: `receive` takes what happened, gives what to do.

    The shell applies the effects in order before the next `receive`. When the peer goes away it
    passes CancelAsked, so that the conversation keeps just what was delivered.
    """

    def __init__(
        self, conversation: Conversation, endpointer: Endpointer, config: SessionConfig
    ) -> None:
        self.conversation = conversation
        self.endpointer = endpointer
        self.config = config
        self.state = State.LISTENING
        self.response: str | None = None
        """Id of the answer that is due or under way."""
        self.guess: Guess | None = None
        self.partials = 0
        self.onset = 0
        """Where the speech being heard began."""
        self.draft = Draft(config.max_text_bytes)
        self.waited: tuple[tuple[str, float], ...] = ()
        """How long the current turn was waited for after its speech, in ms."""

    def receive(self, event: Input) -> list[Effect]:
        """Take one fact; give the orders that follow from it."""
        match event:
            case AudioReceived(pcm):
                return self.heard(self.endpointer.push(pcm), self.endpointer.config.hangover_ms)
            case TextDelta() | ResponseEnded() | ResponseFailed():
                if event.response == self.response:
                    return self.answered(event)
                self.hold(event)
                return []
            case TextReceived(text):
                return self.take_text(text)
            case InstructionSet(text):
                return self.set_instruction(text)
            case CommitAsked():
                return self.commit()
            case ResponseAsked():
                return self.respond()
            case CancelAsked():
                if self.response is None:
                    return [trouble("nothing_to_cancel", "No answer is under way.")]
                return self.stop_answer()
            case ClearAsked():
                return self.clear()
            case Played(turn, chars):
                self.note_played(turn, chars)
                return []
            case ResetAsked():
                effects = self.stop_answer() + self.clear()
                self.conversation.clear()
                return effects
            case PingReceived():
                return [Emit(Pong())]
            case _:
                assert_never(event)

    # ---- the user speaks ------------------------------------------------------------------------

    def heard(self, events: list[EndpointEvent], hangover_ms: float = 0.0) -> list[Effect]:
        """Follow the endpointer; `hangover_ms` is how long an end among `events` was waited for."""
        effects: list[Effect] = []
        for event in events:
            match event:
                case Started(at):
                    # In manual turns sound means nothing; only a commit interrupts.
                    if self.endpointer.config.automatic:
                        effects += self.speech_started(at)
                case Continued(utterance):
                    effects += self.keep(utterance)
                case Ended(utterance):
                    effects += self.utterance_ended(utterance, hangover_ms)
                case Paused(utterance):
                    effects += self.speculate(utterance)
                case Resumed():
                    effects += self.drop_guess()
                case _:
                    assert_never(event)
        return effects

    def speech_started(self, at: int) -> list[Effect]:
        """Stop the answer, if one is due, under way or still being played: the user speaks."""
        if self.response is not None:
            effects = self.stop_answer()
        else:
            effects = self.cut_unplayed()
        self.move(Move.SPEECH)
        self.onset = at
        return [*effects, Emit(SpeechStarted(at))]

    def speech_stopped(self, at: int) -> list[Effect]:
        """Tell that the speech which was announced is over; `ask` or NO_SPEECH follows."""
        if self.state is not State.HEARING:
            return []
        return [Emit(SpeechStopped(at, max(0, at - self.onset)))]

    def keep(self, utterance: Utterance) -> list[Effect]:
        """Keep a full window of a turn that goes on, up to the limit of a turn."""
        self.draft.clips.append(self.conversation.clip(utterance.pcm))
        # The next part could overrun the limit, so the turn ends with this one.
        if self.draft.seconds + self.endpointer.config.window_s <= self.config.max_turn_s:
            return []
        message = f"The turn reached {self.config.max_turn_s} s and is answered as it stands."
        return [
            *self.speech_stopped(utterance.end),
            trouble("turn_too_long", message),
            *self.ask(),
        ]

    def utterance_ended(self, utterance: Utterance, hangover_ms: float) -> list[Effect]:
        """Make the utterance part of the turn and ask for its answer."""
        effects = self.speech_stopped(utterance.end)
        if self.guess is not None and self.guess.utterance == utterance:
            return effects + self.confirm(self.guess, hangover_ms)
        effects += self.drop_guess()
        if len(utterance.pcm) * 1000 >= self.config.min_audio_ms * SAMPLE_RATE:
            self.draft.clips.append(self.conversation.clip(utterance.pcm))
        elif not self.draft.clips:
            ms = len(utterance.pcm) * 1000 / SAMPLE_RATE
            if self.state is State.HEARING:
                self.move(Move.NO_SPEECH)
            message = f"{ms:.0f} ms of audio are too short; at least {self.config.min_audio_ms} ms."
            return [*effects, trouble("audio_too_short", message)]
        return effects + self.ask(hangover_ms)

    # ---- the answer before the end of speech ----------------------------------------------------

    def speculate(self, utterance: Utterance) -> list[Effect]:
        """Ask at a pause what the answer would be, if this is all that is said."""
        if not self.config.speculate or self.state is not State.HEARING:
            return []
        clip = self.conversation.clip(utterance.pcm)
        budget, sampling = self.config.budget_tokens, self.config.sampling
        request = self.conversation.guess(self.draft.parts(clip), budget, sampling)
        if request is None:
            return []
        self.guess = Guess(utterance, clip, request.id)
        return [Generate(request)]

    def hold(self, event: TextDelta | ResponseEnded | ResponseFailed) -> None:
        """Keep a piece of the guess; anything else is late news of an answer that was stopped."""
        if self.guess is None or event.response != self.guess.response:
            return
        if isinstance(event, ResponseFailed):
            self.guess = None  # it is asked for again, in earnest, at the end of speech
        else:
            self.guess.held.append(event)

    def confirm(self, guess: Guess, hangover_ms: float) -> list[Effect]:
        """Make the guess the answer and pass on what has come of it."""
        self.guess = None
        self.conversation.add_user(self.draft.parts(guess.clip), self.config.budget_tokens)
        self.draft.clear()
        self.conversation.begin_answer()
        self.answer_is_due(guess.response, hangover_ms)
        released = [effect for event in guess.held for effect in self.answered(event)]
        return [Confirm(guess.response), *released]

    def drop_guess(self) -> list[Effect]:
        """Forget the guess: the turn is another one."""
        if self.guess is None:
            return []
        cancel = Cancel(self.guess.response)
        self.guess = None
        return [cancel]

    # ---- the user asks --------------------------------------------------------------------------

    def commit(self) -> list[Effect]:
        """End the utterance now."""
        taken_up = self.response is not None and self.endpointer.config.automatic
        if taken_up and self.state is not State.HEARING and not self.draft.texts:
            # The end of speech was found just before the peer asked for it: nothing was lost.
            return [trouble("nothing_to_commit", "The utterance is already being answered.")]
        events = self.endpointer.commit()
        if events:
            return self.heard(events)
        if self.draft:
            return self.ask()
        return [trouble("nothing_to_commit", "There is no audio to commit.")]

    def respond(self) -> list[Effect]:
        """Answer now: what is being said, what was written, or an open question."""
        if self.state is State.HEARING or not self.endpointer.config.automatic:
            events = self.endpointer.commit()
            if events:
                return self.heard(events)
        if self.draft or (self.response is None and self.conversation.unanswered):
            return self.ask()
        return [trouble("nothing_to_answer", "Nothing was said or written since the last answer.")]

    def ask(self, hangover_ms: float = 0.0) -> list[Effect]:
        """Turn what was said and written into a user turn and ask for its answer."""
        effects = self.stop_answer() + self.drop_guess()
        parts = self.draft.parts()
        self.draft.clear()
        if parts:
            self.conversation.add_user(parts, self.config.budget_tokens)
        dropped = self.conversation.trim(self.config.budget_tokens)
        if dropped:
            message = f"The conversation was too long: its {dropped} oldest turns were dropped."
            effects.append(trouble("conversation_trimmed", message))
        request = self.conversation.request(self.config.sampling)
        self.answer_is_due(request.id, hangover_ms)
        return [*effects, Generate(request)]

    def answer_is_due(self, response: str, hangover_ms: float) -> None:
        """Wait for this answer from now on."""
        self.response = response
        self.partials = 0
        self.waited = (("hangover", hangover_ms),) if hangover_ms else ()
        self.move(Move.ASK)

    def take_text(self, text: str) -> list[Effect]:
        """Keep a written instruction for the turn that is being spoken, or the next."""
        if self.draft.write(text):
            return self.drop_guess()
        limit = self.config.max_text_bytes
        return [trouble("too_much", f"The text of a turn is limited to {limit} bytes.")]

    def set_instruction(self, text: str) -> list[Effect]:
        """Keep an instruction for every further turn."""
        if self.draft.instruct(text):
            return self.drop_guess()
        limit = self.config.max_text_bytes
        return [trouble("too_much", f"An instruction is limited to {limit} bytes.")]

    def clear(self) -> list[Effect]:
        """Forget what was said and written since the last turn."""
        self.endpointer.clear()
        self.draft.clear()
        effects = self.drop_guess() + self.speech_stopped(self.endpointer.position)
        if self.state is State.HEARING:
            self.move(Move.NO_SPEECH)
        return effects

    # ---- the assistant answers ------------------------------------------------------------------

    def answered(self, event: TextDelta | ResponseEnded | ResponseFailed) -> list[Effect]:
        """Deliver a piece of the current answer, or end it."""
        match event:
            case TextDelta(_, tokens, text):
                return self.deliver(tokens, text)
            case ResponseEnded(_, finish, usage):
                return [self.end_answer(finish, usage)]
            case ResponseFailed(_, code, message):
                return [trouble(code, message), self.end_answer("interrupted")]
            case _:
                assert_never(event)

    def deliver(self, tokens: tuple[int, ...], text: str) -> list[Effect]:
        """Pass a piece on, and remember that the peer has it."""
        self.move(Move.DELTA)
        answer = self.answer
        answer.pieces.append((tokens, text))
        if not text:
            return []
        partial = Partial(answer.turn, self.partials, text)
        self.partials += 1
        return [Emit(partial)]

    def end_answer(
        self,
        finish: Literal["stop", "length", "interrupted"],
        usage: Usage | None = None,
    ) -> Emit:
        """Close the current answer; its turn number and text go to the peer."""
        answer = self.answer
        self.response = None
        self.conversation.drop_empty_answer()
        self.move(Move.END)
        return Emit(Final(answer.turn, answer.text, finish, usage, self.waited))

    def stop_answer(self) -> list[Effect]:
        """Stop the current answer, if any, and keep what the user has had of it."""
        if self.response is None:
            return []
        cancel = Cancel(self.response)
        self.answer.cut_to_played()
        cancelled = Cancelled(self.answer.turn, self.answer.text)
        return [cancel, Emit(cancelled), self.end_answer("interrupted")]

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

    @property
    def answer(self) -> Answer:
        """Give the answer that is due or under way."""
        answer = self.conversation.last_answer
        assert answer is not None, "a live response always has the last item"
        return answer

    def move(self, move: Move) -> None:
        """Change the state; an illegal move is our own bug and raises KeyError here."""
        self.state = TRANSITIONS[self.state, move]


def trouble(code: str, message: str) -> Emit:
    """Tell the peer what did not go as asked; the session goes on."""
    return Emit(Trouble(code, message))
