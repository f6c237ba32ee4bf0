"""Audio to embeddings, computing only the audio there is instead of 30 s of padding.

Exact, because the encoder masks what lies behind the audio: the last mel frames that matter see at
most the first zeros behind it, which are kept (`TAIL`), and the loudest frame, which sets the
floor of all others, is never one of silence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from realtime.engine.audio_tokens import audio_positions, mel_frames
from realtime.engine.model.transfer import send

if TYPE_CHECKING:
    from transformers import Qwen2AudioEncoder, WhisperFeatureExtractor

TAIL = 4
"""Mel frames of silence kept behind the audio: 2 for the window's overlap, 2 for the two convs."""


@dataclass(frozen=True, slots=True)
class Mel:
    """Normalised log-mel of one clip, with up to TAIL frames of silence behind it."""

    values: Tensor
    """[mel bins, frames + tail]"""
    frames: int
    """Those that hold audio."""


class LogMel:
    """WhisperFeatureExtractor's arithmetic, on the frames that matter."""

    def __init__(self, extractor: WhisperFeatureExtractor, device: torch.device) -> None:
        self.hop: int = extractor.hop_length
        self.n_fft: int = extractor.n_fft
        self.max_samples: int = extractor.n_samples
        self.device = device
        self.window = torch.hann_window(self.n_fft, device=device)
        filters = np.asarray(extractor.mel_filters, np.float32)  # [bins of the FFT, mel bins]
        self.filters = send(filters, device).T.contiguous()

    def __call__(self, pcm: NDArray[np.int16]) -> Mel:
        """Compute the log-mel of one clip."""
        audio = torch.from_numpy(pcm.astype(np.float32) / 32768.0)[: self.max_samples]
        frames = mel_frames(len(audio), self.hop)
        kept = min(frames + TAIL, self.max_samples // self.hop)
        audio = F.pad(send(audio, self.device), (0, kept * self.hop - len(audio)))
        spectrum = torch.stft(
            audio, self.n_fft, self.hop, window=self.window, return_complex=True
        )  # [bins of the FFT, kept + 1]
        power = spectrum[:, :-1].abs() ** 2
        log = torch.clamp(self.filters @ power, min=1e-10).log10()  # [mel bins, kept]
        return Mel((torch.maximum(log, log.max() - 8.0) + 4.0) / 4.0, frames)


def encode(tower: Qwen2AudioEncoder, mels: list[Mel]) -> list[Tensor]:
    """Run the audio tower on clips of any lengths at once; give [tokens, d_model] of each."""
    lengths = [audio_positions(mel.frames) for mel in mels]
    longest = max(lengths)
    hidden = _convolve(tower, mels)[:, :longest]  # [clips, longest, d_model]
    hidden = hidden + tower.embed_positions.weight[:longest]
    mask = _mask(tower, lengths, hidden)
    for layer in tower.layers:
        hidden = _first(layer(hidden, mask))
    pooled = tower.avg_pooler(hidden.transpose(1, 2)).transpose(1, 2)  # [clips, longest / 2, ...]
    normed = tower.layer_norm(pooled)
    return [normed[i, : length // 2] for i, length in enumerate(lengths)]


def _convolve(tower: Qwen2AudioEncoder, mels: list[Mel]) -> Tensor:
    """Run both convolutions, [clips, mel bins, frames] -> [clips, frames / 2, d_model]."""
    weight = tower.conv1.weight
    width = max(mel.values.shape[1] for mel in mels)
    width += width % 2
    batch = torch.zeros(
        len(mels), mels[0].values.shape[0], width, dtype=weight.dtype, device=weight.device
    )
    for row, mel in zip(batch, mels, strict=True):
        # What lies right of a clip's tail is seen by masked positions only.
        row[:, : mel.values.shape[1]] = mel.values.to(weight.device, weight.dtype)
    hidden = F.gelu(tower.conv1(batch))
    return F.gelu(tower.conv2(hidden)).transpose(1, 2)


def _mask(tower: Qwen2AudioEncoder, lengths: list[int], hidden: Tensor) -> Tensor | None:
    """Let every position see its own clip only, [clips, 1, longest, longest]; None: all equal."""
    longest = hidden.shape[1]
    if min(lengths) == longest:
        return None
    own = send(torch.arange(longest)[None] < torch.tensor(lengths)[:, None], hidden.device)
    mask = own[:, None, None, :].expand(-1, 1, longest, -1)
    if tower.config._attn_implementation == "eager":
        zeros = torch.zeros(mask.shape, dtype=hidden.dtype, device=hidden.device)
        return zeros.masked_fill(~mask, torch.finfo(hidden.dtype).min)
    return mask


def _first(output: Any) -> Tensor:
    """Take the hidden states of a layer, which some versions of transformers give in a tuple."""
    hidden: Tensor = output[0] if isinstance(output, tuple) else output
    return hidden
