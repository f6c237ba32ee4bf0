"""OpenAI Realtime for one connection: client events to inputs, notices to server events.

One rule: nothing is decided here. What the session answers while a client event is decoded is
told with that event's id; a response is told whole, from response.created to response.done, with
no delta outside, whatever comes.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any, assert_never

import msgspec

from realtime.audio.ingest import AudioFormat
from realtime.errors import BadMessage
from realtime.protocols import Reply
from realtime.protocols.openai import messages
from realtime.protocols.openai.beta import SESSION_PLACES, old_event, old_param
from realtime.protocols.openai.errors import SILENT, BadEvent, trouble_body
from realtime.protocols.openai.formats import read_format
from realtime.protocols.openai.input_buffer import InputBuffer
from realtime.protocols.openai.items import Status, read_item, show_item, spoken_index
from realtime.protocols.openai.messages import AnyClientEvent, read_event, unknown_type
from realtime.protocols.openai.responses import (
    PREFIX,
    Live,
    failure_json,
    item_status,
    read_response,
)
from realtime.protocols.openai.session import Defaults, default_session, merge, turn_settings
from realtime.session import events
from realtime.session.events import Notice, PeerInput
from realtime.session.items import Item

Event = dict[str, Any]
ENCODER = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True)
class Truncation(events.ItemCut):
    """With what conversation.item.truncated repeats of it."""

    audio_end_ms: int


class OpenAiCodec:
    """Translate one connection's events; hold its session object and what is under way.

    `beta` speaks the older names. With `binary` (WebRTC) bytes are the audio of the RTP stream,
    PCM s16le mono at 16 kHz; without it there are no binary messages.
    """

    def __init__(
        self, *, expires_at: int, defaults: Defaults, beta: bool = False, binary: bool = False
    ) -> None:
        self.defaults = defaults
        self.beta = beta
        self.binary = binary
        self.session = default_session(defaults)
        self.bound: str | None = None
        """The type that the session must keep; None: it may change."""
        self.identity: Event = {"object": "realtime.session", "expires_at": expires_at}
        self.conversation = "conv_"
        self.input = InputBuffer(self.format)
        self.ids = count(1)
        self.doing: AnyClientEvent | None = None
        """The client event that is being decoded."""
        self.live: dict[str, Live] = {}
        self.last_response: str | None = None
        self.incomplete: set[str] = set()
        """Answers that were stopped."""
        self.spoken_at: dict[str, int] = {}
        """Items whose first part is not what was said, and which is."""

    @property
    def format(self) -> AudioFormat:
        """Give the format of the audio that comes in."""
        return read_format(self.session["audio"]["input"]["format"])

    @property
    def push_to_talk(self) -> bool:
        """Tell whether the client itself says when its turn ends."""
        return self.session["audio"]["input"]["turn_detection"] is None

    # ---- in -------------------------------------------------------------------------------------

    def configure(self, session: Event) -> list[PeerInput]:
        """Give the inputs that apply an initial session object; raise BadEvent if it is wrong."""
        return [self.update(session)]

    def bind(self) -> None:
        """Let the session stay of the type that it has now."""
        self.bound = self.session["type"]

    def decode(self, message: bytes | str) -> Iterator[PeerInput | Reply]:
        """Yield what a client event says; raise BadEvent if it is none."""
        try:
            if isinstance(message, bytes):
                yield from self.hear(message)
            else:
                self.doing = read_event(message)
                yield from self.meaning(self.doing)
        except BadEvent as error:
            if self.doing is not None:
                error.event_id = self.doing.event_id
            error.param = old_param(error.param, SESSION_PLACES if self.beta else flat(self.doing))
            raise
        finally:
            self.doing = None

    def hear(self, data: bytes) -> Iterator[PeerInput]:
        """Yield the audio of an RTP stream."""
        if not self.binary:
            raise BadEvent("Events are JSON text; audio goes as input_audio_buffer.append.")
        yield from self.input.stream(data, manual=self.push_to_talk)

    def meaning(self, said: AnyClientEvent) -> Iterator[PeerInput | Reply]:
        """Yield our words for the client's."""
        match said:
            case messages.Append(audio=audio):
                yield from self.input.append(audio, manual=self.push_to_talk)
            case messages.Commit():
                yield from self.input.commit()
            case messages.Clear():
                yield self.input.clear()
            case messages.SessionUpdate(session=session):
                yield self.update(session)
            case messages.TranscriptionSessionUpdate(session=session):
                if not self.beta:
                    raise unknown_type("transcription_session.update", said.event_id)
                yield self.update({**session, "type": "transcription"})
            case messages.ItemCreate(item=item, previous_item_id=after):
                yield events.ItemPut(read_item(item, self.format), after)
            case messages.ItemRetrieve(item_id=item_id):
                yield events.ItemAsked(item_id)
            case messages.ItemDelete(item_id=item_id):
                yield events.ItemDropped(item_id)
            case messages.ItemTruncate():
                yield self.truncate(said)
            case messages.ResponseCreate(response=response):
                if self.bound == "transcription":
                    raise not_of(self.bound, "response")
                options = read_response(response or {}, self.session, self.defaults)
                yield events.ItemsResponseAsked(options)
            case messages.ResponseCancel(response_id=response):
                yield events.CancelAsked(response and response.removeprefix(PREFIX))
            case messages.OutputClear():
                if self.last_response is not None:
                    cleared = {"response_id": self.last_response}
                    event = self.event("output_audio_buffer.cleared", **cleared)
                    yield Reply(tuple(self.write(event)))
            case _:
                assert_never(said)

    def update(self, patch: Event) -> PeerInput:
        """Take an update of the session object; refuse another format in the middle of speech."""
        merged = merge(self.session, patch, self.defaults)
        if self.bound not in (None, merged["type"]):
            raise not_of(self.bound, "session.type")
        self.input.change(read_format(merged["audio"]["input"]["format"]))
        self.session = merged
        return events.Configured(turn_settings(merged, self.defaults))

    def truncate(self, said: messages.ItemTruncate) -> PeerInput:
        """Ask to cut an answer; without speech, `audio_end_ms` says nothing about its text."""
        if said.content_index != 0:
            raise BadEvent("An answer has one part, content_index 0.", param="content_index")
        return Truncation(said.item_id, said.text_chars, said.audio_end_ms)

    # ---- out ------------------------------------------------------------------------------------

    def encode(self, notice: Notice) -> Iterator[str]:
        """Yield the server events that say it."""
        for event in self.say(notice):
            yield from self.write(event)

    def refuse(self, error: BadMessage) -> Iterator[str]:
        """Yield the error event for a client event that was not understood."""
        if isinstance(error, BadEvent):
            yield from self.write(self.event("error", error=error.body()))
        else:
            yield from self.encode(events.Trouble(error.code, str(error)))

    def write(self, event: Event) -> Iterator[str]:
        """Yield a server event as this client knows it, if it does."""
        told = old_event(event) if self.beta else event
        if told is not None:
            yield ENCODER.encode(told).decode()

    def event(self, kind: str, **fields: Any) -> Event:
        """Make a server event with an id of its own."""
        return {"type": kind, "event_id": f"event_{next(self.ids)}", **fields}

    def say(self, notice: Notice) -> Iterator[Event]:
        """Yield the server events that say it, in today's names."""
        match notice:
            case events.Partial(delta=delta, response=response):
                yield from self.delta(response, delta)
            case events.ResponseStarted():
                yield from self.begin(notice)
            case events.Final():
                yield from self.finish(notice)
            case events.SpeechStarted() | events.SpeechStopped() | events.SilenceNoticed():
                yield from self.speech(notice)
            case events.Committed(item, previous):
                self.input.empty()
                kind = "input_audio_buffer.committed"
                yield self.event(kind, item_id=item.id, previous_item_id=previous)
                yield from self.placed(item, previous)
            case events.Cleared():
                self.input.empty()
                yield self.event("input_audio_buffer.cleared")
            case events.Ready(session, resume, model):
                self.identity |= {"id": f"sess_{session}", "model": model, "resume": resume}
                self.conversation = f"conv_{session}"
                yield self.event("session.created", session=self.session_json())
            case events.SettingsApplied():
                yield from self.applied()
            case events.LimitsLeft(limits):
                yield self.event("rate_limits.updated", rate_limits=[limit(one) for one in limits])
            case events.Trouble():
                yield from self.trouble(notice)
            case events.Cancelled():
                pass  # the Final that goes with it says so
            case _:
                yield from self.item_event(notice)

    def session_json(self) -> Event:
        """Give the whole session object."""
        return {**self.session, **self.identity}

    def applied(self) -> Iterator[Event]:
        """Answer an update; an initial session object shows in session.created."""
        match self.doing:
            case messages.SessionUpdate():
                yield self.event("session.updated", session=self.session_json())
            case messages.TranscriptionSessionUpdate():
                yield self.event("transcription_session.updated", session=self.session_json())

    def trouble(self, trouble: events.Trouble) -> Iterator[Event]:
        """Tell what is wrong, and which client event brought it about."""
        bringing = messages.ItemCreate | messages.ResponseCreate
        if trouble.code == "audio_too_short" and not isinstance(self.doing, bringing):
            self.input.empty()
        if trouble.code in SILENT and not trouble.fatal:
            return
        kind = self.doing.__struct_config__.tag if self.doing is not None else ""
        event_id = self.doing.event_id if self.doing is not None else None
        body = trouble_body(trouble, kind=str(kind), event_id=event_id)
        yield self.event("error", error=body)

    def speech(
        self, notice: events.SpeechStarted | events.SpeechStopped | events.SilenceNoticed
    ) -> Iterator[Event]:
        """Tell when speech began and ended."""
        asked = isinstance(self.doing, messages.Commit | messages.Clear)
        for kind, fields in self.input.speech(notice, manual=self.push_to_talk, asked=asked):
            yield self.event(kind, **fields)

    # ---- items ----------------------------------------------------------------------------------

    def placed(self, item: Item, previous: str | None) -> Iterator[Event]:
        """Tell that an item is in its place, whole."""
        if at := spoken_index(item):
            self.spoken_at[item.id] = at
        shown = show_item(item)
        for kind in ("conversation.item.added", "conversation.item.done"):
            yield self.event(kind, item=shown, previous_item_id=previous)

    def item_event(
        self,
        notice: events.ItemPlaced
        | events.ItemShown
        | events.ItemGone
        | events.ItemTruncated
        | events.Transcribed,
    ) -> Iterator[Event]:
        """Tell what became of an item."""
        match notice:
            case events.ItemPlaced(item, previous):
                yield from self.placed(item, previous)
            case events.ItemShown(item):
                yield self.event("conversation.item.retrieved", item=self.shown(item))
            case events.ItemGone(item_id):
                for live in self.live.values():
                    live.gone = live.gone or live.item == item_id
                self.incomplete.discard(item_id)
                self.spoken_at.pop(item_id, None)
                yield self.event("conversation.item.deleted", item_id=item_id)
            case events.ItemTruncated(cut):
                end = cut.audio_end_ms if isinstance(cut, Truncation) else 0
                place = {"item_id": cut.item, "content_index": 0, "audio_end_ms": end}
                yield self.event("conversation.item.truncated", **place)
            case events.Transcribed():
                yield self.transcribed(notice)
            case _:
                assert_never(notice)

    def shown(self, item: Item) -> Event:
        """Give an item with all that was said in it."""
        if any(live.item == item.id for live in self.live.values()):
            return show_item(item, status="in_progress")
        status: Status = "incomplete" if item.id in self.incomplete else "completed"
        return show_item(item, status=status, format=self.format)

    def transcribed(self, notice: events.Transcribed) -> Event:
        """Tell what was said, or why that cannot be told."""
        place = {"item_id": notice.item, "content_index": self.spoken_at.get(notice.item, 0)}
        kind = "conversation.item.input_audio_transcription"
        if notice.failure is not None:
            return self.event(f"{kind}.failed", **place, error=failure_json(notice.failure))
        usage = {"type": "duration", "seconds": notice.seconds}
        return self.event(f"{kind}.completed", **place, transcript=notice.text, usage=usage)

    # ---- responses ------------------------------------------------------------------------------

    def begin(self, started: events.ResponseStarted) -> Iterator[Event]:
        """Tell that a response is due."""
        live = Live.of(started, self.session, self.conversation)
        self.live[started.response] = live
        self.last_response = live.id
        for kind, fields in live.beginning():
            yield self.event(kind, **fields)

    def delta(self, response: str, text: str) -> Iterator[Event]:
        """Tell the next piece; nothing of a response that is over."""
        if (live := self.live.get(response)) is not None:
            live.pieces.append(text)
            yield self.event("response.output_text.delta", **live.place, delta=text)

    def finish(self, final: events.Final) -> Iterator[Event]:
        """Tell that a response is over."""
        if (live := self.live.pop(final.response, None)) is None:
            return
        if live.conversation and not live.gone and item_status(final) == "incomplete":
            self.incomplete.add(live.item)
        for kind, fields in live.ending(final):
            yield self.event(kind, **fields)


def flat(said: AnyClientEvent | None) -> Collection[str]:
    """Give the fields of a client event that may be flat ones."""
    match said:
        case messages.SessionUpdate(session=data) | messages.ResponseCreate(response=data):
            return data or ()
        case _:
            return ()


def limit(left: events.Limit) -> Event:
    """Write what a client may still have."""
    return {
        "name": left.name,
        "limit": left.limit,
        "remaining": left.remaining,
        "reset_seconds": left.reset_s,
    }


def not_of(bound: str | None, param: str) -> BadEvent:
    """Refuse what a session of this type is not for."""
    return BadEvent(f"The short-lived key is for a session of type {bound}.", param=param)
