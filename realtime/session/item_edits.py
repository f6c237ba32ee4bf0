"""What a peer does to the items of its conversation: put, show, drop, cut.

Rule: what cannot be done is told, and then nothing was done.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from realtime.audio.pcm import SAMPLE_RATE
from realtime.session.conversation import Conversation, ItemExists, UnknownItem
from realtime.session.events import (
    Emit,
    ItemAsked,
    ItemCut,
    ItemDropped,
    ItemGone,
    ItemPlaced,
    ItemPut,
    ItemShown,
    ItemTruncated,
    Trouble,
)
from realtime.session.items import Answer, Item, ItemDraft, Reference, UserDraft, UserItem

Edit = ItemPut | ItemAsked | ItemDropped | ItemCut


class ItemEdits:
    """Edits one conversation within the limits of its session."""

    def __init__(
        self, conversation: Conversation, *, min_audio_ms: int, max_turn_s: int, budget: int
    ) -> None:
        self.conversation = conversation
        self.min_audio_ms = min_audio_ms
        self.max_turn_s = max_turn_s
        self.budget = budget

    def apply(self, edit: Edit) -> list[Emit]:
        """Do what the peer asks, or tell why not."""
        try:
            match edit:
                case ItemPut(draft, after):
                    return self.put(draft, after)
                case ItemAsked(id):
                    return [Emit(ItemShown(self.find(id)))]
                case ItemDropped(id):
                    self.conversation.items.remove(self.find(id))
                    return [Emit(ItemGone(id))]
                case ItemCut(id):
                    return self.cut(edit, self.find(id))
        except UnknownItem as unknown:
            return [trouble("item_not_found", f"There is no item {unknown.args[0]!r} here.")]
        except ItemExists as exists:
            return [trouble("item_exists", f"There is an item {exists.args[0]!r} already.")]

    def find(self, id: str) -> Item:
        """Find an item; raise UnknownItem."""
        return self.conversation.items[self.conversation.index(id)]

    def put(self, draft: ItemDraft, after: str | None) -> list[Emit]:
        """Put an item into its place; over the budget, the oldest leave for it."""
        if (wrong := self.unfit(draft)) is not None:
            return [wrong]
        item = self.conversation.place(draft, after)
        if not self.makes_room_for(item):
            self.conversation.items.remove(item)
            return [trouble("conversation_full", "The conversation has no room for this item.")]
        placed = Emit(ItemPlaced(item, self.conversation.previous(item.id)))
        return [placed, *self.trim()]

    def makes_room_for(self, item: Item) -> bool:
        """Tell whether the budget holds with it: only what the user said makes others leave."""
        return isinstance(item, UserItem) or self.conversation.tokens() <= self.budget

    def unfit(self, draft: ItemDraft | Reference) -> Emit | None:
        """Tell what is wrong with the recordings of an item, if anything is."""
        if not isinstance(draft, UserDraft):
            return None
        for part in draft.parts:
            if not isinstance(part, np.ndarray):
                continue
            seconds = part.size / SAMPLE_RATE
            if seconds * 1000 < self.min_audio_ms:
                least = f"at least {self.min_audio_ms} ms"
                return trouble(
                    "audio_too_short", f"{seconds:.3f} s of audio are too short; {least}."
                )
            if seconds > self.max_turn_s:
                most = f"at most {self.max_turn_s} s"
                return trouble("audio_too_long", f"{seconds:.0f} s of audio are too long; {most}.")
        return None

    def resolve(self, drafts: Sequence[ItemDraft | Reference]) -> list[Item] | Emit:
        """Make or find the items of an answer's own input; or tell what is wrong with them."""
        for draft in drafts:
            if (wrong := self.unfit(draft)) is not None:
                return wrong
        try:
            return self.conversation.resolve(drafts)
        except UnknownItem as unknown:
            return trouble("item_not_found", f"There is no item {unknown.args[0]!r} here.")

    def cut(self, edit: ItemCut, item: Item) -> list[Emit]:
        """Keep of an answer what the user has had."""
        if not isinstance(item, Answer):
            return [trouble("not_an_answer", f"Item {item.id!r} is no answer of the assistant.")]
        if edit.chars is not None:
            item.cut(edit.chars)
        return [Emit(ItemTruncated(edit))]

    def trim(self) -> list[Emit]:
        """Let the oldest items leave when there are more than the budget allows."""
        dropped = self.conversation.trim(self.budget)
        if not dropped:
            return []
        message = f"The conversation was too long: its {len(dropped)} oldest items were dropped."
        gone = [Emit(ItemGone(item.id)) for item in dropped]
        return [*gone, trouble("conversation_trimmed", message)]


def trouble(code: str, message: str) -> Emit:
    """Tell the peer what did not go as asked; the session goes on."""
    return Emit(Trouble(code, message))
