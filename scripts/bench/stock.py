"""The documented way with transformers: processor and `generate()`, everything anew each turn."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration
from transformers.generation.stopping_criteria import StoppingCriteria
from transformers.generation.streamers import BaseStreamer

from realtime.engine.api import Clip

from .ours import AFTER, peak_mib
from .plan import Plan

SAMPLE_RATE = 16_000


@dataclass(frozen=True, slots=True)
class Stock:
    """A checkpoint as transformers loads it."""

    model: Any
    processor: Any

    def inputs(self, conversations: Sequence[Sequence[Clip | str]]) -> Any:
        """Prepare conversations, clips being user turns and texts assistant turns."""
        texts = [
            self.processor.apply_chat_template(
                [message(turn) for turn in turns], add_generation_prompt=True, tokenize=False
            )
            for turns in conversations
        ]
        clips = [turn for turns in conversations for turn in turns if isinstance(turn, Clip)]
        audio = [clip.pcm.astype(np.float32) / 32768 for clip in clips]
        return self.processor(
            text=texts, audio=audio, return_tensors="pt", padding=True, sampling_rate=SAMPLE_RATE
        ).to(self.model.device)

    def generate(
        self, conversations: Sequence[Sequence[Clip | str]], tokens: int, **more: Any
    ) -> int:
        """Answer conversations as one batch; count the new tokens, without end tokens."""
        inputs = self.inputs(conversations)
        with torch.inference_mode():
            made = self.model.generate(**inputs, do_sample=False, max_new_tokens=tokens, **more)
        new = made[:, inputs["input_ids"].shape[1] :]
        ends = self.model.generation_config.eos_token_id
        ends = torch.tensor(ends if isinstance(ends, list) else [ends], device=new.device)
        return int((torch.isin(new, ends).cumsum(-1) == 0).sum())


def message(turn: Clip | str) -> dict[str, Any]:
    """Write a turn as the documentation does."""
    if isinstance(turn, str):
        return {"role": "assistant", "content": turn}
    return {"role": "user", "content": [{"type": "audio", "audio_url": turn.id}]}


class Clock(BaseStreamer):
    """Notes when tokens come; the first that it is given is the prompt."""

    def __init__(self) -> None:
        self.times: list[float] = []
        self.enough = threading.Event()
        """Set after as many tokens as an answer has before it is cancelled."""

    def put(self, value: torch.Tensor) -> None:
        """Note a token."""
        self.times.append(time.perf_counter())
        if len(self.times) > AFTER:
            self.enough.set()

    def end(self) -> None:
        """Let nobody wait for more."""
        self.enough.set()


class Interruption(StoppingCriteria):
    """Stops when somebody says so: the one way that `generate()` has."""

    def __init__(self) -> None:
        self.wanted = threading.Event()

    def __call__(
        self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any
    ) -> torch.Tensor:
        """Tell for each sequence whether it is done."""
        return torch.full((len(input_ids),), self.wanted.is_set(), device=input_ids.device)


def load(folder: str, device: str, dtype: str) -> Stock:
    """Load a checkpoint."""
    auto: Any = AutoProcessor
    processor = auto.from_pretrained(folder)
    processor.tokenizer.padding_side = "left"
    model: Any = Qwen2AudioForConditionalGeneration.from_pretrained(
        folder, dtype=getattr(torch, dtype)
    )
    return Stock(model.to(device).eval(), processor)


def first_tokens(stock: Stock, plan: Plan, answers: list[str]) -> list[float]:
    """Time the first token of each turn, in ms; `answers` are the history."""
    stock.generate([[plan.turn(9, 0)]], 2)  # warms up
    times = []
    turns: list[Clip | str] = []
    for number, answer in enumerate(answers):
        turns.append(plan.turn(0, number))
        clock = Clock()
        began = time.perf_counter()
        stock.generate([turns], 1, streamer=clock)
        times.append(1e3 * (clock.times[1] - began))
        turns.append(answer)
    return times


def one_after_another(stock: Stock, plan: Plan) -> float:
    """Give tokens a second of `generate()` for one conversation after the other."""
    clips = plan.crowd(plan.one_after_another, 3)
    began = time.perf_counter()
    tokens = sum(stock.generate([[clip]], plan.tokens) for clip in clips)
    return tokens / (time.perf_counter() - began)


def batch(stock: Stock, plan: Plan, count: int) -> float:
    """Give tokens a second of `generate()` for a batch padded on the left."""
    if stock.model.device.type == "cuda":
        stock.generate([[clip] for clip in plan.crowd(count, 2 * count)], 2)  # warms up
    clips = plan.crowd(count, 2 * count + 1)
    began = time.perf_counter()
    tokens = stock.generate([[clip] for clip in clips], plan.tokens)
    return tokens / (time.perf_counter() - began)


def cancel_ms(stock: Stock, plan: Plan) -> float | None:
    """Time how soon `generate()` returns when its listener interrupts; None: it ends sooner."""
    clock, interruption = Clock(), Interruption()
    more = {"streamer": clock, "stopping_criteria": [interruption]}

    def generate() -> None:
        try:
            stock.generate([[plan.turn(0, 0)]], 2000, **more)
        finally:
            clock.enough.set()

    answering = threading.Thread(target=generate, name="generate")
    answering.start()
    clock.enough.wait()
    interruption.wanted.set()
    began = time.perf_counter()
    answering.join()
    if len(clock.times) <= AFTER:
        return None
    return 1e3 * (time.perf_counter() - began)


def forget_peak() -> None:
    """Begin to count this process's memory anew (proc_pid_clear_refs(5))."""
    Path("/proc/self/clear_refs").write_text("5")
    if torch.cuda.is_available():
        torch.cuda.reset_peak_memory_stats()


def peak() -> float:
    """Give the most memory in MiB that this process has had since."""
    return peak_mib(os.getpid())
