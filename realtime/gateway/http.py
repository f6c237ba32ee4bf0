"""HTTP as we serve it: uvicorn's protocol, whose request heads are bounded in size and in time.

A head is read before anybody is known, so nothing of it may be kept for long.
"""

from __future__ import annotations

import asyncio
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

HEAD_S = 10.0  # from the first byte of a head (or from the connection) to its last
MOST_HEAD = 512 << 10  # bytes; one read is up to 256 KiB, and may hold the end of a body as well


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol; who does not get to the point is dropped without an answer."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.head: int | None = 0
        """Bytes of a head that is not complete; None in a body."""
        self.late: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for a head."""
        super().connection_made(transport)
        self.hurry()

    def on_message_begin(self) -> None:
        """Begin to read a head."""
        super().on_message_begin()
        self.head = 0
        self.hurry()

    def on_headers_complete(self) -> None:
        """Be done with a head."""
        self.head = None
        self.in_time()
        super().on_headers_complete()

    def data_received(self, data: bytes) -> None:
        """Count what belongs to a head; one header without an end is never told as one."""
        super().data_received(data)
        if self.head is not None:
            self.head += len(data)
            if self.head > MOST_HEAD:
                self.transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more."""
        self.in_time()
        super().connection_lost(exc)

    def hurry(self) -> None:
        """Drop the connection unless the head is complete in time."""
        self.in_time()
        self.late = self.loop.call_later(HEAD_S, self.transport.abort)

    def in_time(self) -> None:
        """Take the threat back."""
        if self.late is not None:
            self.late.cancel()
