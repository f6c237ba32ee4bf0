"""WebSockets as the pump wants them: uvicorn's protocol with firm endings, and a Transport.

uvicorn's writes wait while the peer does not read, which is what fills our bounded outbox; but so
does its closing, for ever. One rule here: no ending waits for the peer.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

from realtime.protocols.openai.messages import MAX_EVENT

if TYPE_CHECKING:
    from uvicorn._types import ASGISendEvent
    from websockets.http11 import Request

LINGER_S = 5.0  # for the peer to take the last message and the close frame
MOST_UNREAD = 1 << 20  # bytes of pongs (and what they stand behind) for a peer that does not read
LONGEST = {"/v1/realtime": MAX_EVENT}
"""Bytes of a message where they may be longer than elsewhere: audio comes there as text, base64
in JSON, and OpenAI allows 15 MiB of it in one message."""
REASON_BYTES = 123  # RFC 6455 5.5: a control frame has at most 125, two of them the code

GONE = (WebSocketDisconnect, RuntimeError)
"""What sending raises once the socket is closed; the second by uvicorn and Starlette's state."""


class PeerProtocol(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket protocol, whose connections end whatever the peer does."""

    def __init__(self, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.close_timeout = LINGER_S

    def handle_connect(self, event: Request) -> None:
        """Begin the handshake; from now on a message may be as long as its route allows."""
        # uvicorn has one limit for all; this comes before the peer may send anything.
        path = event.path.partition("?")[0]
        self.conn.max_message_size = LONGEST.get(path, self.conn.max_message_size)
        super().handle_connect(event)

    async def send(self, message: ASGISendEvent) -> None:
        """Send; only what is not the end waits for the peer to read."""
        if message["type"] == "websocket.close":
            self.writable.set()
        await super().send(message)
        if message["type"] == "websocket.http.response.body":
            # A refusal completes the handshake, too; uvicorn would log an error for each.
            self.handshake_complete = not message.get("more_body", False)

    def on_task_complete(self, task: asyncio.Task[None]) -> None:
        """Drop the connection if the peer has not taken its end after a while."""
        super().on_task_complete(task)
        # A plain close of a transport waits until its buffer is empty.
        self.loop.call_later(LINGER_S, self.transport.abort)

    def keepalive_timeout(self) -> None:
        """Drop a peer that does not answer pings: it would not read the reason either."""
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


class SocketTransport:
    """An accepted WebSocket as a Transport."""

    def __init__(self, socket: WebSocket) -> None:
        self.socket = socket

    async def receive(self) -> bytes | str | None:
        """Wait for the next message; None once the connection is closed."""
        message = await self.socket.receive()
        if message["type"] == "websocket.disconnect":
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
