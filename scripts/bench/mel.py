"""Our log-mel against WhisperFeatureExtractor: the same numbers, how much sooner."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from random_model import speechlike
from transformers import WhisperFeatureExtractor

from realtime.engine.model.features import LogMel

SECONDS = (1.0, 2.0, 5.0, 10.0, 30.0)


def compare(seconds: tuple[float, ...] = SECONDS, repeats: int = 15) -> list[dict[str, float]]:
    """Time both on clips of these lengths; milliseconds, the median."""
    make: Any = WhisperFeatureExtractor
    extractor = make(feature_size=128, return_attention_mask=True)
    log_mel = LogMel(extractor, torch.device("cpu"))
    return [row(extractor, log_mel, clip, repeats) for clip in seconds]


def row(extractor: Any, log_mel: LogMel, seconds: float, repeats: int) -> dict[str, float]:
    """Time one length."""
    pcm = speechlike(seconds)
    audio = pcm.astype(np.float32) / 32768

    def theirs() -> torch.Tensor:
        found = extractor(
            audio, sampling_rate=16_000, padding="max_length", return_attention_mask=True,
            return_tensors="pt",
        )  # fmt: skip
        values: torch.Tensor = found["input_features"][0]
        return values

    ours = log_mel(pcm).values
    difference = float((theirs()[:, : ours.shape[1]] - ours).abs().max())
    our_ms, their_ms = median_ms(lambda: log_mel(pcm), repeats), median_ms(theirs, repeats)
    return {
        "seconds": seconds,
        "ours_ms": round(our_ms, 3),
        "whisper_feature_extractor_ms": round(their_ms, 3),
        "ratio": round(their_ms / our_ms, 1),
        "max_difference": difference,
    }


def median_ms(act: Callable[[], object], repeats: int) -> float:
    """Time something."""
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        act()
        times.append(time.perf_counter() - began)
    return 1e3 * statistics.median(times)
