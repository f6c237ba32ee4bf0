"""The user turn that is being made: what was said and written since the last one was answered."""

from __future__ import annotations

from realtime.audio.pcm import SAMPLE_RATE, Pcm
from realtime.engine.api import Clip
from realtime.session.conversation import Conversation

Parts = tuple[Clip | str, ...]


class PendingTurn:
    """Clips and texts of the turn to come, and the instruction that every turn gets."""

    def __init__(self, conversation: Conversation, max_text_bytes: int) -> None:
        self.conversation = conversation
        self.max_text_bytes = max_text_bytes
        self.clips: list[Clip] = []
        self.texts: list[str] = []
        self.instruction = ""
        self.item: str | None = None
        """Id that the peer has been told for it."""

    def __bool__(self) -> bool:
        """Tell whether anything was said or written; a standing instruction alone is no turn."""
        return bool(self.clips or self.texts)

    @property
    def seconds(self) -> float:
        """Give the length of what was said."""
        return sum(len(clip.pcm) for clip in self.clips) / SAMPLE_RATE

    def name_item(self) -> str:
        """Give the id of the item that the turn will be."""
        if self.item is None:
            self.item = self.conversation.new_id()
        return self.item

    def hear(self, pcm: Pcm) -> None:
        """Add what was said."""
        self.clips.append(self.conversation.clip(pcm))

    def write(self, text: str) -> bool:
        """Add a written instruction; tell whether there was room for it."""
        if sum(len(t.encode()) for t in (*self.texts, text)) > self.max_text_bytes:
            return False
        if text:
            self.texts.append(text)
        return True

    def instruct(self, text: str) -> bool:
        """Set the standing instruction; tell whether it is short enough."""
        if len(text.encode()) > self.max_text_bytes:
            return False
        self.instruction = text
        return True

    def parts(self, *last: Clip) -> Parts:
        """Give the turn as it stands: what was said (and `last`), then what was written."""
        texts = [self.instruction, *self.texts] if self.instruction else self.texts
        return (*self.clips, *last, *(["\n".join(texts)] if texts else []))

    def take(self, *last: Clip) -> tuple[Parts, str | None]:
        """Give the turn (and `last`) and the id of its item, and begin the next."""
        taken = self.parts(*last), self.item
        self.clear()
        return taken

    def clear(self) -> None:
        """Begin anew; the standing instruction stays."""
        self.clips, self.texts = [], []
        self.item = None
