"""What a conversation is made of: what was said and written, by whom, each piece with its id.

Rule: an answer holds the token ids that the peer has had, never re-tokenised text, and never one
token more.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import accumulate
from typing import Any

from realtime.audio.pcm import Pcm
from realtime.engine.api import Clip


@dataclass(frozen=True, slots=True)
class UserItem:
    """What the user said and wrote in one go; neighbours are one turn for the model."""

    id: str
    parts: tuple[Clip | str, ...]
    transcript: str | None = None
    """Of what was said, if somebody made one; the model never sees it."""

    @property
    def clips(self) -> tuple[Clip, ...]:
        """Give what was said."""
        return tuple(part for part in self.parts if isinstance(part, Clip))


@dataclass(frozen=True, slots=True)
class SystemItem:
    """An instruction of the application, beside the system prompt."""

    id: str
    text: str


@dataclass(frozen=True, slots=True)
class OtherItem:
    """Something that the peer keeps here and the model never sees, such as a function call."""

    id: str
    data: dict[str, Any]


@dataclass(slots=True)
class Answer:
    """What the assistant says, as it is delivered, piece by piece."""

    id: str
    turn: int
    """Number of the answer in its conversation, from 1; 0: written by the peer, or out of band."""
    pieces: list[tuple[tuple[int, ...], str]] = field(default_factory=list)
    """Token ids and the text that they add; one without tokens was written by the peer."""
    played: int | None = None
    """Characters that the user has seen or heard, if the peer reports it."""

    @property
    def text(self) -> str:
        """Give what was delivered, as text."""
        return "".join(text for _, text in self.pieces)

    @property
    def tokens(self) -> tuple[int, ...]:
        """Give what was delivered, as token ids."""
        return tuple(token for tokens, _ in self.pieces for token in tokens)

    def cut(self, chars: int) -> bool:
        """Drop the pieces that do not lie wholly within `chars`; tell whether any was dropped."""
        ends = accumulate(len(text) for _, text in self.pieces)
        kept = sum(end <= chars for end in ends)
        dropped = kept < len(self.pieces)
        del self.pieces[kept:]
        return dropped

    @property
    def played_out(self) -> bool:
        """Tell whether the user has seen or heard all of it, as far as the peer reports it."""
        return self.played is not None and self.played >= len(self.text)

    def cut_to_played(self) -> bool:
        """Drop what the user has not wholly had, if that is known; tell whether any was dropped."""
        return self.played is not None and self.cut(self.played)


Item = UserItem | SystemItem | OtherItem | Answer

# ---- as the peer brings them --------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class UserDraft:
    """A user item to be made: recordings (int16 mono 16 kHz, any length) and texts, in order."""

    id: str | None
    parts: tuple[Pcm | str, ...]
    transcript: str | None = None


@dataclass(frozen=True, slots=True)
class SystemDraft:
    """A system item to be made."""

    id: str | None
    text: str


@dataclass(frozen=True, slots=True)
class AnswerDraft:
    """An answer that the peer writes, for example from an earlier conversation."""

    id: str | None
    text: str


@dataclass(frozen=True, slots=True)
class OtherDraft:
    """Something to be kept for the peer as it is."""

    id: str | None
    data: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Reference:
    """An item that is already in the conversation."""

    id: str


ItemDraft = UserDraft | SystemDraft | AnswerDraft | OtherDraft
