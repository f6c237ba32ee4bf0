"""Clips as the language model hears them, computed once and kept within a budget of bytes."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from realtime.engine.api import Clip
from realtime.engine.model.features import LogMel, Mel, encode
from realtime.engine.model.load import Loaded

PADDING = 1.25
"""The longest clip of a batch over its shortest: at most a fifth of the work is for padding."""
FRAMES = 12_000
"""Mel frames of a batch: two minutes, four of the longest clips."""


class AudioEmbeddingCache:
    """The audio tower, and what it computed lately."""

    def __init__(self, loaded: Loaded, *, budget: int) -> None:
        core: Any = loaded.model.model
        self.tower = core.audio_tower
        self.projector = core.multi_modal_projector
        self.log_mel = LogMel(loaded.processor.feature_extractor, loaded.model.device)
        self.budget = budget
        self.kept: OrderedDict[str, Tensor] = OrderedDict()
        """[tokens, hidden] by clip id, the least recently used first."""

    def of(self, clips: Iterable[Clip]) -> dict[str, Tensor]:
        """Give the embeddings of clips by id, [tokens, hidden] each; encode what is new at once."""
        wanted = {clip.id: clip for clip in clips}
        new = {id: self.log_mel(clip.pcm) for id, clip in wanted.items() if id not in self.kept}
        for batch in batches(new):
            encoded = encode(self.tower, [new[id] for id in batch])
            lengths = [len(one) for one in encoded]
            projected = self.projector(torch.cat(encoded))
            for id, one in zip(batch, projected.split(lengths), strict=True):
                # A copy, so that forgetting one clip of a batch gives its memory back.
                self.kept[id] = one.clone()
        found = {}
        for id in wanted:
            self.kept.move_to_end(id)
            found[id] = self.kept[id]
        self._forget()
        return found

    def _forget(self) -> None:
        total = sum(one.nbytes for one in self.kept.values())
        while total > self.budget:
            _, oldest = self.kept.popitem(last=False)
            total -= oldest.nbytes


def batches(mels: dict[str, Mel]) -> Iterator[list[str]]:
    """Put clips of about the same length together, as many as a batch may hold."""
    batch: list[str] = []
    for id in sorted(mels, key=lambda id: mels[id].frames):
        frames = mels[id].frames
        if batch and (frames > PADDING * mels[batch[0]].frames or frames * len(batch) >= FRAMES):
            yield batch
            batch = []
        batch.append(id)
    if batch:
        yield batch
