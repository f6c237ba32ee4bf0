"""uvicorn's WebSocket protocol as we serve it: floods, what is unfinished, and who has gone."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import weakref
from collections.abc import Callable

import pytest
import uvicorn
from borrowed import borrowed, offered
from fakes import GUARD_S
from gateway_place import serving
from starlette.websockets import WebSocket
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from uvicorn.server import ServerState
from websockets.server import ServerProtocol

from realtime.config import Settings
from realtime.gateway.http.settings import ServerConfig
from realtime.transports import websocket
from realtime.transports.incoming import EXEMPT, Incoming
from realtime.transports.websocket import MOST_WAITING, PeerProtocol, SocketLimits, hung_up

HANDSHAKE = (
    b"GET /v1/realtime HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)
PONG = b"\x8a\x00"
MASK = bytes(4)


def frame(opcode: int, payload: bytes = b"", *, final: bool = True) -> bytes:
    """Make a client's frame (RFC 6455 5.2), with a mask of zeros."""
    return head(opcode, len(payload), final=final) + payload


def head(opcode: int, size: int, *, final: bool = True) -> bytes:
    first = bytes([opcode | (0x80 if final else 0)])
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 127]) + size.to_bytes(8)
    return first + length + MASK


class Wire(asyncio.Transport):
    """A transport whose other end is the test."""

    def __init__(self) -> None:
        super().__init__({"peername": ("127.0.0.1", 1), "sockname": ("127.0.0.1", 2)})
        self.sent = b""
        self.paused = self.aborted = self.ended = False

    def write(self, data) -> None:
        self.sent += data

    def write_eof(self) -> None:
        self.ended = True

    def can_write_eof(self) -> bool:
        return True

    def get_write_buffer_size(self) -> int:
        return 0

    def pause_reading(self) -> None:
        assert not self.paused
        self.paused = True

    def resume_reading(self) -> None:
        assert self.paused
        self.paused = False

    def abort(self) -> None:
        self.aborted = True

    def close(self) -> None:
        self.aborted = True

    def is_closing(self) -> bool:
        return self.aborted


async def app(scope, receive, send) -> None:
    """Accept, and take nothing until the test does."""
    await WebSocket(scope, receive, send).accept()
    with contextlib.suppress(asyncio.CancelledError):
        await asyncio.Event().wait()


LONGEST = {"/v1/realtime": 16 << 20}


class Met:
    """A protocol after its handshake."""

    def __init__(self, incoming: Incoming | None = None, frames_per_minute: int = 120_000) -> None:
        config = uvicorn.Config(app, ws_per_message_deflate=False, log_config=None)
        config.load()
        self.wire = Wire()
        self.incoming = incoming or Incoming(1 << 40)
        self.protocol = PeerProtocol(
            config,
            ServerState(),
            {},
            limits=SocketLimits(frames_per_minute, LONGEST),
            incoming=self.incoming,
        )
        self.protocol.connection_made(self.wire)
        self.protocol.data_received(HANDSHAKE)

    async def greeted(self) -> Met:
        """Wait for the end of the handshake."""
        await until(lambda: self.protocol.handshake_complete)
        self.wire.sent = b""
        return self

    def hear(self, data: bytes) -> None:
        self.protocol.data_received(data)

    @property
    def queued(self) -> list[str]:
        """Give the types of what waits for the pump."""
        return [event["type"].removeprefix("websocket.") for event in self.protocol.queue._queue]

    def close_code(self) -> int:
        """Give the code of the close frame, which is the last one sent."""
        at = self.wire.sent.rindex(b"\x88")
        return int.from_bytes(self.wire.sent[at + 2 : at + 4])


@pytest.fixture
async def met():
    made: list[Met] = []

    async def meet(*args, **limits) -> Met:
        made.append(Met(*args, **limits))
        return await made[-1].greeted()

    yield meet
    for one in made:
        one.protocol.connection_lost(None)
        for task in tuple(one.protocol.tasks):
            task.cancel()
            await asyncio.wait({task}, timeout=GUARD_S)


async def until(condition: Callable[[], object]) -> None:
    """Let the loop go round until the condition holds."""
    async with asyncio.timeout(GUARD_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0)


# ---- floods -------------------------------------------------------------------------------------


async def test_ten_thousand_frames_of_one_read_are_parsed_in_slices(met, monkeypatch):
    monkeypatch.setattr(websocket, "SLICE_S", 0.0)
    peer = await met()
    peer.hear(frame(9) * 10_000)
    turns = 0
    while peer.protocol.later:
        assert peer.wire.paused
        turns += 1
        await asyncio.sleep(0)
    assert turns > 50, "the loop has been to the others"
    assert peer.wire.sent == PONG * 10_000
    assert not peer.wire.paused


@pytest.mark.parametrize("flood", [frame(9), frame(0xA), frame(0, final=False), frame(2, b"12")])
async def test_too_many_frames_are_closed_with_1008_and_nothing_of_them_is_worked_off(met, flood):
    peer = await met(frames_per_minute=1_000)
    peer.hear(frame(2, final=False) if flood[0] == 0 else b"")
    peer.hear(flood * 2_000)
    await unparsed(peer)
    assert peer.close_code() == 1008
    assert peer.queued == ["disconnect"]
    assert peer.wire.ended
    assert peer.incoming.bytes == 0
    peer.hear(flood * 2_000)
    await unparsed(peer)
    assert not peer.wire.aborted, "it has time to read why"


async def test_a_burst_within_the_bounds_is_taken_whole(met):
    peer = await met()
    peer.hear(frame(9) * 5_000 + frame(1, b"hello"))
    await unparsed(peer)
    assert peer.wire.sent == PONG * 5_000
    assert (await peer.protocol.receive())["text"] == "hello"


async def test_frames_that_say_something_are_not_counted_by_number(met):
    peer = await met(frames_per_minute=100)
    peer.hear(frame(2, bytes(160)) * 500)
    await unparsed(peer)
    assert peer.queued == ["receive"] * 500


async def test_who_sends_more_than_is_taken_waits(met):
    peer = await met()
    one = frame(2, bytes(MOST_WAITING // 4))
    peer.hear(one * 8)
    await unparsed(peer)
    assert peer.wire.paused
    for _ in range(8):
        assert len((await peer.protocol.receive())["bytes"]) == MOST_WAITING // 4
        await asyncio.sleep(0)
    assert not peer.wire.paused
    assert peer.protocol.waiting == 0


async def test_a_paced_peer_is_never_paused(met):
    peer = await met()
    for _ in range(10):
        peer.hear(frame(2, bytes(640)))
        assert not peer.wire.paused
    assert peer.queued == ["receive"] * 10


async def test_text_that_is_not_utf_8_leaves_no_trace_in_the_log(met, caplog):
    peer = await met()
    peer.hear(frame(1, b"\xff\xfe"))
    assert peer.close_code() == 1007
    assert caplog.records == []


# ---- what is unfinished -------------------------------------------------------------------------


async def test_unfinished_messages_of_all_peers_together_are_bounded(met):
    incoming = Incoming(1 << 20)
    first, second, third = [await met(incoming) for _ in range(3)]
    first.hear(head(1, 2 << 20) + bytes(700_000))
    second.hear(head(1, 2 << 20) + bytes(200_000))
    await unparsed(first, second)
    second.hear(bytes(200_000))
    await unparsed(second)
    assert second.close_code() == 1013
    assert not first.protocol.close_sent
    assert 700_000 <= incoming.bytes < 701_000
    first.hear(bytes(340_000))
    third.hear(frame(2, bytes(EXEMPT // 2)))
    await unparsed(first, third)
    assert third.queued == ["receive"], "what everybody may have is not refused"
    third.protocol.connection_lost(None)
    assert third.incoming.bytes == first.protocol.held
    third.protocol.connections.add(third.protocol)


async def unparsed(*peers: Met) -> None:
    """Wait until all that came is parsed."""
    await until(lambda: all(peer.protocol.later is None for peer in peers))


async def test_pieces_and_whole_messages_count_until_they_are_taken(met):
    peer = await met()
    for n in range(10):
        peer.hear(frame(0 if n else 2, bytes(20_000), final=n == 9))
        await unparsed(peer)
        assert peer.incoming.bytes >= 20_000 * (n + 1)
    await peer.protocol.receive()
    assert peer.incoming.bytes == 0


async def test_nothing_of_a_peer_that_vanished_in_a_message_stays():
    gc.collect()
    gc.disable()
    try:
        settings = Settings(server=ServerConfig())
        async with serving(settings) as place:
            made: list[weakref.ref] = []
            usual = PeerProtocol.connection_made

            def note(self: PeerProtocol, transport) -> None:
                made.append(weakref.ref(self))
                made.append(weakref.ref(self.conn))
                made.append(weakref.ref(self.conn.parser))
                usual(self, transport)

            with pytest.MonkeyPatch.context() as patch:
                patch.setattr(PeerProtocol, "connection_made", note)
                for data in (head(1, 1 << 20) + bytes(500_000), frame(1, b"\xff"), b"\xff" * 9):
                    async with place.connect() as client:
                        await client.recv()
                        client.transport.write(data)
                        await asyncio.sleep(0.05)
                        client.transport.abort()
            assert len(made) == 9
            await until(lambda: [ref() for ref in made] == [None] * 9)
    finally:
        gc.enable()


# ---- who has gone -------------------------------------------------------------------------------


async def test_the_queue_of_who_has_gone_is_dropped(met):
    peer = await met()
    peer.hear(frame(1, b"{}") * 1_000)
    await unparsed(peer)
    assert len(peer.queued) == 1_000
    peer.protocol.connection_lost(None)
    assert peer.queued == ["disconnect"]
    peer.protocol.connections.add(peer.protocol)


async def test_the_answer_to_our_close_is_heard_behind_what_is_not_taken_any_more(met):
    peer = await met()
    peer.hear(frame(2, bytes(MOST_WAITING)) * 3 + frame(8, (1000).to_bytes(2)))
    await unparsed(peer)
    assert peer.wire.paused
    await peer.protocol.send({"type": "websocket.close", "code": 1000, "reason": ""})
    await unparsed(peer)
    assert peer.queued == ["disconnect"]
    assert peer.wire.aborted, "it is closed as soon as the answer is there"


def test_a_peer_that_hung_up_is_seen_behind_what_was_not_read():
    with contextlib.closing(socket.create_server(("127.0.0.1", 0))) as listening:
        theirs = socket.create_connection(listening.getsockname())
        ours, _ = listening.accept()
        theirs.sendall(bytes(100_000))
        assert not hung_up(ours)
        theirs.close()
        assert hung_up(ours)
        ours.close()


async def test_who_waits_is_looked_after_until_it_is_gone(met):
    ours, theirs = socket.socketpair()
    with contextlib.closing(ours), contextlib.closing(theirs):
        peer = await met()
        peer.wire._extra["socket"] = ours
        peer.hear(frame(2, bytes(MOST_WAITING)))
        await unparsed(peer)
        peer.protocol.look()
        assert peer.wire.sent == PONG
        assert not peer.wire.aborted
        theirs.close()
        peer.protocol.look()
        assert peer.wire.aborted


async def test_the_place_of_who_asked_for_much_and_left_is_free_at_once():
    sound = "A" * (30 * 48_000 // 3 * 4)
    content = [{"type": "input_audio", "audio": sound}]
    item = {"type": "message", "role": "user", "id": "a", "content": content}
    ask = json.dumps({"type": "conversation.item.retrieve", "item_id": "a"}).encode()
    async with serving(Settings()) as place:
        async with place.connect() as client:
            await client.send(json.dumps({"type": "conversation.item.create", "item": item}))
            await client.recv()
            client.transport.write(frame(1, ask) * 5_000)
            await asyncio.sleep(0)
            client.transport.abort()
        # To answer them all would take longer than the guard.
        await until(lambda: not place.gateway.admission.taken)


# ---- signs of life ------------------------------------------------------------------------------


async def test_a_long_message_on_a_slow_line_is_a_sign_of_life(met):
    peer = await met()
    peer.hear(head(1, 1 << 20))
    peer.protocol.send_keepalive_ping()
    peer.protocol.ping_sent_at -= 1
    peer.protocol.keepalive_timeout()
    assert not peer.wire.aborted
    peer.protocol.keepalive_timeout()
    assert peer.wire.aborted, "nothing came since"


async def test_who_is_not_read_from_is_not_blamed_for_saying_nothing(met):
    peer = await met()
    peer.hear(frame(2, bytes(MOST_WAITING)))
    await unparsed(peer)
    peer.protocol.send_keepalive_ping()
    for _ in range(3):
        peer.protocol.keepalive_timeout()
    assert not peer.wire.aborted


async def test_who_takes_what_waits_shows_that_it_is_there(met):
    peer = await met()
    sizes = iter([1_000, 900, 900])
    peer.wire.get_write_buffer_size = lambda: next(sizes)
    peer.protocol.send_keepalive_ping()
    peer.protocol.keepalive_timeout()
    assert not peer.wire.aborted
    peer.protocol.keepalive_timeout()
    assert peer.wire.aborted


# ---- what we stand on ---------------------------------------------------------------------------

REPLACED = {"send_receive_event_to_app", "receive", "handle_parser_exception"}
"""Methods of uvicorn that ours stand for."""
SHARED = {"close_sent", "close_timeout", "close_timer", "frames", "handshake_complete"} | {
    "ping_sent_at",
    "pong_timer",
    "read_paused",
}
"""What both uvicorn and we set."""


def test_this_uvicorn_has_all_that_we_build_on():
    wanted = borrowed(PeerProtocol) | REPLACED | SHARED
    assert wanted - offered(WebSocketsSansIOProtocol) == set()


def test_this_websockets_has_the_insides_that_we_reach_for():
    conn = ServerProtocol()
    public = ("close_sent", "data_to_send", "events_received", "fail", "send_pong")
    private = ("current_size", "events", "handshake_exc", "max_message_size", "parser_exc")
    assert [name for name in (*public, *private) if not hasattr(conn, name)] == []
    assert conn.reader.buffer == b""
    conn.reader.discard()
    conn.parser.close()
