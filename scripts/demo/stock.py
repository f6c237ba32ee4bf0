"""The final measurement: the exported files, stock processor, stock generate(), 30 s of padding.

Nothing of the training code takes part, and a conversation's history is what the model answered.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import torch
from transformers import AutoProcessor, Qwen2AudioForConditionalGeneration

from . import evaluate
from .augment import Wave
from .dialogues import DEFAULT_SYSTEM, Turn
from .evaluate import Case, Score
from .voices import RATE

Message = dict[str, Any]
PART = 24


def user_message(turn: Turn) -> Message:
    """Write a turn as a message of the chat template."""
    parts: list[Message] = []
    if turn.source != "typed":
        parts.append({"type": "audio", "audio_url": "clip.wav"})
    if turn.text:
        parts.append({"type": "text", "text": turn.text})
    return {"role": "user", "content": parts}


class Stock:
    """A checkpoint behind stock transformers."""

    def __init__(self, folder: Path, device: str = "cpu", dtype: str = "float32") -> None:
        loader: Any = AutoProcessor
        self.processor: Any = loader.from_pretrained(folder)
        architecture: Any = Qwen2AudioForConditionalGeneration
        self.model: Any = architecture.from_pretrained(folder, dtype=dtype).to(device).eval()
        self.device = device

    def generate(self, prompt: str, audio: list[Wave]) -> str:
        """Answer one prompt."""
        inputs = self.processor(
            text=prompt, audio=audio or None, sampling_rate=RATE, return_tensors="pt"
        ).to(self.device, self.model.dtype)
        with torch.inference_mode():
            out = self.model.generate(**inputs)
        new = out[:, inputs["input_ids"].shape[1] :]
        return str(self.processor.batch_decode(new, skip_special_tokens=True)[0])

    def answer(self, case: Case) -> str:
        """Answer the last turn of a case after the model's own answers to the ones before."""
        if case.dialogue.caption:
            text = case.dialogue.turns[0].text
            return self.generate(f"<|audio_bos|><|AUDIO|><|audio_eos|>{text}", list(case.audio))
        messages: list[Message] = []
        if case.dialogue.system != DEFAULT_SYSTEM:
            messages.append({"role": "system", "content": case.dialogue.system})
        heard = 0
        answer = ""
        for turn in case.dialogue.turns:
            messages.append(user_message(turn))
            heard += turn.source != "typed"
            prompt = self.processor.apply_chat_template(
                messages, add_generation_prompt=True, tokenize=False
            )
            answer = self.generate(prompt, list(case.audio[:heard]))
            messages.append({"role": "assistant", "content": answer})
        return answer


LOADED: dict[tuple[Path, str], Stock] = {}


def answer_part(folder: Path, device: str, cases: list[Case]) -> list[str]:
    """Answer some cases in a worker process, which loads the checkpoint once."""
    torch.set_num_threads(1)
    if (folder, device) not in LOADED:
        LOADED[folder, device] = Stock(folder, device)
    return [LOADED[folder, device].answer(case) for case in cases]


def measure(folder: Path, device: str, cases: list[Case]) -> Iterator[tuple[Score, list[str]]]:
    """Answer all cases in parallel; yield the score and the answers of every part in order."""
    parts = [cases[i : i + PART] for i in range(0, len(cases), PART)]
    workers = 1 if device != "cpu" else os.cpu_count() or 1
    context = torch.multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        many = len(parts)
        for part, answers in zip(
            parts, pool.map(answer_part, [folder] * many, [device] * many, parts), strict=True
        ):
            yield evaluate.score(part, answers), answers
