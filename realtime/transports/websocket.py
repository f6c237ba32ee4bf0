"""WebSockets as the pump wants them: uvicorn's protocol with firm endings, and a Transport.

uvicorn's writes wait while the peer does not read, which is what fills our bounded outbox; but so
does its closing, for ever. One rule here: no ending waits for the peer.
"""

from __future__ import annotations

import asyncio
import contextlib
import math
import select
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from realtime.transports.bucket import Bucket
from realtime.transports.incoming import SLICE_S, SMALL, Incoming, cost

if TYPE_CHECKING:
    import socket

    from uvicorn._types import ASGIReceiveEvent, ASGISendEvent
    from websockets.http11 import Request

LINGER_S = 5.0  # for the peer to take the last message and the close frame
MOST_UNREAD = 1 << 20  # bytes of pongs (and what they stand behind) for a peer that does not read
PIECE = 1 << 10  # bytes parsed at once: at most 170 frames, half a millisecond
MOST_WAITING = 256 << 10  # bytes of whole messages that wait for the pump while more is read
LOOK_S = 0.25  # between looks whether a peer that we do not read has gone
HUNG_UP = getattr(select, "POLLRDHUP", 0)  # Linux; elsewhere only what poll tells anyhow
REASON_BYTES = 123  # RFC 6455 5.5: a control frame has at most 125, two of them the code

GONE = (WebSocketDisconnect, RuntimeError)
"""What sending raises once the socket is closed; the second by uvicorn and Starlette's state."""


@dataclass(frozen=True, slots=True)
class SocketLimits:
    """What WebSockets may carry."""

    frames_per_minute: int
    """Short ones, pings and pieces of messages included; 0: any."""
    longest: Mapping[str, int]
    """Bytes of a message by the paths where it may be longer than elsewhere."""


class Signs:
    """When bytes last came from a peer, by the clock of the loop."""

    at = -math.inf


class PeerProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, whose connections end whatever the peer does.

    What comes is parsed in slices and counted by frame, since uvicorn would parse ten thousand
    frames of one read in one go; what is whole waits in `queue` for the pump, up to a bound.
    """

    def __init__(self, *args: Any, limits: SocketLimits, incoming: Incoming, **more: Any) -> None:
        super().__init__(*args, **more)
        self.limits = limits
        self.close_timeout = LINGER_S
        self.incoming = incoming
        self.allowed = Bucket(limits.frames_per_minute, time.monotonic)
        self.unparsed = bytearray()
        self.waiting = 0
        """Bytes of messages in `queue`."""
        self.held = 0
        """Bytes that are counted in `incoming`."""
        self.later: asyncio.Handle | None = None
        self.looking: asyncio.TimerHandle | None = None
        self.lingering: asyncio.TimerHandle | None = None
        self.signs = Signs()
        self.unsent = 0
        """Bytes that waited for the peer when it was last asked for a sign."""

    # ---- the beginning --------------------------------------------------------------------------

    def handle_connect(self, event: Request) -> None:
        """Begin the handshake; from now on a message may be as long as its path allows."""
        # uvicorn has one limit for all; this comes before the peer may send anything.
        path = event.path.partition("?")[0]
        self.conn.max_message_size = self.limits.longest.get(path, self.conn.max_message_size)
        super().handle_connect(event)
        if self.handshake_initiated and not self.close_sent:
            self.scope["state"]["signs"] = self.signs

    # ---- what comes -----------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Take what came; parse it at once if it is little."""
        self.signs.at = self.loop.time()
        if len(data) <= PIECE and not self.unparsed and self.waiting <= MOST_WAITING:
            super().data_received(data)
            self.settle()
            return
        self.unparsed += data
        if self.later is None:
            self.parse()

    def parse(self) -> None:
        """Parse what came, for a slice of time and as far as the pump follows."""
        self.later = None
        end = time.perf_counter() + SLICE_S
        while self.unparsed and self.waiting <= MOST_WAITING:
            if self.transport.is_closing():
                self.unparsed.clear()
                break
            # The handshake comes whole, from uvicorn's HTTP protocol.
            size = PIECE if self.handshake_initiated else len(self.unparsed)
            piece = bytes(self.unparsed[:size])
            del self.unparsed[:size]
            super().data_received(piece)
            if self.unparsed and time.perf_counter() > end:
                self.later = self.loop.call_soon(self.parse)
                break
        self.settle()

    def handle_events(self) -> None:
        """Take the frames that were parsed, if the peer may send so many small ones."""
        small = 0
        for event in self.conn.events:
            small += isinstance(event, Frame) and len(event.data) < SMALL
        if not small or self.allowed.take(small):
            super().handle_events()
        elif self.close_sent:
            self.transport.abort()
        else:
            self.refuse(1008, "too many frames")

    def send_receive_event_to_app(self) -> None:
        """Let the pump have a message that is whole."""
        data, self.frames = b"".join(self.frames), []
        if self.close_sent:
            return
        message: bytes | str = data
        if self.curr_msg_data_type == "text":
            try:
                message = data.decode()
            except UnicodeDecodeError:
                self.conn.fail(1007, "a text is not UTF-8")
                self.handle_parser_exception()
                return
        self.waiting += cost(message)
        received: Any = {"type": "websocket.receive", self.curr_msg_data_type: message}
        self.queue.put_nowait(received)

    async def receive(self) -> ASGIReceiveEvent:
        """Wait for what comes next."""
        event = await self.queue.get()
        if event["type"] == "websocket.receive":
            self.waiting -= cost(event.get("bytes") or event.get("text") or b"")
            self.settle()
            if self.unparsed:
                self.go_on()
        return event

    def go_on(self) -> None:
        """Parse what had to wait for the pump."""
        if self.later is None and self.waiting <= MOST_WAITING:
            self.later = self.loop.call_soon(self.parse)

    def settle(self) -> None:
        """Count what is here, and let the peer wait while it cannot be taken."""
        parsing = len(self.conn.reader.buffer) + (self.conn.current_size or 0)
        held = len(self.unparsed) + parsing + self.waiting
        fits = self.incoming.change(self.held, held)
        self.held = held
        if not fits and not self.close_sent:
            self.refuse(1013, "too much is under way here; try again later")
        full = bool(self.unparsed) or self.waiting > MOST_WAITING
        if full == self.read_paused or self.transport.is_closing():
            return
        self.read_paused = full
        if full:
            self.transport.pause_reading()
            self.looking = self.loop.call_later(LOOK_S, self.look)
        else:
            self.transport.resume_reading()
            if self.looking is not None:
                self.looking.cancel()

    def look(self) -> None:
        """See whether a peer that waits has gone: nobody reads what would tell.

        Its end may stand behind megabytes that it sent before; but a machine answers what comes
        for a program that is gone with a reset. A pong that nobody asked for needs no answer from
        one that is there (RFC 6455 5.5.3).
        """
        if self.transport.is_closing():
            return
        if hung_up(self.transport.get_extra_info("socket")):
            self.transport.abort()
            return
        if self.handshake_complete and not self.close_sent:
            self.conn.send_pong(b"")
            self.transport.write(b"".join(self.conn.data_to_send()))
        self.looking = self.loop.call_later(LOOK_S, self.look)

    # ---- the end --------------------------------------------------------------------------------

    def refuse(self, code: int, reason: str) -> None:
        """Close on a peer that sends what we cannot take; nothing of it is worked off any more."""
        self.conn.fail(code, reason)
        self.forget()
        self.handle_parser_exception()

    def forget(self) -> None:
        """Drop all that came and was not worked off."""
        self.unparsed.clear()
        self.frames = []
        self.conn.reader.discard()
        self.conn.events_received()
        self.conn.current_size = None
        self.drop()
        self.incoming.change(self.held, 0)
        self.held = 0

    def drop(self) -> None:
        """Drop the messages that wait for the pump."""
        events = [self.queue.get_nowait() for _ in range(self.queue.qsize())]
        for event in events:
            if event["type"] != "websocket.receive":
                self.queue.put_nowait(event)
        self.waiting = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """Be over: who is gone is not worked for, and nothing of it stays."""
        self.forget()
        for handle in (self.later, self.looking, self.lingering):
            if handle is not None:
                handle.cancel()
        super().connection_lost(exc)
        # websockets' parser is a generator that refers to what refers to it, and an error that it
        # met refers to both: megabytes would stay until the garbage collector comes by.
        self.conn.parser.close()
        self.conn.parser_exc = self.conn.handshake_exc = None

    async def send(self, message: ASGISendEvent) -> None:
        """Send; only what is not the end waits for the peer to read."""
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)
        if message["type"] == "websocket.close":
            self.drop()
            if self.unparsed:
                self.go_on()
        if message["type"] == "websocket.http.response.body":
            # A refusal completes the handshake, too; uvicorn would log an error for each.
            self.handshake_complete = not message.get("more_body", False)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Drop the connection if the peer has not taken its end after a while."""
        super().on_task_complete(task)
        # A plain close of a transport waits until its buffer is empty.
        if not self.disconnected:
            self.lingering = self.loop.call_later(LINGER_S, self.transport.abort)

    def send_keepalive_ping(self) -> None:
        """Ask for a sign."""
        super().send_keepalive_ping()
        self.unsent = self.transport.get_write_buffer_size()

    def keepalive_timeout(self) -> None:
        """Drop a peer that gives no sign at all: it would not read the reason either.

        A pong stands behind what the peer sends, and our ping behind what it reads: who has a long
        message on a slow line shows by its bytes that it is there. While we do not read, nothing
        can come, and the pump is the one that waits.
        """
        unsent = self.transport.get_write_buffer_size()
        if self.read_paused or self.signs.at > self.ping_sent_at or unsent < self.unsent:
            assert self.ping_timeout is not None, "a ping has timed out"
            self.ping_sent_at = self.loop.time()
            self.unsent = unsent
            self.pong_timer = self.loop.call_later(self.ping_timeout, self.keepalive_timeout)
            return
        super().keepalive_timeout()
        self.transport.abort()

    def handle_ping(self) -> None:
        """Answer a ping, unless the peer sends pings only and reads nothing."""
        if self.transport.get_write_buffer_size() > MOST_UNREAD:
            self.transport.abort()
        if not self.transport.is_closing():
            super().handle_ping()

    def handle_parser_exception(self) -> None:
        """End a broken connection so that its peer learns why.

        Closing at once, with unread data from the peer, would reset the connection, and the
        peer might lose the close frame (RFC 1122 4.2.2.13). So we close our half and read on.
        """
        if self.close_sent or self.conn.close_sent is None:
            return
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.stop_keepalive()
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = True
        if self.transport.can_write_eof():  # TLS has no half of a connection to close
            self.transport.write_eof()
        self.close_timer = self.loop.call_later(LINGER_S, self.transport.abort)


def hung_up(connected: socket.socket) -> bool:
    """Tell whether the other end is closed, also behind data that was not read."""
    poll = select.poll()
    poll.register(connected.fileno(), HUNG_UP)
    return bool(poll.poll(0))


class SocketTransport:
    """An accepted WebSocket as a Transport."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket
        self.signs: Signs = socket.scope["state"]["signs"]
        self.left = False
        """The peer closed, in order."""

    @property
    def heard_at(self) -> float:
        """Tell when bytes last came, be they of a message or of half a one."""
        return self.signs.at

    async def receive(self) -> bytes | str | None:
        """Wait for the next message; None once the connection is closed."""
        message = await self.socket.receive()
        if message["type"] == "websocket.disconnect":
            # uvicorn tells a reason, if only an empty one, where there was a close frame.
            self.left = "reason" in message
            return None
        data: bytes | None = message.get("bytes")
        if data is not None:
            return data
        text: str = message["text"]
        return text

    async def send(self, message: bytes | str) -> None:
        """Send, waiting while the peer does not read; a peer that is gone is no error."""
        with contextlib.suppress(*GONE):
            if isinstance(message, str):
                await self.socket.send_text(message)
            else:
                await self.socket.send_bytes(message)

    async def close(self, code: int, reason: str) -> None:
        """Close; never waits for the peer."""
        short = reason.encode()[:REASON_BYTES].decode("utf-8", "ignore")
        with contextlib.suppress(*GONE):
            await self.socket.close(code, short)
