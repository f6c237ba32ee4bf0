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
from realtime.engine.api import Sampling
from realtime.session import events
from realtime.session.conversation import Conversation
from realtime.session.events import Confirm, Effect, Emit, EngineEvent, Input, ResponseOptions
from realtime.session.item_edits import ItemEdits, trouble
from realtime.session.items import Item
from realtime.session.out_of_band import OutOfBand
from realtime.session.pending import Parts, PendingTurn
from realtime.session.response import UNCHANGED, LiveResponse, Reason, Responses
from realtime.session.settings import SessionConfig, TurnSettings
from realtime.session.speculation import Speculation, Speculations
from realtime.session.turn_table import Move, Turns, User


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
        self.going_on: int | None = None
        """Where a turn was too long and the user spoke on; told when that is a turn of its own."""
        self.onset: int
        """Where the speech being heard began."""
        self.silent_from: int | None = None
        """Since when the user has said nothing to the last answer."""
        self.pending = PendingTurn(conversation, config.max_text_bytes)
        self.responses = Responses(conversation, self.turns)
        self.speculations = Speculations(conversation, self.pending, config.budget_tokens)
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
            case events.AudioReceived(pcm):
                hangover = self.endpointer.config.hangover_ms
                effects = self.heard(self.endpointer.push(pcm), hangover, self.settings.respond)
                return effects + self.notice_silence()
            case events.TextDelta() | events.ResponseEnded() | events.ResponseFailed():
                return self.engine_says(event)
            case events.TextReceived(text):
                return self.take_text(text)
            case events.InstructionSet(text):
                return self.set_instruction(text)
            case events.CommitAsked(respond):
                return self.commit(respond)
            case events.ResponseAsked():
                return self.respond()
            case events.ItemsResponseAsked(options):
                return self.respond_to_items(options)
            case events.ItemAsked():
                return [*self.item_edits.apply(event)]
            case events.ItemPut() | events.ItemDropped() | events.ItemCut():
                return [*self.speculations.drop(), *self.item_edits.apply(event)]
            case events.Configured(settings):
                return self.configure(settings)
            case events.CancelAsked(response):
                return self.cancel(response)
            case events.ClearAsked():
                return self.clear()
            case events.Played(turn, chars):
                self.responses.note_played(turn, chars)
                return []
            case events.ResetAsked():
                effects = self.responses.stop("asked") + self.clear()
                self.conversation.clear()
                return effects
            case events.PeerCame(had):
                return self.responses.ask_again(had)
            case events.PeerLeft():
                effects = self.responses.stop("asked")
                self.conversation.question = None
                return effects
            case events.PeerLost(sent):
                return self.responses.lose_peer(sent)
            case _:
                assert_never(event)

    @property
    def response(self) -> str | None:
        """Give the id of the answer that is due or under way."""
        live = self.responses.live
        return None if live is None else live.id

    @property
    def hearing(self) -> bool:
        """Tell whether the user speaks, pauses among it."""
        return self.turns.user is not User.SILENT

    @property
    def sampling(self) -> Sampling:
        """Give how answers are sampled here."""
        return self.settings.sampling or self.config.sampling

    def configure(self, settings: TurnSettings) -> list[Effect]:
        """Take turns as the peer wants from now on."""
        config = self.endpoint_defaults.adjusted(
            automatic=settings.automatic,
            hangover_ms=settings.hangover_ms,
            prefix_padding_ms=settings.prefix_padding_ms,
        )
        self.endpointer.configure(config, settings.threshold)
        if not settings.automatic:
            if self.hearing:
                self.turns.move(Move.STOP)
            self.going_on = None
        self.settings = settings
        own = settings.instructions
        self.conversation.system = (self.config.instructions if own is None else own) or None
        return [*self.speculations.drop(), Emit(events.SettingsApplied())]

    # ---- the user speaks ------------------------------------------------------------------------

    def heard(
        self, found: list[EndpointEvent], hangover_ms: float = 0.0, respond: bool = True
    ) -> list[Effect]:
        """Follow the endpointer; `hangover_ms` is how long an end among `found` was waited for."""
        effects: list[Effect] = []
        for event in found:
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
        started = Emit(events.SpeechStarted(at, self.pending.name_item(), start))
        if self.response is not None and self.settings.interrupt:
            return [started, *self.responses.stop("speech", Move.INTERRUPT)]
        self.turns.move(Move.SPEAK)
        return [started, *self.responses.cut_unplayed()]

    def speech_stopped(self, at: int) -> list[Effect]:
        """Tell that the speech which was announced is over."""
        if not self.hearing:
            return []
        self.turns.move(Move.STOP)
        item = self.pending.name_item()
        return [Emit(events.SpeechStopped(at, at - self.onset, item))]

    def speech_went_on(self) -> list[Effect]:
        """Tell of speech that is a turn of its own, behind one that was too long."""
        at = self.going_on
        return [] if at is None else self.speech_started(at, at)

    def paused(self, utterance: Utterance) -> list[Effect]:
        """Wait for more speech or for the end; ask meanwhile what the answer would be."""
        if not self.hearing:  # the rest of a turn that was too long
            return []
        self.turns.move(Move.PAUSE)
        if self.response is None and self.config.speculate and self.settings.respond:
            return self.speculations.ask(utterance, self.sampling)
        return []

    def resumed(self) -> list[Effect]:
        """Hear on; what was asked at the pause is void."""
        if self.hearing:
            self.turns.move(Move.RESUME)
        return self.speculations.drop()

    def keep(self, utterance: Utterance, respond: bool) -> list[Effect]:
        """Keep a full window of a turn that goes on, up to the limit of a turn."""
        self.pending.hear(utterance.pcm)
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
        if respond and (confirmed := self.speculations.confirm(utterance)) is not None:
            return effects + self.confirm(confirmed, hangover_ms)
        effects += self.speculations.drop()
        if long_enough:
            self.pending.hear(utterance.pcm)
        elif not self.pending.clips:
            self.pending.item = None
            ms = len(utterance.pcm) * 1000 / SAMPLE_RATE
            message = f"{ms:.0f} ms of audio are too short; at least {self.config.min_audio_ms} ms."
            return [*effects, trouble("audio_too_short", message)]
        return effects + self.turn_ended(hangover_ms, respond=respond)

    def turn_ended(self, hangover_ms: float = 0.0, *, respond: bool) -> list[Effect]:
        """Make what was said and written an item; answer it, now or once it is our turn."""
        if respond and (self.response is None or self.settings.interrupt):
            return self.ask(hangover_ms)
        self.responses.answer_owed = self.responses.answer_owed or respond
        return self.commit_pending()

    def commit_pending(self) -> list[Effect]:
        """Make what was said and written an item of the conversation."""
        if not self.pending:
            return []
        self.silent_from = None
        return self.add_item(*self.pending.take())

    def add_item(self, parts: Parts, id: str | None) -> list[Effect]:
        """Add what the user said, and have it written down if the peer wants that."""
        item = self.conversation.add_user(parts, id)
        committed = Emit(events.Committed(item, self.conversation.previous(item.id)))
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
        noticed = Emit(events.SilenceNoticed(start, end, self.pending.name_item()))
        return [noticed, *self.heard(self.endpointer.commit())]

    # ---- the user asks --------------------------------------------------------------------------

    def commit(self, respond: bool) -> list[Effect]:
        """End the utterance now."""
        taken_up = self.response is not None and self.endpointer.config.automatic
        if respond and taken_up and not self.hearing and not self.pending.texts:
            # The end of speech was found just before the peer asked for it: nothing was lost.
            return [trouble("nothing_to_commit", "The utterance is already being answered.")]
        if ended := self.endpointer.commit():
            return self.heard(ended, respond=respond)
        if self.pending:
            return self.ask() if respond else self.commit_pending()
        return [trouble("nothing_to_commit", "There is no audio to commit.")]

    def respond(self) -> list[Effect]:
        """Answer now: what is being said, what was written, or an open question."""
        spoken = self.hearing or not self.endpointer.config.automatic
        if spoken and (ended := self.endpointer.commit()):
            return self.heard(ended)
        if self.pending or (self.response is None and self.conversation.unanswered):
            return self.ask()
        return [trouble("nothing_to_answer", "Nothing was said or written since the last answer.")]

    def ask(self, hangover_ms: float = 0.0) -> list[Effect]:
        """Turn what was said and written into an item and ask for its answer."""
        reason: Reason = "speech" if hangover_ms else "asked"
        effects = self.responses.stop(reason) + self.speculations.drop() + self.commit_pending()
        return effects + self.begin_answer(hangover_ms=hangover_ms)

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
            return [*self.speculations.drop(), *self.begin_answer(options, items)]
        turns = self.conversation.turns(items, options.instructions)
        return self.out_of_band.respond(turns, options.sampling or self.sampling, options)

    def take_text(self, text: str) -> list[Effect]:
        """Keep a written instruction for the turn that is being spoken, or the next."""
        if self.pending.write(text):
            return self.speculations.drop()
        limit = self.config.max_text_bytes
        return [trouble("too_much", f"The text of a turn is limited to {limit} bytes.")]

    def set_instruction(self, text: str) -> list[Effect]:
        """Keep an instruction for every further turn."""
        if self.pending.instruct(text):
            return self.speculations.drop()
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
        return [*self.speculations.drop(), *stopped, Emit(events.Cleared())]

    def cancel(self, response: str | None) -> list[Effect]:
        """Stop the answer that the peer means."""
        if response not in (None, self.response):
            effects = self.out_of_band.cancel(response)
        else:
            effects = self.responses.stop("asked")
        return effects or [trouble("nothing_to_cancel", "No such answer is under way.")]

    # ---- the assistant answers ------------------------------------------------------------------

    def begin_answer(
        self,
        options: ResponseOptions = UNCHANGED,
        items: list[Item] | None = None,
        *,
        hangover_ms: float = 0.0,
    ) -> list[Effect]:
        """Ask for an answer to the items, or to the conversation."""
        self.silent_from = None
        trimmed = self.item_edits.trim()
        turns = self.conversation.turns(items, options.instructions)
        sampling = options.sampling or self.sampling
        return [*trimmed, *self.responses.ask(turns, sampling, options, hangover_ms)]

    def confirm(self, speculation: Speculation, hangover_ms: float) -> list[Effect]:
        """Make the speculation the answer and pass on what has come of it."""
        effects = self.add_item(*self.pending.take(speculation.clip))
        effects.append(self.responses.begin(speculation.request, UNCHANGED, hangover_ms))
        effects.append(Confirm(speculation.response))
        for event in speculation.held:
            effects += self.engine_says(event)
        return effects

    def engine_says(self, event: EngineEvent) -> list[Effect]:
        """Pass a piece to the answer that it belongs to."""
        live = self.responses.live
        if live is not None and event.response == live.id:
            return self.answered(live, event)
        effects = self.out_of_band.receive(event)
        if effects is None:
            self.speculations.receive(event)
        return effects or []

    def answered(self, live: LiveResponse, event: EngineEvent) -> list[Effect]:
        """Deliver a piece of the answer; at its end, see whether the user waits for another."""
        effects = self.responses.receive(live, event)
        if self.response is not None:
            return effects
        self.silent_from = None if self.hearing else self.endpointer.position
        if self.responses.answer_owed and self.conversation.spoken_after(live.answer.id):
            effects += self.begin_answer()
        return effects
