"""One conversation answered by each side, and what may differ between the answers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realtime.engine.api import (
    AssistantTurn,
    Clip,
    Delta,
    Request,
    SystemTurn,
    Turn,
    UserTurn,
)
from realtime.engine.model.load import Loaded
from realtime.engine.worker.engine import WorkerEngine

SAMPLE_RATE = 16_000
CUT = "cut"
"""How an answer ended that its listener interrupted."""
STAND_IN = "<|endoftext|>"
"""Stands for token ids in a text: a special token, it joins with no letter beside it."""

Conversation = tuple[Turn, ...]


@dataclass(frozen=True, slots=True)
class Answer:
    """What one side answered."""

    prompt_tokens: int
    tokens: tuple[int, ...]
    text: str
    finish: str


@dataclass(frozen=True, slots=True)
class Result:
    """One conversation, answered by both sides."""

    example: str
    ours: Answer
    stock: Answer
    margin: float | None = None
    """Between the two best scores of transformers where the answers part, if that was looked at."""

    @property
    def equal(self) -> bool:
        """Tell whether every token, the prompt's length and the ending are the same."""
        return self.ours == self.stock

    @property
    def parting(self) -> int:
        """Give the first token that differs."""
        pairs = zip(self.ours.tokens, self.stock.tokens, strict=False)
        same = next((i for i, (a, b) in enumerate(pairs) if a != b), None)
        return min(len(self.ours.tokens), len(self.stock.tokens)) if same is None else same

    def difference(self) -> str:
        """Say where the answers part."""
        if self.ours.prompt_tokens != self.stock.prompt_tokens:
            return f"prompts: {self.ours.prompt_tokens} and {self.stock.prompt_tokens} tokens"
        margin = "" if self.margin is None else f" (margin {self.margin:.1e})"
        return f"from token {self.parting} on{margin}; transformers: {self.stock.text!r}"


async def ours(
    engine: WorkerEngine,
    request: Request,
    *,
    cut: int | None = None,
    notice: Callable[[], None] = lambda: None,
) -> Answer:
    """Collect one answer of the engine; after `cut` tokens its listener interrupts.

    `notice` is called for each delta.
    """
    deltas: list[Delta] = []
    tokens: list[int] = []
    stream = engine.generate(request)
    async with aclosing(stream):
        async for delta in stream:
            deltas.append(delta)
            tokens += delta.tokens
            notice()
            if cut is not None and len(tokens) >= cut:
                break
    last = deltas[-1]
    text = "".join(delta.text for delta in deltas)
    if last.usage is None or last.finish is None:
        return Answer(0, tuple(tokens), text, CUT)
    return Answer(last.usage.prompt_tokens, tuple(tokens), text, last.finish)


def stock(
    loaded: Loaded, conversations: Sequence[Conversation], limit: int, *, template: bool = True
) -> list[Answer]:
    """Answer with the processor and `generate()`, several conversations as one padded batch."""
    inputs = stock_inputs(loaded, conversations, template=template)
    model: Any = loaded.model
    with torch.inference_mode():
        generated = model.generate(**inputs, do_sample=False, max_new_tokens=limit)
    width = inputs["input_ids"].shape[1]
    prompts = inputs["attention_mask"].sum(-1).tolist()
    return [
        trimmed(loaded, row[width:].tolist(), prompt)
        for row, prompt in zip(generated, prompts, strict=True)
    ]


def stock_inputs(
    loaded: Loaded, conversations: Sequence[Conversation], *, template: bool = True
) -> dict[str, Tensor]:
    """Prepare conversations as the documentation does, a batch padded on the left.

    What an assistant said by token ids is put in by ids, which only a single conversation may have.
    """
    processor = loaded.processor
    processor.tokenizer.padding_side = "left"
    texts = [
        processor.apply_chat_template(
            list(messages(turns)), add_generation_prompt=True, tokenize=False
        )
        if template
        else verbatim(turns)
        for turns in conversations
    ]
    audio = [
        clip.pcm.astype(np.float32) / 32768 for turns in conversations for clip in heard(turns)
    ]
    inputs = processor(
        text=texts,
        audio=audio or None,
        return_tensors="pt",
        padding=True,
        sampling_rate=SAMPLE_RATE,
    )
    every = [turn for turns in conversations for turn in turns]
    said = [turn.tokens for turn in every if isinstance(turn, AssistantTurn) and turn.tokens]
    if said:
        assert len(conversations) == 1
        stand_in = processor.tokenizer.convert_tokens_to_ids(STAND_IN)
        ids = spliced(inputs["input_ids"][0].tolist(), stand_in, said)
        inputs["input_ids"] = torch.tensor([ids])
        inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return {name: value.to(loaded.model.device) for name, value in inputs.items()}


def spliced(ids: list[int], stand_in: int, said: Sequence[tuple[int, ...]]) -> list[int]:
    """Put token ids in the places that stand for them."""
    assert ids.count(stand_in) == len(said)
    rest = iter(said)
    return [id for old in ids for id in (next(rest) if old == stand_in else (old,))]


def messages(turns: Conversation) -> Iterator[dict[str, Any]]:
    """Write a conversation as the documentation does."""
    for turn in turns:
        match turn:
            case SystemTurn(text):
                yield {"role": "system", "content": text}
            case AssistantTurn(tokens, text):
                yield {"role": "assistant", "content": STAND_IN if tokens else text}
            case UserTurn(parts):
                yield {
                    "role": "user",
                    "content": [
                        {"type": "text", "text": part}
                        if isinstance(part, str)
                        else {"type": "audio", "audio_url": part.id}
                        for part in parts
                    ],
                }


def verbatim(turns: Conversation) -> str:
    """Write a base model's prompt."""
    (turn,) = turns
    assert isinstance(turn, UserTurn)
    return "".join(part if isinstance(part, str) else "<|AUDIO|>" for part in turn.parts)


def heard(turns: Conversation) -> list[Clip]:
    """List the clips of a conversation."""
    users = [turn for turn in turns if isinstance(turn, UserTurn)]
    return [part for turn in users for part in turn.parts if isinstance(part, Clip)]


def trimmed(loaded: Loaded, tokens: list[int], prompt_tokens: int) -> Answer:
    """Cut an answer of `generate()` before its end token, where it has one."""
    end = next((i for i, token in enumerate(tokens) if token in loaded.ends), None)
    return Answer(
        prompt_tokens,
        tuple(tokens[:end]),
        spoken(loaded, tokens[:end]),
        "length" if end is None else "stop",
    )


def interrupted(loaded: Loaded, answer: Answer, tokens: int) -> Answer:
    """Give what a listener had of an answer who interrupted it, as `ours` tells it."""
    kept = answer.tokens[:tokens]
    return replace(
        answer, prompt_tokens=0, tokens=kept, text=spoken(loaded, list(kept)), finish=CUT
    )


def spoken(loaded: Loaded, tokens: list[int]) -> str:
    """Give the text of tokens."""
    text: str = loaded.processor.tokenizer.decode(tokens, skip_special_tokens=True)
    return text


def forced(loaded: Loaded, turns: Conversation, tokens: Sequence[int]) -> Tensor:
    """Give the scores [tokens, vocabulary] that transformers had before each of these tokens."""
    inputs = stock_inputs(loaded, [turns])
    prompt = inputs["input_ids"]
    said = torch.tensor([list(tokens)], dtype=prompt.dtype, device=prompt.device)
    inputs["input_ids"] = torch.cat((prompt, said), 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    model: Any = loaded.model
    with torch.inference_mode():
        logits: Tensor = model(**inputs).logits[0].float()
    return logits[prompt.shape[1] - 1 : -1]
