"""A running gateway with a scripted engine, and clients of /v1/pcm, for tests."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx
import pytest
from fakes import GUARD_S, LoudVad, question
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from realtime.config import Settings
from realtime.engine.fake import FakeEngine
from realtime.gateway.gateway import Gateway
from realtime.gateway.http.server import bind, web_server
from realtime.gateway.http.settings import ServerConfig
from realtime.gateway.routes.app import create_app
from realtime.gateway.settings import AdmissionConfig, ConnectionConfig


@dataclass
class Place:
    """A running server."""

    port: int
    gateway: Gateway
    engine: FakeEngine

    def url(self, query: str = "") -> str:
        return f"ws://127.0.0.1:{self.port}/v1/pcm{query}"

    async def get(self, path: str, **headers: str) -> httpx.Response:
        async with httpx.AsyncClient(trust_env=False, headers=headers) as client:
            return await client.get(f"http://127.0.0.1:{self.port}{path}")

    async def empty(self) -> None:
        """Wait until no connection is left."""
        async with asyncio.timeout(GUARD_S):
            while self.gateway.connections:
                self.gateway.departed.clear()
                await self.gateway.departed.wait()

    def count(self, name: str, **labels: str) -> float:
        return self.gateway.metrics.registry.get_sample_value(name, labels) or 0.0


@asynccontextmanager
async def served(
    script="Hello there.",
    *,
    server: ServerConfig = ServerConfig(),  # noqa: B008
    admission: AdmissionConfig = AdmissionConfig(),  # noqa: B008
    connection: ConnectionConfig = ConnectionConfig(),  # noqa: B008
) -> AsyncIterator[Place]:
    engine = FakeEngine(script)
    settings = Settings(server=server, admission=admission, connection=connection)
    app = create_app(settings, engine, vad_factory=LoudVad)
    with bind("127.0.0.1", 0) as listening:
        web = web_server(app, server)
        serving = asyncio.create_task(web.serve(sockets=[listening]))
        try:
            yield Place(listening.getsockname()[1], app.state.gateway, engine)
        finally:
            web.should_exit = True
            await serving


class Caller:
    """One client of the server."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket
        self.got: list[dict] = []

    async def say(self, *messages: bytes | str | dict) -> None:
        for message in messages:
            await self.socket.send(json.dumps(message) if isinstance(message, dict) else message)

    async def until(self, type: str, **fields: object) -> dict:
        """Read until a message of this type and with these fields comes."""
        async with asyncio.timeout(GUARD_S):
            while True:
                self.got.append(message := json.loads(await self.socket.recv()))
                if message["type"] == type and fields.items() <= message.items():
                    return message

    async def ask(self) -> str:
        """Ask a question and give the answer."""
        await self.say(question())
        return (await self.until("final"))["text"]

    async def closed(self) -> tuple[int, str]:
        """Read until the close; give its code and reason."""
        async with asyncio.timeout(GUARD_S):
            with contextlib.suppress(ConnectionClosed):
                while True:
                    self.got.append(json.loads(await self.socket.recv()))
        return self.socket.close_code, self.socket.close_reason

    def errors(self) -> list[str]:
        return [message["code"] for message in self.got if message["type"] == "error"]


@asynccontextmanager
async def calling(place: Place, query: str = "") -> AsyncIterator[Caller]:
    async with connect(place.url(query), proxy=None, compression=None) as socket:
        yield Caller(socket)


async def refusal(place: Place) -> dict:
    """Try to connect; give the refusal's body."""
    with pytest.raises(InvalidStatus) as refused:
        await connect(place.url(), proxy=None)
    response = refused.value.response
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) >= 1
    return json.loads(response.body)
