"""A request as the token ids that the model was trained on, with its clips in their places.

The frame of a prompt comes from the checkpoint's own chat template, rendered with marks where
people's words go. Only the template (or a prompt taken as it is) can write special tokens: a user
who types <|im_end|> has typed these letters. Text between two special tokens is tokenised as one,
as the processor does, so that the ids are those of the processor.
"""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
from tokenizers import Tokenizer

from realtime.audio.pcm import SAMPLE_RATE
from realtime.engine.api import AssistantTurn, Clip, Request, SystemTurn, Turn, UserTurn
from realtime.engine.audio_tokens import audio_tokens
from realtime.engine.steps import Placed, Prompt
from realtime.errors import ContextTooLong, EngineError, ModelError

SHORTEST = SAMPLE_RATE // 10
"""Samples; shorter clips have next to no tokens, and the model invents what it heard."""
LONGEST = SAMPLE_RATE * 30
"""Samples; the encoder's window."""
ROOM = 64
"""Tokens that a prompt must leave for the answer, or as many as the answer may have if fewer."""
CHARACTERS = 64
"""Per token; a text with more is not even tokenised, which would take seconds."""
KNOWN, LONG = 4096, 1024
"""Texts whose tokens are kept, and the characters of the longest of them."""
MARK = re.compile("\ue000(\\d+)\ue001")
AUDIO, AUDIO_BOS, AUDIO_EOS = "<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"
TURN_END = "<|im_end|>"


Contribution = Clip | tuple[int, ...] | str
"""What a person contributes: audio, token ids as they are, or plain text."""


class Prompts:
    """Turns requests into prompts for one checkpoint."""

    def __init__(self, processor: Any, context: int) -> None:
        self.processor = processor
        self.context = context
        backend: Tokenizer = processor.tokenizer.backend_tokenizer
        self.special = special_ids(backend)
        for name in (AUDIO, AUDIO_BOS, AUDIO_EOS, TURN_END):
            if name not in self.special:
                raise ModelError(f"the tokenizer lacks the special token {name}")
        self.audio = self.special[AUDIO]
        self.turn_end = self.special[TURN_END]
        names = sorted(self.special, key=len, reverse=True)
        self.specials = re.compile("(" + "|".join(map(re.escape, names)) + ")")
        self.plain = without_special_tokens(backend)

        @functools.lru_cache(KNOWN)
        def known(text: str) -> tuple[int, ...]:
            return tuple(self.plain.encode(text, add_special_tokens=False).ids)

        # Each request carries the whole conversation: most of its texts were there before.
        self.known = known
        self._check_template()

    def build(self, request: Request) -> Prompt:
        """Give the prompt; raise ContextTooLong, or EngineError for what cannot be asked."""
        if not request.turns:
            raise EngineError("the conversation is empty")
        length = sum(map(_characters, request.turns))
        if length > CHARACTERS * self.context:
            raise ContextTooLong(
                f"the conversation has {length} characters, "
                f"far beyond the model's context of {self.context} tokens"
            )
        room = min(ROOM, request.sampling.max_tokens)
        if not request.template:
            return self._tokenise(_verbatim(request.turns), room)
        shared = int(isinstance(request.turns[0], SystemTurn))
        return self._tokenise(self._from_template(request.turns), room, shared)

    def _tokenise(
        self, pieces: Iterable[tuple[Contribution, bool]], room: int, shared: int = -1
    ) -> Prompt:
        """Join pieces, each with whether it may write special tokens.

        The first `shared` pieces that people contributed are no secret of a conversation.
        """
        ids: list[int] = []
        clips: list[Placed] = []
        run = ""
        head = contributed = 0
        for piece, may_write_special in pieces:
            if isinstance(piece, Clip) or not may_write_special:
                if contributed == shared:
                    head = len(ids)
                contributed += 1
            match piece:
                case str() if not may_write_special:
                    run += piece
                    continue
                case str():
                    first, *rest = self.specials.split(piece)
                    run += first
                    for name, text in zip(rest[::2], rest[1::2], strict=True):
                        if name == AUDIO:
                            raise EngineError(f"{AUDIO} stands for a clip: give the clip instead")
                        ids += [*self._encode(run), self.special[name]]
                        run = text
                    continue
                case Clip():
                    ids += self._encode(run)
                    clips.append(Placed(len(ids), piece))
                    ids += [self.audio] * tokens_of(piece)
                case tuple():
                    ids += [*self._encode(run), *piece]
            run = ""
        ids += self._encode(run)
        if len(ids) + room > self.context:
            raise ContextTooLong(
                f"the conversation has {len(ids)} tokens where {self.context - room} fit: "
                f"the model's context is {self.context} and {room} are kept for the answer"
            )
        return Prompt(tuple(ids), tuple(clips), head)

    def _encode(self, text: str) -> tuple[int, ...]:
        if len(text) > LONG:
            return tuple(self.plain.encode(text, add_special_tokens=False).ids)
        return self.known(text)

    def _from_template(self, turns: tuple[Turn, ...]) -> Iterator[tuple[Contribution, bool]]:
        """Render the chat template and put people's contributions in the place of their marks."""
        messages, parts = _marked(turns)
        text = self._render(messages)
        clips = iter([part for turn in turns for part in _clips(turn)])
        for i, piece in enumerate(MARK.split(text)):
            if i % 2:
                yield parts[int(piece)], False
                continue
            first, *rest = piece.split(AUDIO)
            yield first, True
            for literal in rest:
                yield next(clips), True
                yield literal, True

    def _render(self, messages: list[dict[str, Any]]) -> str:
        rendered: str = self.processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=False
        )
        return rendered

    def _check_template(self) -> None:
        """Refuse a template that loses or reorders what it is given."""
        turns = (
            SystemTurn("s"),
            UserTurn((_NOTHING, "t", _NOTHING)),
            AssistantTurn(text="a"),
            UserTurn((_NOTHING,)),
        )
        messages, parts = _marked(turns)
        try:
            text = self._render(messages)
        except Exception as error:
            raise ModelError(f"the chat template cannot be rendered: {error}") from error
        marks = [int(number) for number in MARK.findall(text)]
        if marks != list(range(len(parts))) or text.count(AUDIO) != 3:
            raise ModelError(
                "the chat template does not keep every text and audio of a conversation"
            )


def tokens_of(clip: Clip) -> int:
    """Count the audio tokens of a clip; raise EngineError for one of a length never to be sent."""
    samples = len(clip.pcm)
    if not SHORTEST <= samples <= LONGEST:
        raise EngineError(
            f"a clip must have 0.1 to 30 s of audio, this one has {samples / SAMPLE_RATE:.3f} s"
        )
    return audio_tokens(samples)


def special_ids(tokenizer: Tokenizer) -> dict[str, int]:
    """Give the tokens that stand apart from text, by name."""
    return {token.content: id for id, token in tokenizer.get_added_tokens_decoder().items()}


def without_special_tokens(tokenizer: Tokenizer) -> Tokenizer:
    """Copy a tokenizer that takes every letter as a letter."""
    described = json.loads(tokenizer.to_str())
    described |= {"added_tokens": [], "truncation": None, "padding": None, "post_processor": None}
    return Tokenizer.from_str(json.dumps(described))


_NOTHING = Clip("", np.zeros(0, np.int16))


def _marked(turns: Iterable[Turn]) -> tuple[list[dict[str, Any]], list[Contribution]]:
    """Write a conversation for the template, marks in place of people's contributions."""
    parts: list[Contribution] = []

    def mark(part: Contribution) -> str:
        parts.append(part)
        return f"\ue000{len(parts) - 1}\ue001"

    def content(part: Clip | str) -> dict[str, str]:
        if isinstance(part, Clip):
            return {"type": "audio", "audio_url": "clip"}
        return {"type": "text", "text": mark(part)}

    messages: list[dict[str, Any]] = []
    for turn in turns:
        match turn:
            case SystemTurn(text):
                messages.append({"role": "system", "content": mark(text)})
            case UserTurn(said):
                messages.append({"role": "user", "content": [content(part) for part in said]})
            case AssistantTurn(tokens, text):
                messages.append({"role": "assistant", "content": mark(tokens or text)})
    return messages, parts


def _characters(turn: Turn) -> int:
    if isinstance(turn, UserTurn):
        return sum(len(part) for part in turn.parts if isinstance(part, str))
    return len(turn.text)


def _clips(turn: Turn) -> list[Clip]:
    return [p for p in turn.parts if isinstance(p, Clip)] if isinstance(turn, UserTurn) else []


def _verbatim(turns: Iterable[Turn]) -> Iterator[tuple[Contribution, bool]]:
    """Take a base model's prompt as it is; its texts may hold special tokens."""
    for turn in turns:
        match turn:
            case SystemTurn(text):
                yield text, True
            case UserTurn(parts):
                yield from ((part, True) for part in parts)
            case AssistantTurn(tokens, text):
                yield tokens or text, True
