"""The model's computations, for one answer at a time; tensors, no policy.

`prefill` starts an answer with its first token, `decode` goes on with one token each, `free`
forgets one. Answers are known by serial, so that what holds their keys and values can change.
"""

from __future__ import annotations

import contextlib
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import DynamicCache

from realtime.engine.api import Clip, Sampling
from realtime.engine.features import LogMel, audio_tokens, encode
from realtime.engine.model import Loaded
from realtime.engine.prompt import Placed, Prompt
from realtime.engine.sampling import Choice, choose, decide
from realtime.errors import EngineError

EMBEDDING_BYTES = 1 << 30
"""Embedded audio kept by clip id; the least recently used goes first. At 7B: 85 minutes."""


@dataclass(slots=True)
class Sequence:
    """What one answer needs between two steps."""

    cache: DynamicCache
    seen: Tensor
    """[vocabulary] bool: tokens of prompt and answer."""
    choice: Choice
    position: int
    """Tokens of the answer so far."""
    token: int
    """The last of them, which has no key and value yet."""


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Tell failures of one answer from those of the device, which end the process."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise EngineError(f"out of memory: {error}") from error
    except torch.AcceleratorError as error:
        # After such an error every further call fails too; a new process starts clean.
        raise SystemExit(f"the device is broken: {error}") from error
    except RuntimeError as error:
        if "can't allocate memory" in str(error):
            raise EngineError(f"out of memory: {error}") from error
        raise


class Runner:
    """Runs one checkpoint."""

    def __init__(self, loaded: Loaded, *, embedding_bytes: int = EMBEDDING_BYTES) -> None:
        self.model = loaded.model
        self.core = loaded.model.model
        self.text_config: Any = self.model.config.text_config
        self.device = self.model.device
        self.log_mel = LogMel(loaded.processor.feature_extractor, self.device)
        self.default = loaded.choice
        self.sequences: dict[int, Sequence] = {}
        self.embedded: OrderedDict[str, Tensor] = OrderedDict()
        """[tokens, hidden] by clip id."""
        self.embedding_bytes = embedding_bytes

    @explained()
    @torch.inference_mode()
    def prefill(
        self, serial: int, prompt: Prompt, sampling: Sampling, prefix: tuple[int, ...]
    ) -> int:
        """Compute a prompt and the answer's tokens so far; give the next one."""
        choice = decide(sampling, self.default)
        ids = torch.tensor([(*prompt.ids, *prefix)], device=self.device)
        embeds = self.core.language_model.embed_tokens(ids)  # [1, positions, hidden]
        embeddings = self.embed([placed.clip for placed in prompt.clips])
        for placed, audio in zip(prompt.clips, embeddings, strict=True):
            embeds[0, placed.start : placed.start + len(audio)] = audio
        cache = DynamicCache(config=self.text_config)
        seen = torch.zeros(self.model.lm_head.out_features, dtype=torch.bool, device=self.device)
        seen[ids[0]] = True
        logits = self._forward(cache, inputs_embeds=embeds)
        token = choose(logits, seen, choice, len(prefix))
        self.sequences[serial] = Sequence(cache, seen, choice, len(prefix) + 1, token)
        return token

    @explained()
    @torch.inference_mode()
    def decode(self, serials: tuple[int, ...]) -> list[int]:
        """Give one more token of each answer."""
        return [self._decode(self.sequences[serial]) for serial in serials]

    def warm_up(self) -> None:
        """Compute a little of everything, so that nobody waits for what is set up only once."""
        silence = Clip("warm-up", np.zeros(16_000, np.int16))
        prompt = Prompt((0,) * (audio_tokens(16_000) + 1), (Placed(0, silence),))
        self.prefill(0, prompt, Sampling(), ())
        self.decode((0,))
        self.free(0)
        self.embedded.clear()

    def free(self, serial: int) -> None:
        """Forget an answer; unknown ones are ignored."""
        self.sequences.pop(serial, None)

    def embed(self, clips: list[Clip]) -> list[Tensor]:
        """Give the embeddings of clips, [tokens, hidden] each; encode what is new."""
        for clip in clips:
            if clip.id not in self.embedded:
                # One pass each: a batch would be padded to its longest clip.
                (encoded,) = encode(self.core.audio_tower, [self.log_mel(clip.pcm)])
                self.embedded[clip.id] = self.core.multi_modal_projector(encoded)
            self.embedded.move_to_end(clip.id)
        embeddings = [self.embedded[clip.id] for clip in clips]
        self._forget_embeddings()
        return embeddings

    def _decode(self, sequence: Sequence) -> int:
        sequence.seen[sequence.token] = True
        ids = torch.tensor([[sequence.token]], device=self.device)
        logits = self._forward(sequence.cache, input_ids=ids)
        sequence.token = choose(logits, sequence.seen, sequence.choice, sequence.position)
        sequence.position += 1
        return sequence.token

    def _forward(self, cache: DynamicCache, **inputs: Tensor) -> Tensor:
        """Compute new positions; give the scores after the last, [vocabulary]."""
        output = self.core.language_model(past_key_values=cache, use_cache=True, **inputs)
        logits: Tensor = self.model.lm_head(output.last_hidden_state[0, -1])
        return logits

    def _forget_embeddings(self) -> None:
        total = sum(e.numel() * e.element_size() for e in self.embedded.values())
        while total > self.embedding_bytes:
            _, oldest = self.embedded.popitem(last=False)
            total -= oldest.numel() * oldest.element_size()
