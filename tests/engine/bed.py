"""A runner under its scheduler, and what stock transformers says to the same prompts."""

from __future__ import annotations

import numpy as np
import tiny_model
import torch

from realtime.engine.api import (
    AssistantTurn,
    Clip,
    Logprob,
    Request,
    Sampling,
    SystemTurn,
    UserTurn,
)
from realtime.engine.model.prompt import Prompts
from realtime.engine.model.runner import Runner
from realtime.engine.steps import Sampled, Sequence
from realtime.engine.worker.scheduler import Scheduler, SchedulerConfig

SETTINGS = {"slots": 8, "queue": 64, "chunk": 256, "cells": 1 << 14}
GREEDY = Sampling(temperature=0.0)
CLIPS = [Clip(f"c{i}", tiny_model.speechlike(s, i)) for i, s in enumerate((0.1, 0.9, 1.37, 3.0))]
CONVERSATIONS = {
    "voice chat": (UserTurn((CLIPS[1],)),),
    "two turns": (
        UserTurn((CLIPS[1],)),
        AssistantTurn(text="It is the sound of glass."),
        UserTurn((CLIPS[2],)),
    ),
    "analysis": (SystemTurn("Be brief."), UserTurn((CLIPS[3], "What does the person say?"))),
    "two clips, the shortest first": (UserTurn((CLIPS[0], CLIPS[2], "Which is longer?")),),
    "text only": (UserTurn(("Hello there.",)),),
}
MODELS = {
    "mha": tiny_model.Tiny(),
    "gqa": tiny_model.Tiny(kv_heads=2, seed=1, stops=False),
    "deep": tiny_model.Tiny(layers=4, hidden=64, heads=8, kv_heads=1, encoder_layers=3, seed=2),
}


def build(model, turns):
    return Prompts(model.processor, model.info.context).build(Request("r", "c", tuple(turns)))


class Bed:
    """A runner under its scheduler, and what each answer says."""

    def __init__(self, model, *, gather=False, **config) -> None:
        config = SchedulerConfig(
            **{"slots": 8, "queue": 64, "chunk": 256, "cells": 1 << 14} | config
        )
        self.runner = Runner(model, cells=config.cells, gather=gather)
        self.scheduler = Scheduler(config)
        self.ends = model.ends
        self.said: dict[int, list[int]] = {}
        self.limits: dict[int, int] = {}
        self.widths: list[int] = []
        self.logprobs: list[Logprob | None] = []

    def ask(self, serial, prompt, sampling=GREEDY, prefix=(), count=30, conversation=None, **more):
        conversation = conversation or f"c{serial}"
        sequence = Sequence(serial, prompt, sampling, prefix, conversation=conversation, **more)
        self.scheduler.add(sequence)
        self.runner.begin(sequence)
        self.said[serial] = list(prefix)
        self.limits[serial] = count

    def step(self) -> bool:
        made = self.scheduler.next()
        if made is None:
            return False
        self.runner.move(made.moves)
        said = self.runner.run(made.parts)
        self.widths.append(len(made.parts))
        ended = set()
        tokens = {}
        for serial, news in said.items():
            assert isinstance(news, Sampled), news
            token = tokens[serial] = news.token
            self.logprobs.append(news.logprob)
            if token not in self.ends:
                self.said[serial].append(token)
            if token in self.ends or len(self.said[serial]) == self.limits[serial]:
                ended.add(serial)
        self.scheduler.done(made.parts, tokens, frozenset(ended))
        for serial in ended:
            self.runner.free(serial)
        return True

    def finish(self) -> dict[int, list[int]]:
        while self.step():
            pass
        return self.said


def run(model, prompt, sampling=GREEDY, prefix=(), count=30, **config):
    """Generate so many tokens in all, or up to an end token, which is left out."""
    bed = Bed(model, **config)
    bed.ask(1, prompt, sampling, prefix, count)
    return bed.finish()[1]


def stock(model, prompt, count=30, **options):
    clips = [placed.clip.pcm.astype(np.float32) / 32768 for placed in prompt.clips]
    inputs = {"input_ids": torch.tensor([prompt.ids])}
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    if clips:
        features = model.processor.feature_extractor(
            clips,
            sampling_rate=16_000,
            return_attention_mask=True,
            padding="max_length",
            return_tensors="pt",
        )
        inputs["input_features"] = features["input_features"]
        inputs["feature_attention_mask"] = features["attention_mask"]
    made = model.model.generate(**inputs, do_sample=False, max_new_tokens=count, **options)
    tokens = made[0, len(prompt.ids) :].tolist()
    end = next((i for i, token in enumerate(tokens) if token in model.ends), None)
    return tokens[:end]
