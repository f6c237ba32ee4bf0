"""Wire protocols as codecs: pure functions between a peer's messages and our events.

A codec may resample and join odd bytes; it decides nothing. Whatever a peer sends wrong is one of
two exceptions: a BadMessage, of which the peer is told while the session goes on, or a
ProtocolError, after which it cannot, and whose close code the shell uses.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol

from realtime.errors import BadMessage
from realtime.session.events import Notice, PeerInput


@dataclass(frozen=True, slots=True)
class Reply:
    """Wire messages that answer the peer at once; the session has no part in it."""

    messages: tuple[bytes | str, ...]


class Codec(Protocol):
    """One connection's translator; it holds stream state (resampler, odd byte), no policy."""

    def decode(self, message: bytes | str) -> Iterator[PeerInput | Reply]:
        """Yield what a wire message says, and what is to be answered at once, in order.

        Raises BadMessage, or ProtocolError when the stream cannot be trusted any more.
        """
        ...

    def refuse(self, error: BadMessage) -> Iterable[bytes | str]:
        """Give the wire messages that tell of a message which was not understood."""
        ...

    def encode(self, notice: Notice) -> Iterable[bytes | str]:
        """Give the wire messages that say it; none when this protocol has no word for it."""
        ...
