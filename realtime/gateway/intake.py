"""How much of what one peer sends is taken: messages by number, audio by what its key may have.

Too many long messages only have to wait. They leave a tenth of a minute's worth to the short ones,
such as a commit behind a recording; too many of those end the connection.
"""

from __future__ import annotations

import math
from collections.abc import Callable

from realtime.errors import LimitReached, TooMany
from realtime.gateway.access.limits import Allowance, seconds_of
from realtime.session.events import AudioReceived, Input, Trouble
from realtime.transports.bucket import Bucket
from realtime.transports.incoming import SMALL

COMPLAIN_S = 1.0
"""Between two complaints of audio that goes on although none is heard."""


class Intake:
    """The limits of one connection on its way in."""

    def __init__(
        self, messages_per_minute: int, allowance: Allowance, clock: Callable[[], float]
    ) -> None:
        self.messages = Bucket(messages_per_minute, clock)
        self.allowance = allowance
        self.clock = clock
        self.complained_at = -math.inf

    def count(self, size: int = 0) -> float:
        """Count a message; give the seconds that a long one has to wait, or raise TooMany."""
        if size >= SMALL:
            return self.messages.owe(1, leaving=self.messages.size / 10)
        if not self.messages.take(1):
            raise TooMany(f"A connection may send {self.messages.size} messages per minute.")
        return 0.0

    def hears(self, event: Input) -> bool:
        """Tell whether what the peer says may be heard."""
        if not self.allowance.audio.size:
            return True
        seconds = seconds_of(event)
        return not seconds or self.allowance.take_audio(seconds)

    def complaint(self, event: Input) -> Trouble | None:
        """Say why something is not heard; of a stream of audio once a second."""
        now = self.clock()
        if isinstance(event, AudioReceived) and now - self.complained_at < COMPLAIN_S:
            return None
        self.complained_at = now
        return Trouble(LimitReached.code, self.allowance.no_more_audio(seconds_of(event)))
