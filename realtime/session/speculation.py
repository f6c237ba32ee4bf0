"""The answer that is asked for at a pause, and held back until the end of speech is certain.

Rule: a speculation changes nothing. The conversation does not know of it, the peer is not told, and
there is one at a time: it is confirmed, dropped, or fails by itself.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from realtime.audio.endpoint import Utterance
from realtime.engine.api import Clip, Request, Sampling
from realtime.session.conversation import Conversation
from realtime.session.events import (
    Cancel,
    Effect,
    EngineEvent,
    Generate,
    ResponseEnded,
    ResponseFailed,
    TextDelta,
)
from realtime.session.items import UserItem
from realtime.session.pending import PendingTurn


@dataclass(slots=True)
class Speculation:
    """What was asked for at a pause, and what has come of it."""

    utterance: Utterance
    """All that is said, if nothing more is."""
    clip: Clip
    """That utterance, as the request has it."""
    request: Request
    held: list[TextDelta | ResponseEnded] = field(default_factory=list)

    @property
    def response(self) -> str:
        """Give the id of the answer."""
        return self.request.id


class Speculations:
    """The speculations of one session, one after the other."""

    def __init__(self, conversation: Conversation, pending: PendingTurn, budget: int) -> None:
        self.conversation = conversation
        self.pending = pending
        self.budget = budget
        self.live: Speculation | None = None

    def ask(self, utterance: Utterance, sampling: Sampling) -> list[Effect]:
        """Ask what the answer would be, if the user said no more than this.

        Not when the turn would make the conversation lose older ones: no speculation is worth it.
        """
        clip = self.conversation.clip(utterance.pcm)
        items = [*self.conversation.items, UserItem("", self.pending.parts(clip))]
        if self.conversation.tokens(items) > self.budget:
            return []
        # The number of clips tells the speculations of one turn apart.
        conversation = self.conversation
        id = f"{conversation.id}:{conversation.turn + 1}?{conversation.clips_made}"
        turns = conversation.turns(items)
        request = Request(id, conversation.id, turns, sampling, priority="low")
        self.live = Speculation(utterance, clip, request)
        return [Generate(request, "speculation")]

    def receive(self, event: EngineEvent) -> None:
        """Hold a piece back; others are late news of an answer that was stopped."""
        if self.live is None or event.response != self.live.response:
            return
        if isinstance(event, ResponseFailed):
            self.live = None  # it is asked for again, in earnest, at the end of speech
        else:
            self.live.held.append(event)

    def confirm(self, utterance: Utterance) -> Speculation | None:
        """Give the speculation if it was on this utterance; it is none any more."""
        if self.live is None or self.live.utterance != utterance:
            return None
        confirmed, self.live = self.live, None
        return confirmed

    def drop(self) -> list[Effect]:
        """Forget the speculation: the turn is another one."""
        if self.live is None:
            return []
        dropped, self.live = self.live, None
        return [Cancel(dropped.response)]
