"""The settings of a worker: the section [worker], and the first message that a worker is sent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class WorkerConfig:
    """Which model to run, where, and how patiently."""

    model: str
    """A folder, or a hub id such as Qwen/Qwen2-Audio-7B-Instruct."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    dtype: str = "auto"
    """auto, float32, bfloat16 or float16."""
    attention: str = "sdpa"
    """sdpa (torch's fused kernels), eager, or flash_attention_2 (CUDA with flash-attn)."""
    weights: Literal["auto", "int8", "fp8"] = "auto"
    """Of the language model's linear layers; int8 and fp8 need the package torchao."""
    kv_dtype: Literal["auto", "fp8"] = "auto"
    """Of keys and values; auto is the model's own, fp8 keeps twice as much as bfloat16, layers that
    go beyond its largest number divided."""
    graphs: bool = True
    """Record decode steps as CUDA graphs when the model loads; on a CPU there are none."""
    threads: int | None = None
    """CPU threads of the model; none: one for a small model or on a GPU, else every core that is
    really there but `spare_cores`."""
    spare_cores: int = 1
    """Left to the gateway where threads are chosen; `realtime batch` leaves none."""
    slots: int = 8
    """Answers generated at once."""
    queue: int = 64
    """Answers that may wait beyond those."""
    chunk: int = 256
    """Positions of prompts that are read in one step beside those who talk."""
    kv_bytes: int | None = None
    """Memory for keys and values; None: what is free, on a CPU about 2 GiB of it."""
    deaths: int = 3
    """Deaths of the worker in a row, without a token between, that end an answer or loading."""
    stall_after: float | None = 300.0
    """Seconds without a sign of the model's loop until the worker is killed; None: never.

    It must be longer than the longest step: a 7B model on a CPU reads a long prompt for minutes.
    """
    cuda_stall_after: float | None = 30.0
    """The same on a GPU, where a step takes milliseconds."""
    load_stall_after: float | None = 900.0
    """The same while the model is loaded: seconds in which neither the stage nor the log moves."""
    backoff: float = 1.0
    """Seconds before the second try to load; doubled for each further one, at most 30."""

    def __post_init__(self) -> None:
        """Refuse numbers that make no worker."""
        for name in ("slots", "deaths", "chunk"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be at least 1")
        for name in ("queue", "backoff", "spare_cores"):
            if getattr(self, name) < 0:
                raise ValueError(f"{name} must not be negative")
        if self.kv_bytes is not None and self.kv_bytes < 1:
            raise ValueError("kv_bytes must be at least 1")
        if self.threads is not None and self.threads < 1:
            raise ValueError("threads must be at least 1")
        for name in ("stall_after", "cuda_stall_after", "load_stall_after"):
            limit = getattr(self, name)
            if limit is not None and limit <= 0:
                raise ValueError(f"{name} must be above 0")

    def patience(self, device: str) -> float | None:
        """Give the limit on silence of a model that is loaded."""
        return self.cuda_stall_after if device.startswith("cuda") else self.stall_after
