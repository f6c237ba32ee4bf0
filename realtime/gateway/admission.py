"""Who finds room, and who finds a conversation again.

One rule: those who are in keep what they have; whoever would be one too many is told when to
come back. A conversation is known by a secret that only its peer has, of which we keep the hash
alone, and is there for the API key alone by which it was begun.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from realtime.engine.api import STALLED, Loading, ModelInfo
from realtime.errors import Busy
from realtime.gateway.access.keys import KEYLESS
from realtime.gateway.settings import AdmissionConfig
from realtime.session.conversation import Conversation
from realtime.session.parked import Bounds, Parked


class Holder(Protocol):
    """A connection that has a conversation."""

    def leave(self, code: int, reason: str) -> None:
        """Let go of the conversation now, and close."""


@dataclass(slots=True, eq=False)
class Slot:
    """One conversation and the connection that has it, if any."""

    conversation: Conversation
    secret_hash: bytes
    key: str = KEYLESS
    """Id of the API key by which it was begun; KEYLESS where none is needed."""
    holder: Holder | None = None


class Admission:
    """Slots for those who are in, and for those who may come back."""

    def __init__(self, config: AdmissionConfig, clock: Callable[[], float]) -> None:
        self.config = config
        self.clock = clock
        self.slots: dict[bytes, Slot] = {}
        self.parked = Parked()
        self.taken = 0
        """Sessions that are open or being opened."""
        self.draining = False

    def check(
        self, status: ModelInfo | Loading, resume: str | None = None, key: str = KEYLESS
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

    def replaces(self, resume: str | None, key: str = KEYLESS) -> bool:
        """Tell whether this peer takes over a connection that is still open."""
        slot = self.find(resume, key) if resume else None
        return slot is not None and slot.holder is not None

    def enter(
        self, status: ModelInfo | Loading, resume: str | None = None, key: str = KEYLESS
    ) -> ModelInfo:
        """Take one of the places, or raise Busy; each `enter` is undone by one `leave`."""
        model = self.check(status, resume, key)
        self.taken += 1
        return model

    def leave(self) -> None:
        """Give the place back."""
        self.taken -= 1

    def begin(self, make: Callable[[str], Conversation], key: str = KEYLESS) -> tuple[Slot, str]:
        """Begin a conversation; give its slot and the secret by which it is taken up again."""
        secret = secrets.token_urlsafe(24)
        slot = Slot(make(secrets.token_hex(8)), hash_of(secret), key)
        self.slots[slot.secret_hash] = slot
        return slot, secret

    def find(self, secret: str, key: str = KEYLESS) -> Slot | None:
        """Find the slot for a secret; None when there is none (any more), or another key's."""
        self.expire()
        slot = self.slots.get(hash_of(secret))
        return slot if slot is not None and slot.key == key else None

    def occupy(self, slot: Slot, holder: Holder) -> None:
        """Give the slot to a connection; one that still has it must leave."""
        if slot.holder is not None:
            # The peer's old connection may linger for long after its network has gone.
            slot.holder.leave(1008, "taken over")
        self.parked.take_up(slot.secret_hash)
        slot.holder = holder

    def park(self, slot: Slot, holder: Holder) -> None:
        """Keep the conversation of a connection that ended, if it still had it."""
        if slot.holder is not holder:
            return
        slot.holder = None
        self.parked.park(slot.secret_hash, slot.conversation, self.clock())
        self.expire()

    def expire(self) -> None:
        """Forget the conversations that were left too long ago, and those beyond the bounds."""
        config = self.config
        bounds = Bounds(config.parked, config.parked_bytes, config.parked_s)
        for name in self.parked.expire(self.clock(), bounds):
            del self.slots[name]


def absence(status: Loading) -> str:
    """Say that there is no model to answer at present."""
    if status.stage == STALLED:
        return f"The model does not answer: {status.reason}."
    return f"The model is not loaded: {status.stage}, {status.fraction:.0%}."


def hash_of(secret: str) -> bytes:
    """Give what we keep of a secret; finding it by hash tells nothing by the time it takes."""
    return hashlib.sha256(secret.encode("utf-8", "replace")).digest()
