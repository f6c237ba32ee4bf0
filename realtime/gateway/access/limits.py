"""What one key may have: sessions, answers and audio, over all its sessions together.

Answers and audio are buckets that hold a minute's worth and fill evenly, so what was not used may
come at once later. Without keys everybody is on this machine (or behind one proxy on it), where
addresses tell nobody apart: then there is one allowance for the whole server.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from realtime.audio.pcm import SAMPLE_RATE
from realtime.errors import LimitReached
from realtime.gateway.access.settings import LimitsConfig
from realtime.session.events import AudioReceived, Input, ItemPut, ItemsResponseAsked, Limit
from realtime.session.items import UserDraft
from realtime.transports.bucket import Bucket

TOKENS_PER_SECOND = 25
"""Of audio, as the model hears it (a token is 40 ms): peers know limits of tokens, not of time."""
SESSION_WAIT_S = 5.0
"""What a peer is told to wait for one of its key's sessions to end; nobody knows."""


class Allowance:
    """What the sessions of one key may still have."""

    def __init__(self, config: LimitsConfig, clock: Callable[[], float]) -> None:
        self.config = config
        self.sessions = 0
        """Open now."""
        self.openings = Bucket(config.sessions_per_minute, clock)
        self.responses = Bucket(config.responses_per_minute, clock)
        self.audio = Bucket(config.audio_seconds_per_minute, clock)
        self.mints = Bucket(config.mints_per_minute, clock)

    def reload(self, config: LimitsConfig) -> None:
        """Take other limits up; what is open stays open."""
        self.config = config
        self.openings.resize(config.sessions_per_minute)
        self.responses.resize(config.responses_per_minute)
        self.audio.resize(config.audio_seconds_per_minute)
        self.mints.resize(config.mints_per_minute)

    def enter(self, *, replaces: bool = False) -> None:
        """Begin a session, or raise LimitReached; each `enter` is undone by one `leave`.

        One that takes over a connection of its own may come in where no more fit: that one goes.
        """
        most = self.config.sessions
        if most and self.sessions >= most + replaces:
            message = f"All {most} sessions of this key are open."
            raise LimitReached(message, retry_after=SESSION_WAIT_S)
        if not self.openings.take(1):
            message = f"This key may open {self.openings.size} sessions per minute."
            raise LimitReached(message, retry_after=self.openings.wait(1))
        self.sessions += 1

    def leave(self) -> None:
        """End a session."""
        self.sessions -= 1

    def give_back(self) -> None:
        """Undo an `enter` that came to nothing: the session was not opened after all."""
        self.leave()
        self.openings.owe(-1)

    def take_response(self) -> None:
        """Begin an answer, or raise LimitReached."""
        self.check_response()
        self.responses.owe(1)

    def check_response(self) -> None:
        """Raise LimitReached when no answer is left; a speculation costs nothing until wanted."""
        if self.responses.size and self.responses.fill() < 1:
            wait = self.responses.wait(1)
            message = f"This key may have {self.responses.size} answers per minute; "
            raise LimitReached(message + f"the next one in {wait:.1f} s.", retry_after=wait)

    def confirm_response(self) -> None:
        """Count a speculation that is wanted; others may have taken the last answer meanwhile."""
        self.responses.owe(1)

    def take_mint(self) -> None:
        """Make a short-lived key, or raise LimitReached."""
        if not self.mints.take(1):
            message = f"This key may make {self.mints.size} short-lived keys per minute."
            raise LimitReached(message, retry_after=self.mints.wait(1))

    def take_audio(self, seconds: float) -> bool:
        """Hear so much audio; False: there is not so much left, and nothing of it is heard."""
        return self.audio.take(seconds)

    def no_more_audio(self, seconds: float) -> str:
        """Say why so much audio is not heard."""
        most = f"This key may send {self.audio.size:g} s of audio per minute"
        if seconds > self.audio.size:
            return f"{most}; these {seconds:.1f} s at once are not heard."
        return f"{most}; what comes is not heard for {self.audio.wait(seconds):.1f} s more."

    def limits(self) -> tuple[Limit, ...]:
        """Tell what is left of what is limited."""
        told = []
        if self.responses.size:
            told.append(limit_of("requests", self.responses, 1))
        if self.audio.size:
            told.append(limit_of("tokens", self.audio, TOKENS_PER_SECOND))
        return tuple(told)


class Allowances:
    """One allowance for each key that has been used since the start."""

    def __init__(self, config: LimitsConfig, clock: Callable[[], float]) -> None:
        self.config = config
        self.clock = clock
        self.of_keys: dict[str, Allowance] = {}

    def of(self, key: str) -> Allowance:
        """Give the allowance of the key with this id; one for all where none is needed."""
        if key not in self.of_keys:
            self.of_keys[key] = Allowance(self.config, self.clock)
        return self.of_keys[key]

    def reload(self, config: LimitsConfig) -> None:
        """Take other limits up, for all keys."""
        self.config = config
        for allowance in self.of_keys.values():
            allowance.reload(config)


def limit_of(name: Literal["requests", "tokens"], bucket: Bucket, scale: int) -> Limit:
    """Describe a bucket to the peer."""
    left = max(0, int(bucket.fill() * scale))
    return Limit(name, int(bucket.size * scale), left, bucket.wait(bucket.size))


def seconds_of(event: Input) -> float:
    """Tell how much audio the peer brings by an event."""
    match event:
        case AudioReceived(pcm):
            return pcm.size / SAMPLE_RATE
        case ItemPut(UserDraft() as draft):
            return seconds_in(draft)
        case ItemsResponseAsked(options) if options.input:
            return sum(seconds_in(part) for part in options.input if isinstance(part, UserDraft))
    return 0.0


def seconds_in(draft: UserDraft) -> float:
    """Tell how much audio an item has."""
    return sum(part.size for part in draft.parts if not isinstance(part, str)) / SAMPLE_RATE
