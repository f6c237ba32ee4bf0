"""The miniature Qwen2-Audio and its training objective.

The architecture is exactly Qwen2-Audio's, only small. Two heads that are thrown away after training
help a small model align quickly: letters at the encoder's output, and at the projector's output the
tokens of the words, scored by cosine against the language model's own embeddings. The second makes
the projected audio look like text to the language model, so that what it learnt from text holds.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration

from .batches import BLANK, IGNORED, LETTERS, Batch, Sequences
from .vocabulary import AUDIO, END_OF_TEXT, IM_END, SIZE

WIDTH = 192


def make_config() -> Qwen2AudioConfig:
    """Describe the miniature: 128 mel bins and 1,500 positions as the original, the rest small."""
    audio = {
        "model_type": "qwen2_audio_encoder", "d_model": WIDTH, "encoder_layers": 4,
        "encoder_attention_heads": 4, "encoder_ffn_dim": 4 * WIDTH, "num_mel_bins": 128,
        "max_source_positions": 1500,
    }  # fmt: skip
    text = {
        "model_type": "qwen2", "hidden_size": WIDTH, "intermediate_size": 528,
        "num_hidden_layers": 4, "num_attention_heads": 4, "num_key_value_heads": 4,
        "vocab_size": SIZE, "max_position_embeddings": 8192, "tie_word_embeddings": False,
        "bos_token_id": END_OF_TEXT, "eos_token_id": IM_END, "pad_token_id": END_OF_TEXT,
    }  # fmt: skip
    return Qwen2AudioConfig(audio_config=audio, text_config=text, audio_token_index=AUDIO)


def sinusoids(length: int, width: int) -> Tensor:
    """Return Whisper's table of positions: [length, width]."""
    rates = torch.exp(-torch.arange(width // 2) * (9.210340371976184 / (width // 2 - 1)))
    angles = torch.arange(length)[:, None] * rates[None]
    return torch.cat([angles.sin(), angles.cos()], 1)


@dataclass(frozen=True, slots=True)
class Losses:
    """The parts of the objective, each a mean."""

    answer: Tensor
    imitated: Tensor
    letters: Tensor
    words: Tensor


class Learner(nn.Module):
    """The model with its two throw-away heads."""

    def __init__(self) -> None:
        super().__init__()
        self.model = Qwen2AudioForConditionalGeneration(make_config())
        # At these sizes plain attention is faster than the fused kernel's backward pass on a CPU.
        self.model.set_attn_implementation("eager")
        table = self.model.model.audio_tower.embed_positions
        table.weight.data.copy_(sinusoids(*table.weight.shape))
        table.weight.requires_grad_(False)
        # Row 0 pads and so starts at zero, which has no direction for the word scores.
        self.embeddings.weight.data[END_OF_TEXT].normal_(0, 0.02)
        self.letters = nn.Linear(WIDTH, len(LETTERS) + 1)
        self.blank = nn.Parameter(torch.randn(WIDTH) * 0.02)
        self.sharpness = nn.Parameter(torch.tensor(10.0))

    @property
    def embeddings(self) -> nn.Embedding:
        """Return the language model's token embeddings."""
        found = self.model.get_input_embeddings()
        assert isinstance(found, nn.Embedding)
        return found

    def encode(self, mel: Tensor, frames: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Encode the valid frames only.

        Return hidden states at 50 Hz with their counts, and projected audio at 25 Hz with counts.
        """
        tower: Any = self.model.model.audio_tower
        hidden = F.gelu(tower.conv2(F.gelu(tower.conv1(mel)))).transpose(1, 2)
        length = hidden.shape[1]
        hidden = hidden + tower.embed_positions.weight[:length].to(hidden.dtype)
        count = (frames - 1) // 2 + 1
        keep = torch.arange(length, device=mel.device)[None] < count[:, None]
        mask = torch.zeros(keep.shape, device=mel.device, dtype=hidden.dtype)
        mask = mask.masked_fill(~keep, torch.finfo(hidden.dtype).min)[:, None, None, :]
        for layer in tower.layers:
            hidden = layer(hidden, mask.expand(-1, 1, length, -1))
        pooled = tower.avg_pooler(hidden.transpose(1, 2)).transpose(1, 2)
        projected = self.model.model.multi_modal_projector(tower.layer_norm(pooled))
        return hidden, count, projected, (count - 2) // 2 + 1

    def ctc(self, batch: Batch) -> tuple[Tensor, Tensor, list[Tensor]]:
        """Return both alignment losses and the projected audio of every clip, in clip order."""
        projected: list[Tensor] = [torch.empty(0)] * len(batch.words)
        letter_losses, word_losses = [], []
        for mel, frames, places in zip(batch.mels, batch.frames, batch.places, strict=True):
            hidden, count, audio, tokens = self.encode(mel, frames)
            scores = self.letters(hidden).float()
            letters = [batch.letters[i] for i in places.tolist()]
            letter_losses.append(ctc_loss(scores, count, letters))
            words = [batch.words[i] + 1 for i in places.tolist()]
            word_losses.append(ctc_loss(self.similarity(audio), tokens, words))
            for row, place in enumerate(places.tolist()):
                projected[place] = audio[row, : int(tokens[row])]
        return torch.cat(letter_losses).mean(), torch.cat(word_losses).mean(), projected

    def similarity(self, audio: Tensor) -> Tensor:
        """Score projected audio against the blank and every token's embedding, by cosine."""
        table = F.normalize(torch.cat([self.blank[None], self.embeddings.weight]).float(), dim=-1)
        with torch.autocast(audio.device.type, enabled=False):
            return F.normalize(audio.float(), dim=-1) @ table.T * self.sharpness

    def spoken_loss(self, groups: list[Sequences], audio: list[Tensor]) -> Tensor:
        """Return the mean answer loss of groups of conversations that share the clips in order."""
        total = weight = audio[0].new_zeros((), dtype=torch.float32)
        for group in groups:
            part, part_weight = self.answer_loss(group, audio[: group.clips])
            audio = audio[group.clips :]
            total, weight = total + part, weight + part_weight
        return total / weight

    def answer_loss(self, sequences: Sequences, audio: list[Tensor]) -> tuple[Tensor, Tensor]:
        """Return the summed weighted loss of the answers and the weight, given projected audio."""
        ids = sequences.ids
        is_word = sequences.imitated >= 0
        inputs = self.embeddings(torch.where(is_word, sequences.imitated, ids))
        if audio:
            heard = torch.cat(audio).to(inputs.dtype)
            inputs = inputs.masked_scatter((ids == AUDIO)[..., None], heard)
        else:
            inputs = self.imitate(inputs, sequences.imitated, is_word)
        hidden = self.model.model.language_model(
            inputs_embeds=inputs, use_cache=False
        ).last_hidden_state
        labels = sequences.labels[:, 1:]
        chosen = labels != IGNORED
        logits = self.model.lm_head(hidden[:, :-1][chosen]).float()
        weights = sequences.weights[:, 1:][chosen]
        losses = F.cross_entropy(logits, labels[chosen], reduction="none")
        return (losses * weights).sum(), weights.sum()

    def imitate(self, inputs: Tensor, imitated: Tensor, is_word: Tensor) -> Tensor:
        """Put blanks and blurred words where a clip's projected audio would be."""
        blank = imitated == BLANK
        inputs = torch.where(blank[..., None], self.blank.to(inputs.dtype), inputs)
        scale = 0.5 * inputs.detach().float().std(-1, keepdim=True)
        blurred = inputs + torch.randn_like(inputs) * scale
        return torch.where((is_word | blank)[..., None], blurred.to(inputs.dtype), inputs)

    def forward(self, batch: Batch, aligning_only: bool) -> Losses:
        """Compute every part of the objective."""
        letters, words, audio = self.ctc(batch)
        imitated, weight = self.answer_loss(batch.imitated, [])
        imitated = imitated / weight
        answer = letters.new_zeros(()) if aligning_only else self.spoken_loss(batch.spoken, audio)
        return Losses(answer, imitated, letters, words)


def ctc_loss(scores: Tensor, count: Tensor, targets: list[Tensor]) -> Tensor:
    """Return per-clip CTC losses divided by target length; empty targets ask for blanks only."""
    lengths = torch.tensor([len(t) for t in targets], device=scores.device)
    flat = torch.cat(targets).to(scores.device)
    losses = F.ctc_loss(
        scores.log_softmax(-1).transpose(0, 1), flat, count, lengths,
        reduction="none", zero_infinity=True,
    )  # fmt: skip
    scaled: Tensor = losses / lengths.clamp(min=8)
    return scaled
