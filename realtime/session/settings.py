"""How turns are taken: as the server is set, and as a peer wants it."""

from __future__ import annotations

from dataclasses import dataclass, field

from realtime.engine.api import Sampling


@dataclass(frozen=True, slots=True)
class SessionConfig:
    """How a session takes turns."""

    sampling: Sampling = field(default_factory=Sampling)
    min_audio_ms: int = 100
    """Shorter audio is ignored: under 21 ms the model would see none of it and answer anyway."""
    max_turn_s: int = 300
    """A longer turn is committed as it stands."""
    max_text_bytes: int = 16_384
    """Of the written instructions of one turn, UTF-8."""
    budget_tokens: int = 6_144
    """Of the conversation; see Conversation.trim."""
    instructions: str = ""
    """The system prompt, unless the peer sets its own; empty: the model's template has one."""
    transcription_prompt: str = "What does the person say?"
    """How the model is asked to write down what it hears."""
    max_asides: int = 4
    """Answers out of band under way at once, beside the one that the conversation has."""
    speculate: bool = True
    """Ask for the answer at a pause already, before the end of speech is certain."""

    def __post_init__(self) -> None:
        """Refuse settings that no session can keep; raise ValueError naming the field."""
        for name in ("min_audio_ms", "max_turn_s", "max_text_bytes", "budget_tokens"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)!r}")
        if self.max_asides < 0:
            raise ValueError(f"max_asides must be 0 or more, not {self.max_asides!r}")


@dataclass(frozen=True, slots=True)
class TurnSettings:
    """How a peer wants its turns taken; what is None stays as the server has it."""

    automatic: bool = True
    """False: push-to-talk, a commit ends the utterance."""
    hangover_ms: int | None = None
    prefix_padding_ms: int | None = None
    threshold: float | None = None
    """How sure of speech to be, 0 to 1."""
    respond: bool = True
    """Answer by itself at the end of speech."""
    interrupt: bool = True
    """Speech stops an answer."""
    idle_ms: int | None = None
    """Answer the silence itself when it lasts so long after an answer."""
    instructions: str | None = None
    """The system prompt; None: the server's."""
    sampling: Sampling | None = None
    transcribe: bool = False
    """Tell what was said, too."""
