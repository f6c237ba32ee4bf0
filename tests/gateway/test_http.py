"""Whoever does not get to the point of a request is dropped, and nothing of it is kept."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from fakes import GUARD_S
from gateway_place import serving

from realtime.config import Settings
from realtime.gateway import http

HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@pytest.mark.parametrize("said", [b"", b"GET / HTTP/1.1\r\nHost: loc", HEALTH + b"GET / HT"])
async def test_a_head_that_does_not_come_in_time_ends_the_connection(said, monkeypatch):
    monkeypatch.setattr(http, "HEAD_S", 0.2)
    async with serving(Settings()) as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(said)
        async with asyncio.timeout(GUARD_S):
            with suppress(ConnectionError):
                answer = await reader.read()
                assert answer.count(b"HTTP/1.1 200") == said.count(b"healthz")
        assert reader.at_eof() or reader.exception()
        writer.close()


@pytest.mark.parametrize("more", [b"x-more: " + b"a" * 1000 + b"\r\n", b"a" * 1000])
async def test_a_head_without_end_ends_the_connection(more):
    async with serving(Settings()) as place:
        _, writer = await asyncio.open_connection("127.0.0.1", place.port)
        writer.write(b"GET / HTTP/1.1\r\nx: ")
        sent = 0
        with suppress(ConnectionError):
            while sent < 100 * http.MOST_HEAD:
                writer.write(more)
                sent += len(more)
                await writer.drain()
        assert sent < 100 * http.MOST_HEAD
        writer.close()


async def test_a_connection_may_be_used_again():
    async with serving(Settings()) as place:
        reader, writer = await asyncio.open_connection("127.0.0.1", place.port)
        async with asyncio.timeout(GUARD_S):
            for _ in range(3):
                writer.write(HEALTH)
                head = await reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
                await reader.readexactly(len(b'{"status":"alive"}'))
        writer.close()


async def test_a_websocket_outlives_the_time_for_its_head(monkeypatch):
    monkeypatch.setattr(http, "HEAD_S", 0.2)
    loop = asyncio.get_running_loop()
    async with serving(Settings()) as place, place.connect("/v1/pcm") as socket:
        end = loop.time() + 0.5
        while loop.time() < end:
            await (await socket.ping())
