"""The way in stays open: without descriptors, with handshakes that never end, with new keys."""

from __future__ import annotations

import asyncio
import errno
import resource
import socket
import ssl
from contextlib import suppress

import pytest
from fakes import GUARD_S
from gateway_place import comes_true, serving
from structlog.testing import capture_logs

from realtime.config import Settings
from realtime.gateway.http import listener
from realtime.gateway.http.listener import Listener, raise_descriptor_limit
from realtime.gateway.http.server import bind
from realtime.gateway.http.strangers import Strangers


class Failing(socket.socket):
    """A listening socket that cannot accept at first."""

    def __init__(self, *arguments, errors=(), **more) -> None:
        super().__init__(*arguments, **more)
        self.errors = list(errors)

    def accept(self):
        if self.errors:
            raise OSError(self.errors.pop(0), "no")
        return super().accept()


class Greeter(asyncio.Protocol):
    def connection_made(self, transport):
        transport.write(b"hello")


@pytest.mark.parametrize("errors", [[errno.ECONNABORTED], [errno.EMFILE] * 3, [errno.ENOMEM]])
async def test_a_connection_that_cannot_be_had_does_not_end_the_listening(errors):
    strangers = Strangers(most=10, most_of_one=10)
    ended = []
    for name in "ab":
        strangers.enter("127.0.0.1", lambda name=name: ended.append(name))
    with bind("127.0.0.1", 0) as bound, Failing(fileno=bound.detach(), errors=errors) as listening:
        listening.setblocking(False)
        way_in = Listener([listening], strangers, lambda _: Greeter(), None)
        with capture_logs() as logs:
            running = asyncio.create_task(way_in.run())
            async with asyncio.timeout(GUARD_S):
                reader, writer = await asyncio.open_connection(*listening.getsockname())
                assert await reader.readexactly(5) == b"hello"
            writer.close()
            running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    full = errors[0] != errno.ECONNABORTED
    assert ended == ["a", "b"][: len(errors)] * full
    assert [line["event"] for line in logs] == ["no room for a connection"] * full


async def test_a_handshake_of_tls_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(listener, "HANDSHAKE_S", 0.1)
    strangers = Strangers(most=10, most_of_one=10)
    with bind("127.0.0.1", 0) as listening:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        way_in = Listener([listening], strangers, lambda _: Greeter(), tls)
        running = asyncio.create_task(way_in.run())
        for said in (b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            writer.write(said)
            async with asyncio.timeout(GUARD_S):
                with suppress(ConnectionError):
                    await reader.read()
            writer.close()
        await comes_true(lambda: not strangers.all)
        assert not running.done()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_handshakes_are_counted_before_they_end():
    strangers = Strangers(most=2, most_of_one=2)
    with bind("127.0.0.1", 0) as listening:
        tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        way_in = Listener([listening], strangers, lambda _: Greeter(), tls)
        running = asyncio.create_task(way_in.run())
        peers = [await asyncio.open_connection(*listening.getsockname()) for _ in range(3)]
        async with asyncio.timeout(GUARD_S):
            with suppress(ConnectionError):
                assert await peers[0][0].read() == b""
        assert not peers[2][0].at_eof()
        for _, writer in peers:
            writer.close()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running


async def test_a_connection_that_cannot_be_served_ends_no_other():
    protocols = iter([None, Greeter()])

    def protocol(_):
        if (made := next(protocols)) is None:
            raise RuntimeError("no")
        return made

    strangers = Strangers(most=10, most_of_one=10)
    with bind("127.0.0.1", 0) as listening, capture_logs() as logs:
        running = asyncio.create_task(Listener([listening], strangers, protocol, None).run())
        for greeting in (b"", b"hello"):
            reader, writer = await asyncio.open_connection(*listening.getsockname())
            async with asyncio.timeout(GUARD_S):
                assert await reader.read(5) == greeting
            writer.close()
        running.cancel()
        with suppress(asyncio.CancelledError):
            await running
    assert [line["event"] for line in logs] == ["a connection cannot be served"]
    assert len(strangers.all) == 1


async def test_the_server_takes_every_descriptor_that_it_may():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 512), hard))
    try:
        async with serving(Settings()):
            now, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert now == raise_descriptor_limit() == min(hard, listener.MOST_FILES)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
