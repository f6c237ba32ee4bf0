"""HTTP as we serve it: uvicorn's protocol, bounded in what it keeps and in how long it waits.

What comes is read before anybody is known, so nothing of it may be kept for long. Two rules: while
no request runs a connection has a few seconds to make one, whatever the parser thinks of what
came; and while a few requests wait nothing more is parsed, so that sending is no faster than
being answered.
"""

from __future__ import annotations

import asyncio
from typing import Any

import httptools
from starlette.types import Receive, Scope, Send
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from realtime.gateway.http.strangers import VOUCH, Stranger
from realtime.transports.incoming import Incoming

HEAD_S = 10.0
"""Seconds until a head is complete: from its first byte, or from the end of what ran before."""
WRITE_S = 20.0  # until a peer that does not read has read enough to go on
MOST_HEAD = 256 << 10  # bytes of a request that are no body: its head, framing, trailers
MOST_HEADERS = 256
MOST_WAITING = 8  # requests behind the one that runs
MOST_BACKLOG = 64 << 20  # bytes of requests that wait to be parsed, of all peers together
SLICE = 1 << 10  # bytes parsed at a time: at most 56 requests, which may be one too many each


class Flow(FlowControl):
    """Flow control that can hold reading back, whoever else asks for it."""

    held = False

    def resume_reading(self) -> None:
        """Read on, unless it is held back."""
        if not self.held:
            super().resume_reading()


class HttpProtocol(HttpToolsProtocol):
    """uvicorn's HTTP protocol; who does not get to the point is dropped without an answer."""

    def __init__(self, stranger: Stranger, backlog: Incoming, **uvicorn: Any) -> None:
        super().__init__(**uvicorn)
        self.stranger = stranger
        self.app_state = {**self.app_state, VOUCH: stranger.leave}
        self.app = self.run
        self.flow: Flow
        self.running = 0
        """Requests that are being answered; uvicorn keeps it to one."""
        self.backlog = backlog
        self.received = b""
        """What came and is not parsed yet, but for the first `parsed` bytes."""
        self.parsed = 0
        self.held = 0
        """Bytes that are counted in `backlog`."""
        self.overhead = 0
        """Bytes since a request began that are not of its body."""
        self.answering: Any = None
        """The request that runs, as uvicorn knows it; what it calls `cycle` is the last to come."""
        self.gone = False
        self.late: asyncio.TimerHandle | None = None
        self.stuck: asyncio.TimerHandle | None = None

    # ---- the connection -------------------------------------------------------------------------

    def connection_made(self, transport: Any) -> None:
        """Wait for a head."""
        super().connection_made(transport)
        self.flow = Flow(transport)
        self.stranger.drop = transport.abort
        self.hurry()

    def connection_lost(self, exc: Exception | None) -> None:
        """Wait no more, and let go of everything."""
        super().connection_lost(exc)
        self.gone = True
        if self.answering is not None:
            self.answering.disconnected = True
            self.answering.message_event.set()
        self.in_time()
        self.resumed()
        self.stranger.leave()
        self.forget()
        self.settle()
        # What waits leads back here, and so does our way to the application.
        self.pipeline.clear()
        self.cycle = self.answering = None  # type: ignore[assignment]
        self.app = self.config.loaded_app

    def hurry(self) -> None:
        """Drop the connection unless a request runs in time."""
        self.in_time()
        if not self.gone:
            self.late = self.loop.call_later(HEAD_S, self.transport.abort)

    def in_time(self) -> None:
        """Take the threat back."""
        if self.late is not None:
            self.late.cancel()

    def pause_writing(self) -> None:
        """Give a peer that does not read some time to do so."""
        super().pause_writing()
        self.stuck = self.loop.call_later(WRITE_S, self.transport.abort)

    def resume_writing(self) -> None:
        """Write on."""
        super().resume_writing()
        self.resumed()

    def resumed(self) -> None:
        """Wait for nobody to read."""
        if self.stuck is not None:
            self.stuck.cancel()

    # ---- what comes -----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Parse what may be answered soon, and keep the rest."""
        self._unset_keepalive_if_required()
        self.received = self.received[self.parsed :] + data
        self.parsed = 0
        self.parse()

    @property
    def unread(self) -> bool:
        """Tell whether something is not parsed yet."""
        return self.parsed < len(self.received)

    def parse(self) -> None:
        """Parse in slices until requests wait; then nothing is read before one is answered."""
        while self.unread and len(self.pipeline) < MOST_WAITING:
            piece = memoryview(self.received)[self.parsed : self.parsed + SLICE]
            self.parsed += SLICE
            self.parse_slice(piece)
            if self.parser is None or self.transport.is_closing():
                self.forget()
        if not self.unread:
            self.forget()
        self.settle()

    def forget(self) -> None:
        """Drop what is not parsed."""
        self.received = b""
        self.parsed = 0

    def settle(self) -> None:
        """Count what is kept, and let the peer wait for it to be parsed."""
        kept = len(self.received)
        if not self.backlog.change(self.held, kept):
            self.transport.abort()
        self.held = kept
        self.flow.held = bool(kept)
        if kept:
            self.flow.pause_reading()

    def parse_slice(self, piece: memoryview) -> None:
        """Parse a little; one header without an end is never told as one, but counted here."""
        self.overhead += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade:
            self.forget()  # nobody may say more before the upgrade is answered
            if self._should_upgrade():
                self.handle_websocket_upgrade()
        except httptools.HttpParserError:
            self.hurry()
            self.send_400_response("Invalid HTTP request received.")
        if self.overhead > MOST_HEAD:
            self.transport.abort()

    def on_message_begin(self) -> None:
        """Begin to read a head."""
        super().on_message_begin()
        self.overhead = SLICE
        if not self.running:
            self.hurry()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, or a trailer."""
        super().on_header(name, value)
        if len(self.headers) > MOST_HEADERS:
            raise ValueError("too many headers")  # the parser makes it an error of its own

    def on_body(self, body: bytes) -> None:
        """Take a part of a body, which is bounded by those who read it."""
        self.overhead -= len(body)
        super().on_body(body)

    def handle_websocket_upgrade(self) -> None:
        """Hand the connection over; somebody has to vouch for it soon."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.transport.abort()  # two would write to one connection
            return
        self.in_time()
        self.resumed()
        self.stranger.expire_after(HEAD_S)
        super().handle_websocket_upgrade()
        # Both lead back here, and we are not told of the connection's end.
        self.parser = None  # type: ignore[assignment]
        self.app = self.config.loaded_app

    # ---- what is answered -----------------------------------------------------------------------

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self.answering = cycle
        super()._start_asgi_task(cycle, app)

    async def run(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; at its end, wait for the next."""
        self.running += 1
        self.in_time()
        try:
            await self.config.loaded_app(scope, receive, send)
        finally:
            self.running -= 1
            if not self.running:
                self.hurry()

    def on_response_complete(self) -> None:
        """Answer the next request, and make room for one more."""
        super().on_response_complete()
        if self.unread and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.parse()
            self.flow.resume_reading()
