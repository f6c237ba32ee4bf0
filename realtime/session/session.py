"""The turn machine: who speaks, who is answered, who is interrupted. No I/O, no clock.

Theory of operation. The user speaks or does not (`hearing`); an answer is due (WAITING), under way
(RESPONDING) or neither. When an utterance ends, its audio and the text that came with it become an
item of the conversation and an answer is asked for. Speech while an answer is due or under way
stops it first (barge-in: the user always wins, unless the peer wants otherwise). What was delivered
by then stays in the conversation; late pieces of a stopped answer carry its id and are dropped in
one place. If nothing was delivered, the question is still open, and what the user says next
continues that same turn.

At a short pause the utterance is frozen and its answer asked for speculatively, held back: the end
of speech confirms it, more speech (or a word that changes the turn) drops it. The peer sees nothing
of a speculation but that its answer comes sooner.

Time is sample positions: the same audio gives the same events however it was cut.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import assert_never

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
from realtime.audio.pcm import SAMPLE_RATE, samples_of
from realtime.engine.api import Clip, Request, Sampling, Turn
from realtime.session.conversation import Conversation, Question
from realtime.session.events import (
    AudioReceived,
    Cancel,
    CancelAsked,
    ClearAsked,
    Cleared,
    CommitAsked,
    Committed,
    Configured,
    Confirm,
    Effect,
    Emit,
    Generate,
    Input,
    InstructionSet,
    ItemAsked,
    ItemCut,
    ItemDropped,
    ItemPut,
    ItemsResponseAsked,
    PeerCame,
    PeerLeft,
    PeerLost,
    Played,
    ResetAsked,
    ResponseAsked,
    ResponseEnded,
    ResponseFailed,
    ResponseOptions,
    SettingsApplied,
    SilenceNoticed,
    SpeechStarted,
    SpeechStopped,
    TextDelta,
    TextReceived,
    TurnSettings,
)
from realtime.session.item_edits import ItemEdits, trouble
from realtime.session.items import Item
from realtime.session.out_of_band import OutOfBand
from realtime.session.pending import PendingTurn
from realtime.session.response import Reason, Responses, audio_of
from realtime.session.turn_table import Move, Turns, User

UNCHANGED = ResponseOptions()


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
    instructions: str = ""
    """The system prompt, unless the peer sets its own; empty: the model's template has one."""
    transcription_prompt: str = "What does the person say?"
    """How the model is asked to write down what it hears."""
    max_asides: int = 4
    """Answers out of band under way at once, beside the one that the conversation has."""
    speculate: bool = True
    """Ask for the answer at a pause already, before the end of speech is certain."""

    def __post_init__(self) -> None:
        """Refuse settings that no session can keep; raise ValueError naming the field."""
        for name in ("min_audio_ms", "max_turn_s", "max_text_bytes", "budget_tokens"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)!r}")
        if self.max_asides < 0:
            raise ValueError(f"max_asides must be 0 or more, not {self.max_asides!r}")


@dataclass(slots=True)
class Speculation:
    """An answer asked for at a pause, held back until the end of speech is certain."""

    utterance: Utterance
    clip: Clip
    request: Request
    held: list[TextDelta | ResponseEnded] = field(default_factory=list)

    @property
    def response(self) -> str:
        """Give the id of the answer."""
        return self.request.id


class Session:
    """One peer's side of a conversation: `receive` takes what happened, gives what to do.

    The shell applies the effects in order before the next `receive`. When the peer goes away it
    passes PeerLeft, so that the conversation keeps just what was delivered, or PeerLost: then the
    question is open until the peer is there again, and PeerCame has it answered from the start.
    """

    def __init__(
        self, conversation: Conversation, endpointer: Endpointer, config: SessionConfig
    ) -> None:
        self.conversation = conversation
        self.endpointer = endpointer
        self.config = config
        self.settings = TurnSettings(automatic=endpointer.config.automatic)
        self.endpoint_defaults = endpointer.config
        # Of a conversation that is taken up again, it is not what its last peer wanted.
        conversation.system = config.instructions or None
        self.turns = Turns()
        self.responses = Responses(conversation, self.turns)
        self.answer_owed = False
        """The user has spoken during an answer that was not to be stopped."""
        self.speculation: Speculation | None = None
        self.going_on: int | None = None
        """Where a turn was too long and the user spoke on; told when that is a turn of its own."""
        self.onset = 0
        """Where the speech being heard began."""
        self.silent_from: int | None = None
        """Since when the user has said nothing to the last answer."""
        self.pending = PendingTurn(config.max_text_bytes)
        self.out_of_band = OutOfBand(
            conversation, config.transcription_prompt, most=config.max_asides
        )
        self.item_edits = ItemEdits(
            conversation,
            min_audio_ms=config.min_audio_ms,
            max_turn_s=config.max_turn_s,
            budget=config.budget_tokens,
        )

    def receive(self, event: Input) -> list[Effect]:
        """Take one fact; give the orders that follow from it."""
        match event:
            case AudioReceived(pcm):
                hangover = self.endpointer.config.hangover_ms
                effects = self.heard(self.endpointer.push(pcm), hangover, self.settings.respond)
                return effects + self.notice_silence()
            case TextDelta() | ResponseEnded() | ResponseFailed():
                return self.engine_says(event)
            case TextReceived(text):
                return self.take_text(text)
            case InstructionSet(text):
                return self.set_instruction(text)
            case CommitAsked(respond):
                return self.commit(respond)
            case ResponseAsked():
                return self.respond()
            case ItemsResponseAsked(options):
                return self.respond_to_items(options)
            case ItemAsked():
                return [*self.item_edits.apply(event)]
            case ItemPut() | ItemDropped() | ItemCut():
                return [*self.drop_speculation(), *self.item_edits.apply(event)]
            case Configured(settings):
                return self.configure(settings)
            case CancelAsked(response):
                return self.cancel(response)
            case ClearAsked():
                return self.clear()
            case Played(turn, chars):
                self.responses.note_played(turn, chars)
                return []
            case ResetAsked():
                effects = self.stop_answer("asked") + self.clear()
                self.conversation.clear()
                return effects
            case PeerCame(had):
                return self.ask_again(had)
            case PeerLeft():
                effects = self.stop_answer("asked")
                self.conversation.question = None
                return effects
            case PeerLost(sent):
                return self.lose_peer(sent)
            case _:
                assert_never(event)

    @property
    def response(self) -> str | None:
        """Give the id of the answer that is due or under way."""
        return self.responses.response

    @property
    def hearing(self) -> bool:
        """Tell whether the user speaks, pauses among it."""
        return self.turns.user is not User.SILENT

    def configure(self, settings: TurnSettings) -> list[Effect]:
        """Take turns as the peer wants from now on."""
        chosen = {
            name: value
            for name in ("hangover_ms", "prefix_padding_ms")
            if (value := getattr(settings, name)) is not None
        }
        self.endpointer.configure(
            self.endpoint_defaults.adjusted(automatic=settings.automatic, **chosen),
            settings.threshold,
        )
        if not settings.automatic and self.hearing:
            self.turns.move(Move.STOP)
        self.going_on = self.going_on if settings.automatic else None
        self.settings = settings
        own = settings.instructions
        self.conversation.system = (self.config.instructions if own is None else own) or None
        return [*self.drop_speculation(), Emit(SettingsApplied())]

    # ---- the user speaks ------------------------------------------------------------------------

    def heard(
        self, events: list[EndpointEvent], hangover_ms: float = 0.0, respond: bool = True
    ) -> list[Effect]:
        """Follow the endpointer; `hangover_ms` is how long an end among `events` was waited for."""
        effects: list[Effect] = []
        for event in events:
            match event:
                case Started(at, start):
                    # In manual turns sound means nothing; only a commit interrupts.
                    if self.endpointer.config.automatic:
                        effects += self.speech_started(at, start)
                case Continued(utterance):
                    effects += self.keep(utterance, respond)
                case Ended(utterance):
                    effects += self.utterance_ended(utterance, hangover_ms, respond)
                case Paused(utterance):
                    effects += self.paused(utterance)
                case Resumed():
                    effects += self.resumed()
                case _:
                    assert_never(event)
        return effects

    def speech_started(self, at: int, start: int) -> list[Effect]:
        """Stop the answer, if one is due, under way or still being played: the user speaks."""
        self.onset = at
        self.silent_from = None
        started = Emit(SpeechStarted(at, self.coming_item(), start))
        if self.response is not None and self.settings.interrupt:
            return [started, *self.stop_answer("speech", Move.INTERRUPT)]
        self.turns.move(Move.SPEAK)
        return [started, *(self.responses.cut_unplayed() if self.response is None else [])]

    def coming_item(self) -> str:
        """Give the id of the item that is being spoken."""
        if self.pending.item is None:
            self.pending.item = self.conversation.new_id()
        return self.pending.item

    def speech_stopped(self, at: int) -> list[Effect]:
        """Tell that the speech which was announced is over."""
        if not self.hearing:
            return []
        self.turns.move(Move.STOP)
        return [Emit(SpeechStopped(at, max(0, at - self.onset), self.coming_item()))]

    def keep(self, utterance: Utterance, respond: bool) -> list[Effect]:
        """Keep a full window of a turn that goes on, up to the limit of a turn."""
        self.pending.clips.append(self.conversation.clip(utterance.pcm))
        # The next part could overrun the limit, so the turn ends with this one.
        if self.pending.seconds + self.endpointer.config.window_s <= self.config.max_turn_s:
            return []
        message = f"The turn reached {self.config.max_turn_s} s and is answered as it stands."
        told = self.speech_went_on()
        self.going_on = utterance.end if self.hearing else None
        return [
            *told,
            *self.speech_stopped(utterance.end),
            trouble("turn_too_long", message),
            *self.turn_ended(respond=respond),
        ]

    def utterance_ended(
        self, utterance: Utterance, hangover_ms: float, respond: bool
    ) -> list[Effect]:
        """Make the utterance part of the turn and ask for its answer."""
        long_enough = len(utterance.pcm) * 1000 >= self.config.min_audio_ms * SAMPLE_RATE
        effects = self.speech_went_on() if long_enough else []
        self.going_on = None
        effects += self.speech_stopped(utterance.end)
        if respond and self.speculation is not None and self.speculation.utterance == utterance:
            return effects + self.confirm(self.speculation, hangover_ms)
        effects += self.drop_speculation()
        if long_enough:
            self.pending.clips.append(self.conversation.clip(utterance.pcm))
        elif not self.pending.clips:
            self.pending.item = None
            ms = len(utterance.pcm) * 1000 / SAMPLE_RATE
            message = f"{ms:.0f} ms of audio are too short; at least {self.config.min_audio_ms} ms."
            return [*effects, trouble("audio_too_short", message)]
        return effects + self.turn_ended(hangover_ms, respond=respond)

    def speech_went_on(self) -> list[Effect]:
        """Tell of speech that is a turn of its own, behind one that was too long."""
        at = self.going_on
        return [] if at is None else self.speech_started(at, at)

    def turn_ended(self, hangover_ms: float = 0.0, *, respond: bool) -> list[Effect]:
        """Make what was said and written an item; answer it, now or once it is our turn."""
        if not respond:
            return self.commit_pending()
        if self.response is not None and not self.settings.interrupt:
            self.answer_owed = True
            return self.commit_pending()
        return self.ask(hangover_ms)

    def commit_pending(self) -> list[Effect]:
        """Make what was said and written an item of the conversation."""
        if not self.pending:
            return []
        parts, id = self.pending.parts(), self.pending.item
        self.pending.clear()
        self.silent_from = None
        return self.add_item(parts, id)

    def add_item(self, parts: tuple[Clip | str, ...], id: str | None) -> list[Effect]:
        """Add what the user said, and have it written down if the peer wants that."""
        item = self.conversation.add_user(parts, id)
        committed = Emit(Committed(item, self.conversation.previous(item.id)))
        effects: list[Effect] = [committed, *self.item_edits.trim()]
        if self.settings.transcribe and item.clips:
            effects += self.out_of_band.transcribe(item)
        return effects

    def notice_silence(self) -> list[Effect]:
        """Answer the silence itself when the user has said nothing for as long as is set."""
        limit, start = self.settings.idle_ms, self.silent_from
        if limit is None or start is None or self.hearing or not self.settings.automatic:
            return []
        end = self.endpointer.position
        if end - start < samples_of(limit):
            return []
        self.silent_from = None
        events = self.endpointer.commit()
        return [Emit(SilenceNoticed(start, end, self.coming_item())), *self.heard(events)]

    # ---- the answer before the end of speech ----------------------------------------------------

    def paused(self, utterance: Utterance) -> list[Effect]:
        """Wait for more speech or for the end; ask meanwhile what the answer would be."""
        if not self.hearing:  # the rest of a turn that was too long
            return []
        self.turns.move(Move.PAUSE)
        wanted = self.config.speculate and self.settings.respond
        return self.speculate(utterance) if wanted and self.response is None else []

    def resumed(self) -> list[Effect]:
        """Hear on; what was asked at the pause is void."""
        if self.hearing:
            self.turns.move(Move.RESUME)
        return self.drop_speculation()

    def speculate(self, utterance: Utterance) -> list[Effect]:
        """Ask what the answer would be, if this is all that is said."""
        clip = self.conversation.clip(utterance.pcm)
        parts = self.pending.parts(clip)
        request = self.conversation.speculate(parts, self.config.budget_tokens, self.sampling)
        if request is None:
            return []
        self.speculation = Speculation(utterance, clip, request)
        return [Generate(request, "speculation")]

    def hold(self, event: TextDelta | ResponseEnded | ResponseFailed) -> None:
        """Keep a piece of the speculation; others are late news of an answer that was stopped."""
        if self.speculation is None or event.response != self.speculation.response:
            return
        if isinstance(event, ResponseFailed):
            self.speculation = None  # it is asked for again, in earnest, at the end of speech
        else:
            self.speculation.held.append(event)

    def confirm(self, speculation: Speculation, hangover_ms: float) -> list[Effect]:
        """Make the speculation the answer and pass on what has come of it."""
        self.speculation = None
        parts, id = self.pending.parts(speculation.clip), self.pending.item
        self.pending.clear()
        effects = self.add_item(parts, id)
        effects += self.answer_is_due(speculation.request, hangover_ms)
        released = [effect for event in speculation.held for effect in self.answered(event)]
        return [*effects, Confirm(speculation.response), *released]

    def drop_speculation(self) -> list[Effect]:
        """Forget the speculation: the turn is another one."""
        if self.speculation is None:
            return []
        cancel = Cancel(self.speculation.response)
        self.speculation = None
        return [cancel]

    # ---- the user asks --------------------------------------------------------------------------

    def commit(self, respond: bool) -> list[Effect]:
        """End the utterance now."""
        taken_up = self.response is not None and self.endpointer.config.automatic
        if respond and taken_up and not self.hearing and not self.pending.texts:
            # The end of speech was found just before the peer asked for it: nothing was lost.
            return [trouble("nothing_to_commit", "The utterance is already being answered.")]
        events = self.endpointer.commit()
        if events:
            return self.heard(events, respond=respond)
        if self.pending:
            return self.ask() if respond else self.commit_pending()
        return [trouble("nothing_to_commit", "There is no audio to commit.")]

    def respond(self) -> list[Effect]:
        """Answer now: what is being said, what was written, or an open question."""
        if self.hearing or not self.endpointer.config.automatic:
            events = self.endpointer.commit()
            if events:
                return self.heard(events)
        if self.pending or (self.response is None and self.conversation.unanswered):
            return self.ask()
        return [trouble("nothing_to_answer", "Nothing was said or written since the last answer.")]

    def ask(self, hangover_ms: float = 0.0) -> list[Effect]:
        """Turn what was said and written into an item and ask for its answer."""
        reason: Reason = "speech" if hangover_ms else "asked"
        effects = self.stop_answer(reason) + self.drop_speculation() + self.commit_pending()
        return effects + self.begin_answer(UNCHANGED, hangover_ms=hangover_ms)

    def respond_to_items(self, options: ResponseOptions) -> list[Effect]:
        """Answer the items as they stand, or those that the peer gives."""
        if not options.out_of_band and self.response is not None:
            message = "An answer is under way; wait for its end, or cancel it first."
            return [trouble("response_active", message)]
        if options.out_of_band and self.out_of_band.full:
            return [trouble("too_many_responses", "Too many answers are under way already.")]
        items = None if options.input is None else self.item_edits.resolve(options.input)
        if isinstance(items, Emit):
            return [items]
        if not options.out_of_band:
            return [*self.drop_speculation(), *self.begin_answer(options, items)]
        turns = self.conversation.turns(items, options.instructions)
        sampling = options.sampling or self.sampling
        return self.out_of_band.respond(turns, audio_of(turns), sampling, options)

    def begin_answer(
        self,
        options: ResponseOptions,
        items: list[Item] | None = None,
        *,
        hangover_ms: float = 0.0,
    ) -> list[Effect]:
        """Ask for an answer to the items, or to the conversation."""
        effects: list[Effect] = [*self.item_edits.trim()]
        turns = self.conversation.turns(items, options.instructions)
        request = self.request(turns, options.sampling or self.sampling)
        effects += self.answer_is_due(request, hangover_ms, options)
        return [*effects, Generate(request)]

    def request(self, turns: tuple[Turn, ...], sampling: Sampling) -> Request:
        """Ask for the next answer."""
        id = f"{self.conversation.id}:{self.conversation.turn + 1}"
        return Request(id, self.conversation.id, turns, sampling)

    def take_text(self, text: str) -> list[Effect]:
        """Keep a written instruction for the turn that is being spoken, or the next."""
        if self.pending.write(text):
            return self.drop_speculation()
        limit = self.config.max_text_bytes
        return [trouble("too_much", f"The text of a turn is limited to {limit} bytes.")]

    def set_instruction(self, text: str) -> list[Effect]:
        """Keep an instruction for every further turn."""
        if self.pending.instruct(text):
            return self.drop_speculation()
        limit = self.config.max_text_bytes
        return [trouble("too_much", f"An instruction is limited to {limit} bytes.")]

    def clear(self) -> list[Effect]:
        """Forget what was said and written since the last turn."""
        self.endpointer.clear()
        self.going_on = None
        if self.silent_from is not None:
            self.silent_from = self.endpointer.position
        stopped = self.speech_stopped(self.endpointer.position)
        self.pending.clear()
        return [*self.drop_speculation(), *stopped, Emit(Cleared())]

    # ---- the peer goes and comes ----------------------------------------------------------------

    def lose_peer(self, sent: bool) -> list[Effect]:
        """Stop the answer; it is asked for anew if the peer comes back."""
        question = self.conversation.question
        if question is not None:
            if self.answer_owed:  # what was said meanwhile belongs to the question
                items = [item for item in self.conversation.items if item is not question.answer]
                question.turns = self.conversation.turns(items)
            arrived = self.response is None and (sent or question.answer.played_out)
            question.lost = question.lost or not arrived
        effects = self.stop_answer("asked")
        self.conversation.question = question
        return effects

    def ask_again(self, had: int | None) -> list[Effect]:
        """Ask anew what the peer missed the answer to; the answer that was cut stands nowhere."""
        question = self.conversation.missed(had)
        if question is None:
            return []
        request = self.request(question.turns, question.sampling)
        return [*self.answer_is_due(request, 0.0, question.options), Generate(request)]

    # ---- the assistant answers ------------------------------------------------------------------

    @property
    def sampling(self) -> Sampling:
        """Give how answers are sampled here."""
        return self.settings.sampling or self.config.sampling

    def engine_says(self, event: TextDelta | ResponseEnded | ResponseFailed) -> list[Effect]:
        """Pass a piece to the answer that it belongs to."""
        if event.response == self.response:
            return self.answered(event)
        effects = self.out_of_band.receive(event)
        if effects is None:
            self.hold(event)
        return effects or []

    def answer_is_due(
        self,
        request: Request,
        hangover_ms: float,
        options: ResponseOptions = UNCHANGED,
    ) -> list[Effect]:
        """Open the answer and wait for it from now on."""
        self.answer_owed = False
        self.silent_from = None
        begun = self.responses.begin(request.id, audio_of(request.turns), hangover_ms, options)
        answer = self.responses.answer
        self.conversation.question = Question(answer, request.turns, request.sampling, options)
        return [begun]

    def answered(self, event: TextDelta | ResponseEnded | ResponseFailed) -> list[Effect]:
        """Deliver a piece of the answer; at its end, see whether the user waits for another."""
        effects = self.responses.take(event)
        if self.response is not None:
            return effects
        self.silent_from = None if self.hearing else self.endpointer.position
        if self.answer_owed and self.conversation.spoken_after(self.responses.answer.id):
            effects += self.begin_answer(UNCHANGED)
        return effects

    def stop_answer(self, reason: Reason, move: Move = Move.END) -> list[Effect]:
        """Stop the answer, if there is one; what was said to it meanwhile is not answered."""
        self.answer_owed = False
        if self.response is not None:
            self.conversation.question = None
        return self.responses.stop(reason, move)

    def cancel(self, response: str | None) -> list[Effect]:
        """Stop the answer that the peer means."""
        if response not in (None, self.response):
            effects = self.out_of_band.cancel(response)
        else:
            effects = self.stop_answer("asked")
        return effects or [trouble("nothing_to_cancel", "No such answer is under way.")]
