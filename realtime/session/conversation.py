"""The items of one conversation, the turns they make, and how much of it is kept.

Rule: neighbouring user items are one turn of the model: what was said, then what was written. An
answer of which nothing was delivered is no turn, so that its question stays open. A conversation
outlives its connection, so that a peer can take it up again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from realtime.audio.pcm import Pcm
from realtime.engine.api import AssistantTurn, Clip, Sampling, SystemTurn, Turn, UserTurn
from realtime.engine.audio_tokens import audio_tokens
from realtime.session.events import FRONT, ResponseOptions
from realtime.session.items import (
    Answer,
    AnswerDraft,
    Item,
    ItemDraft,
    OtherDraft,
    OtherItem,
    Reference,
    SystemDraft,
    SystemItem,
    UserDraft,
    UserItem,
)
from realtime.session.windows import windows

TURN_OVERHEAD = 6  # <|im_start|>role\n ... <|im_end|>\n
CLIP_OVERHEAD = 8  # "Audio N: " <|audio_bos|> ... <|audio_eos|> \n
BYTES_PER_TOKEN = 2  # of text; a cautious estimate, the engine counts exactly


@dataclass(slots=True)
class Question:
    """What the latest answer was asked with, as long as the peer may have missed the answer."""

    answer: Answer
    turns: tuple[Turn, ...]
    sampling: Sampling
    options: ResponseOptions
    lost: bool = False
    """The answer, or its end, did not reach the peer."""


class UnknownItem(LookupError):
    """There is no item of this id here."""


class ItemExists(LookupError):
    """There is an item of this id already."""


class Conversation:
    """The items so far, as the next request will carry them."""

    def __init__(self, id: str, *, system: str | None = None) -> None:
        self.id = id
        self.system = system
        self.turn = 0
        """Number of the latest answer asked for; never goes back."""
        self.clips_made = 0
        self.items_made = 0
        self.out_of_band_made = 0
        self.items: list[Item] = []
        self.question: Question | None = None

    # ---- items ----------------------------------------------------------------------------------

    def new_id(self) -> str:
        """Name an item that is to come, unlike any that the peer has named."""
        while True:
            self.items_made += 1
            id = f"item_{self.id}_{self.items_made}"
            if not self.has(id):
                return id

    def has(self, id: str) -> bool:
        """Tell whether there is an item of this id."""
        return any(item.id == id for item in self.items)

    def clip(self, pcm: Pcm) -> Clip:
        """Name these samples for ever."""
        self.clips_made += 1
        return Clip(f"{self.id}/{self.clips_made}", pcm)

    def make(self, draft: ItemDraft) -> Item:
        """Make an item of what the peer brought; recordings beyond the window become several."""
        id = draft.id or self.new_id()
        match draft:
            case UserDraft(_, parts, transcript):
                return UserItem(id, tuple(self.clips_of(parts)), transcript)
            case SystemDraft(_, text):
                return SystemItem(id, text)
            case AnswerDraft(_, text):
                return Answer(id, 0, [((), text)] if text else [])
            case OtherDraft(_, data):
                return OtherItem(id, data)

    def clips_of(self, parts: Sequence[Pcm | str]) -> Iterator[Clip | str]:
        """Turn recordings into clips."""
        for part in parts:
            if isinstance(part, str):
                yield part
            else:
                yield from map(self.clip, windows(part))

    def index(self, id: str) -> int:
        """Find an item; raise UnknownItem."""
        for index, item in enumerate(self.items):
            if item.id == id:
                return index
        raise UnknownItem(id)

    def place(self, draft: ItemDraft, after: str | None = None) -> Item:
        """Make an item behind another, at the FRONT or at the end; UnknownItem, ItemExists."""
        at = self.place_behind(after)
        if draft.id is not None and self.has(draft.id):
            raise ItemExists(draft.id)
        item = self.make(draft)
        self.items.insert(at, item)
        return item

    def place_behind(self, after: str | None) -> int:
        """Give the index of the place behind an item."""
        if after is None:
            return len(self.items)
        return 0 if after == FRONT else self.index(after) + 1

    def replace(self, item: Item) -> None:
        """Put an item in the place of the one with its id, if that is still there."""
        for index, other in enumerate(self.items):
            if other.id == item.id:
                self.items[index] = item

    def previous(self, id: str) -> str | None:
        """Give the id of the item before this one; None for the first."""
        index = self.index(id)
        return self.items[index - 1].id if index else None

    def add_user(self, parts: tuple[Clip | str, ...], id: str | None = None) -> UserItem:
        """Add what the user said and wrote; an unanswered turn goes on."""
        # The peer may have taken the id that it was told of what is being said.
        item = UserItem(self.new_id() if id is None or self.has(id) else id, parts)
        self.items.append(item)
        return item

    def begin_answer(self) -> Answer:
        """Open the next answer."""
        self.turn += 1
        answer = Answer(self.new_id(), self.turn)
        self.items.append(answer)
        return answer

    @property
    def last_answer(self) -> Answer | None:
        """Give the latest answer, if it is the latest item."""
        return self.items[-1] if self.items and isinstance(self.items[-1], Answer) else None

    @property
    def unanswered(self) -> bool:
        """Tell whether the last word is the user's."""
        for item in reversed(self.items):
            if isinstance(item, UserItem):
                return True
            if isinstance(item, Answer) and item.pieces:
                return False
        return False

    def spoken_after(self, id: str) -> bool:
        """Tell whether the user said something behind this item, which may be gone."""
        for item in reversed(self.items):
            if item.id == id:
                return False
            if isinstance(item, UserItem):
                return True
        return False

    def missed(self, had: int | None) -> Question | None:
        """Give the question whose answer the peer missed, once; the answer is taken back.

        `had` is the last turn whose end the peer knows of, if it says so.
        """
        question, self.question = self.question, None
        if question is None:
            return None
        if not (question.lost if had is None else question.answer.turn > had):
            return None
        self.items = [item for item in self.items if item is not question.answer]
        return question

    def clear(self) -> None:
        """Forget every item; the system prompt stays."""
        self.items.clear()
        self.question = None

    # ---- requests -------------------------------------------------------------------------------

    def turns(
        self, items: Sequence[Item] | None = None, system: str | None = None
    ) -> tuple[Turn, ...]:
        """Give the turns that the items make; `system` stands in for the system prompt."""
        said = self.items if items is None else items
        prompts = [system if system is not None else self.system or ""]
        prompts += [item.text for item in said if isinstance(item, SystemItem)]
        text = "\n\n".join(filter(None, prompts))
        return (*([SystemTurn(text)] if text else []), *dialogue(said))

    def resolve(self, drafts: Sequence[ItemDraft | Reference]) -> list[Item]:
        """Make items that stay out of the conversation, or find them in it; raise UnknownItem."""
        return [
            self.items[self.index(draft.id)] if isinstance(draft, Reference) else self.make(draft)
            for draft in drafts
        ]

    # ---- the budget -----------------------------------------------------------------------------

    def tokens(self, items: Sequence[Item] | None = None) -> int:
        """Estimate the tokens of the whole prompt: audio and answers exactly, text cautiously."""
        system = text_tokens(self.system) + TURN_OVERHEAD if self.system else 0
        return system + sum(item_tokens(i) for i in (self.items if items is None else items))

    def trim(self, budget: int) -> list[Item]:
        """Over the budget, drop the oldest items in one step down to two thirds of it.

        One larger step keeps the prefix that the engine has warm stable for longer than many small
        ones. What the user said last stays, however long, and so do instructions. Returns what was
        dropped.
        """
        total = self.tokens()
        if total <= budget:
            return []
        users = [i for i, item in enumerate(self.items) if isinstance(item, UserItem)]
        dropped: list[Item] = []
        begin = 0
        for start in users[1:]:
            leaving = [i for i in self.items[begin:start] if not isinstance(i, SystemItem)]
            dropped += leaving
            total -= sum(map(item_tokens, leaving))
            begin = start
            if total <= budget * 2 // 3:
                break
        if total > budget:  # answers that no further user item leads away
            for item in self.items[begin:]:
                if total <= budget * 2 // 3:
                    break
                if isinstance(item, Answer | OtherItem):
                    dropped.append(item)
                    total -= item_tokens(item)
        gone = {item.id for item in dropped}
        self.items = [item for item in self.items if item.id not in gone]
        return dropped


def dialogue(items: Sequence[Item]) -> Iterator[Turn]:
    """Yield the turns that items make, neighbouring user items as one."""
    run: list[UserItem] = []
    for item in items:
        match item:
            case UserItem():
                run.append(item)
            case Answer(pieces=[_, *_]):
                if run:
                    yield user_turn(run)
                    run = []
                yield AssistantTurn(tokens=item.tokens, text="" if item.tokens else item.text)
    if run:
        yield user_turn(run)


def user_turn(run: Sequence[UserItem]) -> UserTurn:
    """Join user items: those with audio as they are, then what was only written."""
    spoken = [part for item in run if item.clips for part in item.parts]
    written = [part for item in run if not item.clips for part in item.parts]
    return UserTurn((*spoken, *(["\n".join(map(str, written))] if written else [])))


def text_tokens(text: str) -> int:
    """Estimate the tokens of a text from above."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def item_tokens(item: Item) -> int:
    """Estimate the tokens of one item with its frame."""
    match item:
        case Answer():
            written = sum(text_tokens(text) for tokens, text in item.pieces if not tokens)
            return TURN_OVERHEAD + len(item.tokens) + written
        case UserItem():
            return TURN_OVERHEAD + sum(map(part_tokens, item.parts))
        case SystemItem():
            return TURN_OVERHEAD + text_tokens(item.text)
        case OtherItem():
            # The model never sees it, but it takes room here like text.
            return TURN_OVERHEAD + text_tokens(repr(item.data))


def part_tokens(part: Clip | str) -> int:
    """Estimate the tokens of one part of a user item."""
    return (
        text_tokens(part) if isinstance(part, str) else audio_tokens(len(part.pcm)) + CLIP_OVERHEAD
    )
