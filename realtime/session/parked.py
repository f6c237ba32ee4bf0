"""Conversations without a connection: bounded in number, in bytes and in time, the oldest go first.

The clock is the caller's; nothing here knows connections, keys or secrets.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from realtime.session.conversation import Conversation
from realtime.session.items import UserItem


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be parked."""

    conversations: int
    bytes: int
    """Of audio."""
    seconds: float


@dataclass(frozen=True, slots=True)
class Left:
    """A conversation as it was left."""

    conversation: Conversation
    at: float
    audio_bytes: int


class Parked:
    """Conversations by their names, in the order in which they were left."""

    def __init__(self) -> None:
        self.left: dict[bytes, Left] = {}
        self.bytes = 0
        """Of audio."""

    def __len__(self) -> int:
        return len(self.left)

    def park(self, name: bytes, conversation: Conversation, now: float) -> None:
        """Keep a conversation that was left now."""
        self.take_up(name)
        self.left[name] = left = Left(conversation, now, bytes_of(conversation))
        self.bytes += left.audio_bytes

    def take_up(self, name: bytes) -> None:
        """Let go of a conversation, if it is here: somebody has it again."""
        if (left := self.left.pop(name, None)) is not None:
            self.bytes -= left.audio_bytes

    def expire(self, now: float, bounds: Bounds) -> Iterator[bytes]:
        """Forget what was left too long ago and what is beyond the bounds; yield each name."""
        while self.left:
            name, oldest = next(iter(self.left.items()))
            over = len(self.left) > bounds.conversations or self.bytes > bounds.bytes
            if not over and oldest.at > now - bounds.seconds:
                return
            self.take_up(name)
            yield name


def bytes_of(conversation: Conversation) -> int:
    """Measure the audio of a conversation; its text and tokens are nothing beside it."""
    users = (item for item in conversation.items if isinstance(item, UserItem))
    return sum(clip.pcm.nbytes for item in users for clip in item.clips)
