"""Who may come in, and which conversations wait to be taken up again.

One rule: those who are in keep what they have; whoever would be one too many is told when to
come back. A conversation is known by a secret that only its peer has, of which we keep the hash
alone, and is there for the API key alone by which it was begun.
"""

from __future__ import annotations

import hashlib
import math
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from realtime.engine.api import STALLED, Loading, ModelInfo
from realtime.errors import Busy
from realtime.gateway.settings import AdmissionConfig
from realtime.session.conversation import Conversation
from realtime.session.items import UserItem


class Holder(Protocol):
    """A connection that has a conversation."""

    def leave(self, code: int, reason: str) -> None:
        """Let go of the conversation now, and close."""


@dataclass(slots=True, eq=False)
class Seat:
    """One conversation and the connection that has it, if any."""

    conversation: Conversation
    secret_hash: bytes
    key: str = ""
    """Id of the API key by which it was begun; empty where none is needed."""
    holder: Holder | None = None
    left_at: float = math.inf
    audio_bytes: int = 0
    """Audio of the conversation when it was left."""


class Admission:
    """Seats for those who are in, and for those who may come back."""

    def __init__(self, config: AdmissionConfig, clock: Callable[[], float]) -> None:
        self.config = config
        self.clock = clock
        self.seats: dict[bytes, Seat] = {}
        self.parked: dict[bytes, Seat] = {}  # in the order in which they were left
        self.taken = 0
        """Sessions that are open or being opened."""
        self.parked_bytes = 0
        self.draining = False

    def check(
        self, status: ModelInfo | Loading, resume: str | None = None, key: str = ""
    ) -> ModelInfo:
        """Tell the model, or raise Busy saying why nobody can be let in now."""
        wait = self.config.retry_after_s
        if self.draining:
            raise Busy("The server is going away.", retry_after=wait)
        if isinstance(status, Loading):
            raise Busy(absence(status), retry_after=wait)
        # Who takes over a connection has its place, but connections that were left may linger.
        if self.taken >= self.config.sessions * (1 + self.replaces(resume, key)):
            raise Busy(f"All {self.config.sessions} sessions are taken.", retry_after=wait)
        return status

    def replaces(self, resume: str | None, key: str = "") -> bool:
        """Tell whether this peer takes over a connection that is still open."""
        seat = self.find(resume, key) if resume else None
        return seat is not None and seat.holder is not None

    def enter(
        self, status: ModelInfo | Loading, resume: str | None = None, key: str = ""
    ) -> ModelInfo:
        """Take one of the places, or raise Busy; each `enter` is undone by one `leave`."""
        model = self.check(status, resume, key)
        self.taken += 1
        return model

    def leave(self) -> None:
        """Give the place back."""
        self.taken -= 1

    def begin(self, make: Callable[[str], Conversation], key: str = "") -> tuple[Seat, str]:
        """Begin a conversation; give its seat and the secret by which it is taken up again."""
        secret = secrets.token_urlsafe(24)
        seat = Seat(make(secrets.token_hex(8)), hash_of(secret), key)
        self.seats[seat.secret_hash] = seat
        return seat, secret

    def find(self, secret: str, key: str = "") -> Seat | None:
        """Find the seat for a secret; None when there is none (any more), or another key's."""
        self.expire()
        seat = self.seats.get(hash_of(secret))
        return seat if seat is not None and seat.key == key else None

    def sit(self, seat: Seat, holder: Holder) -> None:
        """Give the seat to a connection; one that still has it must leave."""
        if seat.holder is not None:
            # The peer's old connection may linger for long after its network has gone.
            seat.holder.leave(1008, "taken over")
        if self.parked.pop(seat.secret_hash, None) is not None:
            self.parked_bytes -= seat.audio_bytes
        seat.holder = holder

    def park(self, seat: Seat, holder: Holder) -> None:
        """Keep the conversation of a connection that ended, if it still had it."""
        if seat.holder is not holder:
            return
        seat.holder = None
        seat.left_at = self.clock()
        seat.audio_bytes = bytes_of(seat.conversation)
        self.parked[seat.secret_hash] = seat
        self.parked_bytes += seat.audio_bytes
        self.expire()

    def expire(self) -> None:
        """Forget the conversations that were left too long ago, and those beyond the bounds."""
        oldest = self.clock() - self.config.parked_s
        while self.parked:
            seat = next(iter(self.parked.values()))
            over = self.parked_bytes > self.config.parked_bytes
            if len(self.parked) <= self.config.parked and not over and seat.left_at > oldest:
                break
            del self.parked[seat.secret_hash]
            del self.seats[seat.secret_hash]
            self.parked_bytes -= seat.audio_bytes


def absence(status: Loading) -> str:
    """Say that there is no model to answer at present."""
    if status.stage == STALLED:
        return f"The model does not answer: {status.reason}."
    return f"The model is not loaded: {status.stage}, {status.fraction:.0%}."


def bytes_of(conversation: Conversation) -> int:
    """Measure the audio of a conversation; its text and tokens are nothing beside it."""
    users = (item for item in conversation.items if isinstance(item, UserItem))
    return sum(clip.pcm.nbytes for item in users for clip in item.clips)


def hash_of(secret: str) -> bytes:
    """Give what we keep of a secret; finding it by hash tells nothing by the time it takes."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
