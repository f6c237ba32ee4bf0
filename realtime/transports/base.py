"""What all transports have in common: how the pump sees a peer, whatever lies between them."""

from __future__ import annotations

from typing import Protocol


class Transport(Protocol):
    """A way to a peer: messages in both directions, and an end."""

    @property
    def heard_at(self) -> float:
        """Tell when something last came, also of a message that is not whole; the loop's clock."""
        ...

    async def receive(self) -> bytes | str | None:
        """Wait for the next message; None once the connection is closed, by whomever."""
        ...

    async def send(self, message: bytes | str) -> None:
        """Send, waiting while the peer does not read; a peer that is gone is no error."""
        ...

    async def close(self, code: int, reason: str) -> None:
        """Close; `receive` gives None then. Never waits for the peer."""
        ...

    @property
    def left(self) -> bool:
        """Tell whether the peer closed, in order."""
        ...
