"""The turns of one conversation: what was said, what was delivered, and how much of it is kept.

Rule: an assistant turn holds the token ids that the peer has had, never re-tokenised text, and
never one token more. A conversation outlives its connection, so that a peer can take it up again.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from realtime.engine.api import AssistantTurn, Clip, Request, Sampling, SystemTurn, Turn, UserTurn

SAMPLES_PER_MEL_FRAME = 160  # hop of the log-mel: 10 ms
TURN_OVERHEAD = 6  # <|im_start|>role\n ... <|im_end|>\n
CLIP_OVERHEAD = 8  # "Audio N: " <|audio_bos|> ... <|audio_eos|> \n
BYTES_PER_TOKEN = 2  # of text; a cautious estimate, the engine counts exactly


def audio_tokens(samples: int) -> int:
    """Count the model's tokens for a clip of `samples` at 16 kHz: 25 a second (Qwen2-Audio)."""
    mel_frames = -(-samples // SAMPLES_PER_MEL_FRAME)
    return max(0, ((mel_frames - 1) // 2 + 1 - 2) // 2 + 1)


@dataclass(slots=True)
class Answer:
    """An assistant turn as it is delivered, piece by piece."""

    turn: int
    pieces: list[tuple[tuple[int, ...], str]] = field(default_factory=list)
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

    def cut_to_played(self) -> bool:
        """Drop the pieces that the user has not wholly had; tell whether any was dropped."""
        if self.played is None:
            return False
        kept = chars = 0
        for _, text in self.pieces:
            chars += len(text)
            if chars > self.played:
                break
            kept += 1
        dropped = kept < len(self.pieces)
        del self.pieces[kept:]
        return dropped


class Conversation:
    """The turns so far, as the next request will carry them."""

    def __init__(self, id: str, *, system: str | None = None) -> None:
        self.id = id
        self.system = system
        self.turn = 0
        """Number of the latest answer asked for; never goes back."""
        self.clips_made = 0
        self.items: list[UserTurn | Answer] = []

    def clip(self, pcm: NDArray[np.int16]) -> Clip:
        """Name these samples for ever."""
        self.clips_made += 1
        return Clip(f"{self.id}/{self.clips_made}", pcm)

    def add_user(self, parts: tuple[Clip | str, ...], budget: int) -> None:
        """Add what the user said and wrote; an unanswered turn goes on, up to `budget` tokens."""
        self.items = self.items_with(parts, budget)

    def items_with(self, parts: tuple[Clip | str, ...], budget: int) -> list[UserTurn | Answer]:
        """Give the items as `add_user` would leave them."""
        if self.items and isinstance(last := self.items[-1], UserTurn):
            longer = UserTurn(last.parts + parts)
            if item_tokens(longer) <= budget:
                return [*self.items[:-1], longer]
        return [*self.items, UserTurn(parts)]

    def begin_answer(self) -> Answer:
        """Open the answer to the last user turn."""
        self.turn += 1
        answer = Answer(self.turn)
        self.items.append(answer)
        return answer

    def drop_empty_answer(self) -> None:
        """Forget the last answer when nothing of it was delivered: its question is still open."""
        if self.items and isinstance(last := self.items[-1], Answer) and not last.pieces:
            self.items.pop()

    @property
    def last_answer(self) -> Answer | None:
        """Give the latest answer, if it is the latest item."""
        return self.items[-1] if self.items and isinstance(self.items[-1], Answer) else None

    @property
    def unanswered(self) -> bool:
        """Tell whether the last word is the user's."""
        return bool(self.items) and isinstance(self.items[-1], UserTurn)

    def clear(self) -> None:
        """Forget every turn; the system prompt stays."""
        self.items.clear()

    def turns(self, items: list[UserTurn | Answer] | None = None) -> Iterator[Turn]:
        """Yield the turns (or what `items` would make of them) as the engine takes them."""
        if self.system is not None:
            yield SystemTurn(self.system)
        for item in self.items if items is None else items:
            match item:
                case UserTurn():
                    yield item
                case Answer():
                    yield AssistantTurn(tokens=item.tokens)

    def request(self, sampling: Sampling) -> Request:
        """Ask for an answer to the conversation as it stands, and open that answer."""
        turns = tuple(self.turns())
        answer = self.begin_answer()
        return Request(f"{self.id}:{answer.turn}", self.id, turns, sampling)

    def guess(
        self, parts: tuple[Clip | str, ...], budget: int, sampling: Sampling
    ) -> Request | None:
        """Ask what the answer would be if the user said no more than `parts`; nothing is changed.

        None when the turn would make the conversation lose older ones: that is not done on a guess.
        """
        items = self.items_with(parts, budget)
        if self.tokens(items) > budget:
            return None
        # The number of clips tells the guesses of one turn apart.
        name = f"{self.id}:{self.turn + 1}?{self.clips_made}"
        return Request(name, self.id, tuple(self.turns(items)), sampling, priority="low")

    def tokens(self, items: list[UserTurn | Answer] | None = None) -> int:
        """Estimate the tokens of the whole prompt: audio and answers exactly, text cautiously."""
        system = text_tokens(self.system) + TURN_OVERHEAD if self.system else 0
        return system + sum(item_tokens(i) for i in (self.items if items is None else items))

    def trim(self, budget: int) -> int:
        """Over the budget, drop the oldest turns in one step down to two thirds of it.

        One larger step keeps the prefix that the engine has warm stable for longer than many small
        ones. The last user turn stays, however long. Returns the number of turns dropped.
        """
        if self.tokens() <= budget:
            return 0
        starts = [i for i, item in enumerate(self.items) if isinstance(item, UserTurn)][1:]
        total = self.tokens()
        dropped = 0
        for start in starts:
            total -= sum(item_tokens(item) for item in self.items[dropped:start])
            dropped = start
            if total <= budget * 2 // 3:
                break
        del self.items[:dropped]
        return dropped


def text_tokens(text: str) -> int:
    """Estimate the tokens of a text from above."""
    return -(-len(text.encode("utf-8", "replace")) // BYTES_PER_TOKEN)


def item_tokens(item: UserTurn | Answer) -> int:
    """Estimate the tokens of one turn with its frame."""
    if isinstance(item, Answer):
        return TURN_OVERHEAD + sum(len(tokens) for tokens, _ in item.pieces)
    return TURN_OVERHEAD + sum(
        text_tokens(part) if isinstance(part, str) else audio_tokens(len(part.pcm)) + CLIP_OVERHEAD
        for part in item.parts
    )
