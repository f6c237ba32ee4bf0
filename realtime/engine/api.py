"""What the engine is asked and what it answers; the one interface between gateway and engine.

A request is stateless: it carries the whole conversation. Token ids are the truth of what the
assistant said, because re-tokenising decoded text gives other ids. Nothing here knows tensors.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

Finish = Literal["stop", "length"]
"""Why generation ended by itself: an end token, or the limit on new tokens."""

STALLED = "stalled"
"""The stage of a model that is loaded, in a process that gives no sign of life at present."""

Priority = Literal["normal", "low"]
"""Order of service: a peer waits for `normal`; `low` is speculative or side work."""


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """One utterance as the model hears it: int16 mono 16 kHz, at most 30 s, never changed."""

    id: str
    """Names these very samples for ever, so that an engine can keep what it computed of them."""
    pcm: NDArray[np.int16]


@dataclass(frozen=True, slots=True)
class SystemTurn:
    """The system prompt; at most one, first. Without one the model's template adds its own."""

    text: str


@dataclass(frozen=True, slots=True)
class UserTurn:
    """What the user said and wrote: clips alone (voice chat) or with text (audio analysis)."""

    parts: tuple[Clip | str, ...]


@dataclass(frozen=True, slots=True)
class AssistantTurn:
    """What the assistant said, as far as it was delivered.

    `tokens` without end token; `text` is used only for a turn that no engine produced
    (`tokens` empty, for example written by a client).
    """

    tokens: tuple[int, ...] = ()
    text: str = ""


Turn = SystemTurn | UserTurn | AssistantTurn


@dataclass(frozen=True, slots=True)
class Sampling:
    """How tokens are chosen. `None` means: as the checkpoint's generation config says."""

    temperature: float | None = None
    """0 is greedy."""
    top_k: int | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    seed: int | None = None
    """With a seed the same request gives the same answer, also when it is resumed half-way; in
    float32 on a CPU only."""
    max_tokens: int = 512
    logprobs: int | None = None
    """How many of the likeliest tokens are told beside each one that is said; None: no scores."""

    def __post_init__(self) -> None:
        """Refuse values outside their mathematical range; raise ValueError naming the field."""
        checks = (
            ("temperature", self.temperature, lambda v: 0.0 <= v <= 100.0, "0 to 100"),
            ("top_k", self.top_k, lambda v: v >= 0, "0 (off) or more"),
            ("top_p", self.top_p, lambda v: 0.0 < v <= 1.0, "above 0, at most 1"),
            ("repetition_penalty", self.repetition_penalty, lambda v: 0.0 < v <= 100.0, "above 0"),
            ("seed", self.seed, lambda v: 0 <= v < 2**63, "0 to 2**63 - 1"),
            ("max_tokens", self.max_tokens, lambda v: 1 <= v <= 8192, "1 to 8192"),
            ("logprobs", self.logprobs, lambda v: 0 <= v <= 20, "0 to 20"),
        )
        for name, value, allowed, text in checks:
            if value is not None and not allowed(value):
                raise ValueError(f"{name} must be {text}, not {value!r}")


@dataclass(frozen=True, slots=True)
class Request:
    """One answer to be generated: the conversation so far, ending with a user turn."""

    id: str
    """Unique among live requests."""
    conversation: str
    """Requests of one conversation share their history; an engine may keep it warm by this key."""
    turns: tuple[Turn, ...]
    sampling: Sampling = field(default_factory=Sampling)
    prefix: tuple[int, ...] = ()
    """Tokens of this answer that are already delivered: generation goes on after them."""
    template: bool = True
    """False: a base model's prompt, the text taken as it is, without chat template (captioning)."""
    priority: Priority = "normal"


@dataclass(frozen=True, slots=True)
class Usage:
    """Token counts of one answer."""

    prompt_tokens: int
    cached_tokens: int
    """Part of `prompt_tokens` that needed no computation."""
    completion_tokens: int
    audio_tokens: int = 0
    """Part of `prompt_tokens` that is audio; the session knows it, the engine need not."""


@dataclass(frozen=True, slots=True)
class Logprob:
    """How likely a token was to the model, before temperature, penalty and cuts."""

    token: int
    logprob: float
    """Natural logarithm."""
    top: tuple[tuple[int, float], ...] = ()
    """The likeliest tokens with theirs, in order."""


@dataclass(frozen=True, slots=True)
class Delta:
    """The next piece of an answer.

    `text` is exactly what `tokens` add and ends on a whole character, so keeping the tokens of
    the first deltas keeps their text. The last delta, and only it, has `finish` and `usage`.
    """

    tokens: tuple[int, ...]
    text: str
    finish: Finish | None = None
    usage: Usage | None = None
    logprobs: tuple[Logprob, ...] = ()
    """One for each of `tokens`, if they were asked for."""


@dataclass(frozen=True, slots=True)
class Memory:
    """How the device's memory was shared out when the model had been loaded; bytes."""

    free: int
    """Beside the weights."""
    weights: int
    workspace: int
    """What one step may take."""
    embeddings: int
    """Embedded audio at most."""
    kv: int
    """Keys and values."""
    cells: int
    """Positions that keys and values are kept of, of all conversations together."""

    def __str__(self) -> str:
        """Write the plan as a line."""
        parts = {
            "weights": self.weights,
            "keys and values": self.kv,
            "audio": self.embeddings,
            "workspace": self.workspace,
            "free beside the weights": self.free,
        }
        sizes = ", ".join(f"{size / 2**20:,.0f} MiB {name}" for name, size in parts.items())
        return f"{sizes}; {self.cells:,} tokens of conversation kept"


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What was loaded."""

    name: str
    context: int
    """Positions of the language model, prompt and answer together, as far as memory allows."""
    parameters: int
    dtype: str
    device: str
    memory: Memory | None = None
    threads: int = 0
    """CPU threads that compute; 0: nobody knows."""

    def told(self) -> dict[str, object]:
        """Give it for a line of the log."""
        memory = str(self.memory) if self.memory else None
        return {name: getattr(self, name) for name in self.__slots__} | {"memory": memory}


@dataclass(frozen=True, slots=True)
class Loading:
    """Progress towards readiness, from 0 to 1."""

    stage: str
    fraction: float
    reason: str = ""
    """Why there is no model (any more), for anybody to read; empty: it is loaded the first time."""


class Engine(Protocol):
    """Anything that answers: a fake, a local worker, a remote pool."""

    def status(self) -> ModelInfo | Loading:
        """Tell what is loaded, or how far loading (again) has come. Never blocks."""
        ...

    def generate(self, request: Request) -> AsyncGenerator[Delta, None]:
        """Stream the answer; closing the iterator (or cancelling its task) cancels it.

        Raises Busy when no more requests are taken, EngineError when this response fails,
        ModelError when the checkpoint can never be loaded.
        """
        ...

    def confirm(self, request: str) -> None:
        """Serve a request of low priority as a normal one from now on: somebody waits for it.

        An unknown id is ignored. Never blocks.
        """
        ...
