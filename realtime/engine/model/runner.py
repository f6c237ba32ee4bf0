"""The model's computations for many answers at once; tensors, no policy.

`begin` takes an answer in, `run` computes the positions that it is told, of any answers together,
and gives the token that follows where an answer's positions are complete. Which positions and
which cells is the scheduler's affair.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

from realtime.audio.pcm import SAMPLE_RATE
from realtime.engine.api import Clip, Sampling
from realtime.engine.audio_tokens import audio_tokens
from realtime.engine.model.audio_embeddings import AudioEmbeddingCache
from realtime.engine.model.flash import Kernel
from realtime.engine.model.graphs import BATCHES, Bucket, FixedDecode
from realtime.engine.model.kv_cache import KeyValues, Row, Scale, attending, row_of
from realtime.engine.model.load import Loaded
from realtime.engine.model.sampling import Choice, Draw, Sampler, decide, measure
from realtime.engine.model.transfer import send
from realtime.engine.steps import Move, Part, Placed, Prompt, Sampled, Sequence
from realtime.errors import EngineError, ModelError

EMBEDDING_BYTES = 1 << 30
"""Embedded audio kept by clip id; the least recently used goes first. At 7B: 85 minutes."""
NOT_FINITE = "the model computed scores that are not finite"


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
    """Runs one checkpoint, with keys and values for so many positions."""

    def __init__(
        self,
        loaded: Loaded,
        *,
        cells: int,
        slots: int = BATCHES[-1],
        embedding_bytes: int = EMBEDDING_BYTES,
        gather: bool | None = None,
        kernel: Kernel | None = None,
        kv_dtype: torch.dtype | None = None,
        scales: Collection[Scale] = (),
        buckets: Collection[Bucket] = (),
    ) -> None:
        """Take the memory.

        `slots`: answers in one step at most. `gather`: attend as a batch, which pays off on a GPU
        (None). `kernel`: attend with flash attention. `scales`: of keys and values, by layer.
        `buckets`: shapes that decode steps are to be computed in, once those are armed.
        """
        self.model = loaded.model
        self.core = loaded.model.model
        self.config: Any = self.core.language_model.config
        if "sliding_attention" in self.config.layer_types:
            raise ModelError("a language model with sliding attention is not supported")
        self.device = self.model.device
        self.eager = self.config._attn_implementation == "eager"
        self.gather = self.device.type != "cpu" if gather is None else gather
        self.default = loaded.choice
        self.embeddings = AudioEmbeddingCache(loaded, budget=embedding_bytes)
        self.kernel = kernel
        scratch = BATCHES[-1] if buckets else 0
        kv_dtype = kv_dtype or self.model.dtype
        self.kv = KeyValues(
            self.config, cells + scratch, dtype=kv_dtype, device=self.device, scales=scales
        )
        self.fixed: FixedDecode | None = None
        if buckets:
            self.fixed = FixedDecode(
                self._compute,
                self.core.language_model.embed_tokens,
                self.model.lm_head,
                buckets=buckets,
                scratch=cells,
                kernel=kernel,
            )
        self.sampler = Sampler(slots, self.model.lm_head.out_features, self.device)
        self.sequences: dict[int, Sequence] = {}
        """Whoever adds tokens to them adds each that `run` gives."""
        self.choices: dict[int, Choice] = {}

    @explained()
    def begin(self, sequence: Sequence) -> None:
        """Take a sequence in; its tokens are read where they are."""
        choice = decide(sequence.sampling, self.default)
        self.free(sequence.serial)
        self.sequences[sequence.serial] = sequence
        self.choices[sequence.serial] = choice

    @torch.inference_mode()
    def move(self, moves: Iterable[Move]) -> None:
        """Copy cells. Should that fail, nobody's keys and values can be trusted any more."""
        self.kv.move(moves)

    @explained()
    @torch.inference_mode()
    def run(self, parts: Collection[Part]) -> dict[int, Sampled | EngineError]:
        """Compute parts together; give the next token where it follows, or why there is none.

        An error raised concerns all parts, and then none has a new token: each may run again.
        """
        if self.kernel is not None:
            parts = sorted(parts, key=lambda part: part.base)
        last = [i for i, part in enumerate(parts) if part.last]
        serials = [part.serial for part in parts if part.last]
        logits = self._decode(parts)  # [answers, vocabulary]
        if logits is None:
            hidden = self._forward(parts)  # [positions, hidden]
            if not last:
                return {}
            ends = torch.tensor([part.stop - part.start for part in parts]).cumsum(0) - 1
            logits = self.model.lm_head(hidden[send(ends[last], self.device)])
        chosen = self.sampler.choose(logits, [self.draw(serial) for serial in serials])
        tops = [self.sequences[serial].sampling.logprobs for serial in serials]
        logprobs = measure(logits, chosen, tops)
        said: dict[int, Sampled | EngineError] = {}
        for serial, token, logprob in zip(serials, chosen, logprobs, strict=True):
            said[serial] = EngineError(NOT_FINITE) if token is None else Sampled(token, logprob)
        return said

    def draw(self, serial: int) -> Draw:
        """Tell how an answer's next token is chosen."""
        sequence = self.sequences[serial]
        return Draw(serial, self.choices[serial], sequence.tokens, sequence.said)

    def warm_up(self) -> None:
        """Compute a little of everything, so that nobody waits for what is set up only once."""
        silence = Clip("warm-up", np.zeros(SAMPLE_RATE, np.int16))
        prompt = Prompt((0,) * (audio_tokens(SAMPLE_RATE) + 1), (Placed(0, silence),))
        sequence = Sequence(0, prompt, Sampling())
        self.begin(sequence)
        size = len(prompt.ids)
        for part in (Part(0, 0, size, 0, True), Part(0, size, size + 1, 0, True)):
            said = self.run((part,))[0]
            if isinstance(said, EngineError):
                raise said
            sequence.tokens.append(said.token)
        self.free(0)
        self.embeddings.kept.clear()

    def free(self, serial: int) -> None:
        """Forget an answer; unknown ones are ignored."""
        self.sequences.pop(serial, None)
        self.choices.pop(serial, None)
        self.sampler.free(serial)

    def _decode(self, parts: Collection[Part]) -> Tensor | None:
        """Compute answers that all talk as a step of fixed shape; None where that does not fit."""
        if self.fixed is None or not all(p.last and p.stop - p.start == 1 for p in parts):
            return None
        if any(self._heard(parts)):
            return None
        rows = [(self.sequences[p.serial].tokens[p.start], p.start, p.base) for p in parts]
        return self.fixed.run(rows)

    def _forward(self, parts: Collection[Part]) -> Tensor:
        """Compute positions; give the hidden states, [positions, hidden]."""
        spans = [(part.base, part.start, part.stop) for part in parts]
        row = row_of(spans, self.device, gather=self.gather, kernel=self.kernel)
        return self._compute(self._embed(parts), row)

    def _compute(self, embeds: Tensor, row: Row) -> Tensor:
        """Run the language model on a row of embeddings, [positions, hidden]."""
        self.kv.cells = row.cells
        with attending(self.config):
            output = self.core.language_model(
                inputs_embeds=embeds[None],
                attention_mask={"full_attention": None},
                position_ids=row.positions,
                past_key_values=self.kv,
                use_cache=True,
                row=row,
                eager=self.eager,
                scales=self.kv.scales,
            )
        hidden: Tensor = output.last_hidden_state[0]
        return hidden

    def _embed(self, parts: Collection[Part]) -> Tensor:
        """Give the embeddings of positions, [positions, hidden], audio in its places."""
        tokens = [t for p in parts for t in self.sequences[p.serial].tokens[p.start : p.stop]]
        ids = send(tokens, self.device)
        embeds: Tensor = self.core.language_model.embed_tokens(ids)
        heard = list(self._heard(parts))
        audio = self.embeddings.of(clip for _, _, _, clip in heard)
        for at, first, count, clip in heard:
            embeds[at : at + count] = audio[clip.id][first : first + count]
        return embeds

    def _heard(self, parts: Collection[Part]) -> Iterator[tuple[int, int, int, Clip]]:
        """Find audio: where in the row, from which of its frames, how many, of which clip."""
        at = 0
        for part in parts:
            for placed in self.sequences[part.serial].prompt.clips:
                start, stop = max(part.start, placed.start), min(part.stop, placed.stop)
                if start < stop:
                    first = start - placed.start
                    yield at + start - part.start, first, stop - start, placed.clip
            at += part.stop - part.start
