"""Whoever does not get to the point of a request is dropped, and nothing of it is kept."""

from __future__ import annotations

import asyncio
import gc
import socket
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress

import pytest
import uvicorn
from borrowed import borrowed, offered
from fakes import GUARD_S
from gateway_place import Place, comes_true, rest, serving
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from realtime.config import Settings
from realtime.gateway.access.settings import AuthConfig
from realtime.gateway.http import protocol
from realtime.gateway.http.protocol import HttpProtocol
from realtime.gateway.http.server import Server
from realtime.gateway.http.settings import ServerConfig
from realtime.transports import incoming

KEY = "sk-a-key-of-this-test"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
HOST = b"\r\nHost: localhost\r\n"
MISSING = b"GET /nowhere HTTP/1.1\r\n\r\n"
EARLY = b"POST /whip HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"
UPGRADE = (
    b"GET /v1/pcm HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@asynccontextmanager
async def speaking(
    place: Place,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect, to say anything."""
    reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
    try:
        yield reader, writer
    finally:
        writer.close()


async def end(reader: asyncio.StreamReader) -> bytes:
    """Read until the server has ended the connection, however it did."""
    got = b""
    async with asyncio.timeout(GUARD_S):
        with suppress(ConnectionError):
            while piece := await reader.read(1 << 16):
                got += piece
    return got


@pytest.fixture
def protocols(monkeypatch) -> Callable[[], list[HttpProtocol]]:
    """Give the connections that somebody has not forgotten yet."""
    born: list[weakref.ref[HttpProtocol]] = []
    made = HttpProtocol.connection_made

    def connection_made(self, transport):
        born.append(weakref.ref(self))
        made(self, transport)

    monkeypatch.setattr(HttpProtocol, "connection_made", connection_made)
    return lambda: [found for ref in born if (found := ref()) is not None]


# ---- time ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said", [b"", b"GET / HTTP/1.1\r\nHost: loc", HEALTH + b"GET / HT", b"\r\n", b"x"]
)
async def test_a_head_that_does_not_come_in_time_ends_the_connection(said, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    async with serving(Settings()) as place, speaking(place) as (reader, writer):
        writer.write(said)
        assert (await end(reader)).count(b"HTTP/1.1 200") == said.count(b"healthz")


@pytest.mark.parametrize("first", [HEALTH, EARLY])
@pytest.mark.parametrize("more", [b"\r\n", b"x"])
async def test_a_little_after_an_answer_keeps_no_connection(first, more, monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    async with serving(keyed()) as place, speaking(place) as (reader, writer):
        writer.write(first)
        assert b"HTTP/1.1" in await reader.readuntil(b"\r\n\r\n")
        writer.write(more)
        await end(reader)


async def test_a_peer_that_does_not_read_its_answers_is_dropped(monkeypatch, protocols):
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    monkeypatch.setattr(protocol, "WRITE_S", 0.2)
    async with serving(Settings()) as place:
        with deaf(place, MISSING * 20_000):
            await comes_true(lambda: not protocols())


async def test_a_websocket_outlives_the_time_for_its_head(monkeypatch):
    monkeypatch.setattr(protocol, "HEAD_S", 0.2)
    loop = asyncio.get_running_loop()
    async with serving(Settings()) as place, place.connect("/v1/pcm") as socket:
        until = loop.time() + 0.5
        while loop.time() < until:
            await (await socket.ping())


async def test_a_connection_may_be_used_again():
    async with serving(Settings()) as place, speaking(place) as (reader, writer):
        async with asyncio.timeout(GUARD_S):
            for _ in range(3):
                writer.write(HEALTH)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                await reader.readexactly(len(b'{"status":"alive"}'))


# ---- size ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        pytest.param(b"x-more: " + b"a" * 1000 + b"\r\n", id="headers"),
        pytest.param(b"a:\r\n", id="tiny headers"),
        pytest.param(b"a" * 1000, id="one header"),
    ],
)
@pytest.mark.parametrize(
    "before",
    [
        pytest.param(b"GET / HTTP/1.1\r\nx: ", id="of a head"),
        pytest.param(
            b"POST /whip HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nx: ", id="of trailers"
        ),
    ],
)
async def test_headers_without_end_end_the_connection(before, said):
    async with serving(keyed()) as place, speaking(place) as (_, writer):
        writer.write(before)
        sent = 0
        with suppress(ConnectionError):
            while sent < 100 * protocol.MOST_HEAD:
                writer.write(said * 100)
                sent += len(said) * 100
                await writer.drain()
        assert sent < 100 * protocol.MOST_HEAD


async def test_a_long_head_is_welcome():
    async with serving(Settings()) as place:
        answer = await place.ask("GET", "/healthz", headers={"x-long": "a" * 60_000})
        assert answer.status_code == 200


# ---- what is no text -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "said",
    [
        b"GET /%ff HTTP/1.1\r\n\r\n",
        b"GET /\xff HTTP/1.1\r\n\r\n",
        b"GET /v1/pcm?rate=%ff HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nOrigin: \xff\r\n\r\n",
        b"GET / HTTP/1.1\r\nx\xff: a\r\n\r\n",
        b"POST /v1/realtime/client_secrets HTTP/1.1\r\nAuthorization: Bearer \xff\r\n\r\n",
        b'POST /v1/realtime/client_secrets HTTP/1.1\r\nContent-Length: 3\r\n\r\n"\xff"',
        b'POST /v1/realtime/calls HTTP/1.1\r\nContent-Length: 3\r\n\r\n"\xff"',
        b"POST /whip/%ff HTTP/1.1\r\n\r\n",
        b"GET /whip/a/events HTTP/1.1\r\nLast-Event-ID: \xb2\r\n\r\n",
        UPGRADE.replace(b"pcm", b"\xff"),
        UPGRADE.replace(b"pcm", b"%ff"),
        UPGRADE.replace(b"pcm", b"pcm?rate=%ff"),
        UPGRADE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Protocol: \xff\r\n\r\n"),
        UPGRADE.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: \xff\r\n\r\n"),
    ],
)
async def test_bytes_that_are_no_text_cost_no_traceback(said, caplog, capsys):
    async with serving(Settings()) as place, speaking(place) as (reader, writer):
        writer.write(said.replace(b"Host: localhost\r\n", b"").replace(b"\r\n", HOST, 1))
        async with asyncio.timeout(GUARD_S):
            status = (await reader.readline()).split()[1]
        assert status in (b"101", b"200", b"400", b"404", b"405", b"415", b"426")
    assert not any(record.exc_info for record in caplog.records)
    assert "Traceback" not in "".join(capsys.readouterr())


@pytest.mark.parametrize("path", ["/v1/pcm", "/v1/realtime"])
@pytest.mark.parametrize("message", [b"\xff", [b"\xc3", b"\xff"]])
async def test_a_text_that_is_none_costs_its_socket_alone(path, message, caplog, capsys):
    async with serving(Settings()) as place, place.connect(path) as socket:
        await socket.send(message, text=True)
        await rest(socket)
        assert socket.close_code == 1007
    assert not any(record.exc_info for record in caplog.records)
    assert "Traceback" not in "".join(capsys.readouterr())


# ---- requests in a row -----------------------------------------------------------------------


async def test_requests_in_a_row_are_all_answered_in_order():
    count = 3000
    requests = [f"GET /nowhere/{n} HTTP/1.1\r\n\r\n".encode() for n in range(count)]
    async with serving(Settings()) as place, speaking(place) as (reader, writer):
        async with asyncio.timeout(3 * GUARD_S):
            writer.write(b"".join(requests))
            for number in range(count):
                head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
                length = int(head.split("content-length: ")[1].split("\r\n")[0])
                assert f"/nowhere/{number}." in (await reader.readexactly(length)).decode()


async def test_a_body_behind_requests_in_a_row_is_read_whole():
    body = b'{"session": {"instructions": "' + b"a" * 100_000 + b'"}}'
    post = (
        b"POST /v1/realtime/client_secrets HTTP/1.1\r\nContent-Type: application/json\r\n"
        b"Connection: close\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)
    )
    async with serving(Settings()) as place, speaking(place) as (reader, writer):
        writer.write(HEALTH * 100 + post)
        got = await end(reader)
        assert got.count(b"HTTP/1.1 200") == 100
        assert b"it has 100000." in got


async def test_few_requests_wait_for_a_peer_that_does_not_read(monkeypatch, protocols):
    most = 0
    queued = protocol.HttpToolsProtocol.on_headers_complete

    def counted(self):
        nonlocal most
        queued(self)
        most = max(most, len(self.pipeline))

    monkeypatch.setattr(HttpProtocol, "on_headers_complete", counted, raising=False)
    async with serving(Settings()) as place:
        with deaf(place, MISSING * 20_000):
            await comes_true(lambda: any(peer.flow.write_paused for peer in protocols()))
            (held,) = protocols()
            assert held.flow.read_paused
            assert 0 < held.backlog.bytes == len(held.received) <= 256 << 10
            assert most < protocol.MOST_WAITING + protocol.SLICE / len(MISSING)


async def test_a_request_that_runs_learns_that_its_peer_left_with_others_waiting():
    entered, left = asyncio.Event(), asyncio.Event()

    async def wait(request: Request) -> Response:
        await request.body()
        entered.set()
        while (await request.receive())["type"] != "http.disconnect":
            pass
        left.set()
        return Response()

    async with serving(Settings()) as place, asyncio.timeout(GUARD_S):
        place.server.app.router.routes.append(Route("/wait", wait))
        async with speaking(place) as (_, writer):
            writer.write(HEALTH.replace(b"healthz", b"wait") + HEALTH)
            await entered.wait()
        await left.wait()


async def test_who_adds_to_too_much_that_waits_is_dropped(protocols, monkeypatch):
    monkeypatch.setattr(incoming, "EXEMPT", 0)
    async with serving(Settings()) as place:
        place.server.backlog.most = 0
        with deaf(place, MISSING * 20_000):
            await comes_true(lambda: place.server.server_state.total_requests)
            await comes_true(lambda: not protocols())
        assert place.server.backlog.bytes == 0
        assert (await place.ask("GET", "/healthz")).status_code == 200


async def test_an_upgrade_behind_a_request_that_runs_is_dropped():
    async with serving(Settings()) as place, speaking(place) as (reader, writer):
        writer.write(HEALTH + UPGRADE)
        assert b"101" not in await end(reader)


# ---- strangers -------------------------------------------------------------------------------


async def test_who_shows_no_key_makes_room_for_who_does():
    async with serving(keyed(strangers=3)) as place:
        silent = [await asyncio.open_connection("127.0.0.1", place.port) for _ in range(3)]
        async with place.connect("/v1/pcm", additional_headers=bearer()) as first:
            await first.recv()
            await end(silent[0][0])  # the oldest
            silent += [await asyncio.open_connection("127.0.0.1", place.port) for _ in range(5)]
            await asyncio.gather(*(end(reader) for reader, _ in silent[:5]))
            await (await first.ping())  # was let in, and is not counted any more
            assert not silent[-1][0].at_eof()
        for _, writer in silent:
            writer.close()


async def test_a_refused_upgrade_counts_until_it_is_gone():
    async with serving(keyed(strangers=2)) as place:
        for _ in range(5):
            status, _, _ = await place.refusal("/v1/pcm")
            assert status == 401
        async with place.connect("/v1/pcm", additional_headers=bearer()) as let_in:
            await let_in.recv()


async def test_nothing_leads_back_to_a_connection_that_ended(protocols):
    async with serving(Settings()) as place:
        gc.collect()
        gc.disable()
        try:
            async with speaking(place) as (reader, writer):
                writer.write(HEALTH)
                await reader.readuntil(b"alive")
            async with place.connect("/v1/pcm") as socket:
                await socket.recv()
            await comes_true(lambda: not protocols())
        finally:
            gc.enable()


def keyed(**server: int) -> Settings:
    return Settings(server=ServerConfig(**server), auth=AuthConfig(keys=(KEY,)))


def bearer() -> dict[str, str]:
    return {"Authorization": f"Bearer {KEY}"}


class deaf:  # noqa: N801
    """A peer that says something and does not read."""

    def __init__(self, place: Place, said: bytes) -> None:
        self.sock = socket.socket()
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        self.sock.setblocking(True)
        self.address = ("127.0.0.1", place.port)
        self.said = said

    def __enter__(self) -> None:
        self.sock.connect(self.address)
        self.sock.setblocking(False)
        with suppress(BlockingIOError):
            self.sock.send(self.said)

    def __exit__(self, *_) -> None:
        self.sock.close()


# ---- what we stand on ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ours", "theirs", "shared"),
    [
        (HttpProtocol, HttpToolsProtocol, {"app", "app_state", "cycle", "flow", "parser"}),
        (protocol.Flow, FlowControl, {"resume_reading"}),
        (Server, uvicorn.Server, {"capture_signals", "startup", "config", "started", "servers"}),
    ],
)
def test_this_uvicorn_has_all_that_we_build_on(ours, theirs, shared):
    assert (borrowed(ours) | shared) - offered(theirs) == set()


def test_a_request_of_this_uvicorn_has_what_is_told_to_it_at_the_end():
    assert {"disconnected", "message_event", "response_complete"} <= offered(RequestResponseCycle)
