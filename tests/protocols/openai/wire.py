"""A codec at work: what a client sends, what the session would answer, what goes over the wire."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import numpy as np
from openai.types.beta.realtime import RealtimeServerEvent as BetaServerEvent
from openai.types.realtime import RealtimeServerEvent
from pydantic import TypeAdapter

from realtime.engine.api import Clip
from realtime.errors import BadMessage
from realtime.protocols import Reply
from realtime.protocols.openai.codec import OpenAiCodec
from realtime.protocols.openai.session import Defaults
from realtime.session import events
from realtime.session.items import Answer, UserItem

SDK = TypeAdapter(RealtimeServerEvent)
BETA_SDK = TypeAdapter(BetaServerEvent)
EXPIRES = 1_795_166_000


class Wire:
    """One connection's codec between a client and a scripted session."""

    def __init__(self, **options: Any) -> None:
        self.check = options.pop("check", True)
        options = {"expires_at": EXPIRES, "defaults": Defaults(), **options}
        self.codec = OpenAiCodec(**options)
        self.inputs: list[events.PeerInput] = []
        self.ids: set[str] = set()

    def tell(self, *notices: events.Notice) -> list[dict[str, Any]]:
        """Give the server events for these notices."""
        return self.read(m for notice in notices for m in self.codec.encode(notice))

    def read(self, messages: Iterable[bytes | str]) -> list[dict[str, Any]]:
        """Read server events; each must be what the SDK expects."""
        told = [json.loads(message) for message in messages]
        for event in told:
            assert isinstance(event["type"], str)
            assert event["event_id"] not in self.ids
            self.ids.add(event["event_id"])
            if self.check:
                sdk = BETA_SDK if self.codec.beta else SDK
                assert sdk.validate_python(event, strict=True).type == event["type"]
        return told

    def send(self, message: Any, *answers: events.Notice) -> list[dict[str, Any]]:
        """Send a client event; the session tells `answers` when its (first) input arrives."""
        if not isinstance(message, bytes | str):
            message = json.dumps(message)
        told: list[dict[str, Any]] = []
        self.inputs = []
        try:
            for given in self.codec.decode(message):
                if isinstance(given, Reply):
                    told += self.read(given.messages)
                    continue
                if not self.inputs:
                    told += self.tell(*answers)
                self.inputs.append(given)
        except BadMessage as error:
            told += self.read(self.codec.refuse(error))
        return told

    def update(self, session: dict[str, Any]) -> dict[str, Any]:
        """Update the session, which must be taken, and give the whole of it."""
        (told,) = self.send({"type": "session.update", "session": session}, APPLIED)
        assert told["type"] == "session.updated", told
        return told["session"]

    def refused(self, message: Any) -> dict[str, Any]:
        """Send something that must be refused with nothing done, and give the error."""
        (told,) = self.send(message)
        assert told["type"] == "error"
        assert self.inputs == []
        return told["error"]


APPLIED = events.SettingsApplied()


def spoken(id: str = "item_U", seconds: float = 1.0, *written: str) -> UserItem:
    """Make a user item of a recording and what was written with it."""
    pcm = (8_000 * np.sin(np.arange(int(16_000 * seconds)) / 7)).astype(np.int16)
    return UserItem(id, (Clip(f"clip_{id}", pcm), *written))


def started(
    response: str = "c:1",
    item: str = "item_A",
    previous: str | None = "item_U",
    options: events.ResponseOptions | None = None,
) -> events.ResponseStarted:
    """Tell that an answer is due."""
    chosen = options or events.ResponseOptions()
    return events.ResponseStarted(response, Answer(item, 1), previous, chosen)


def kinds(told: list[dict[str, Any]]) -> list[str]:
    """Give the types of events in order."""
    return [event["type"] for event in told]
