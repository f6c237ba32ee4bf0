"""A running gateway with a scripted engine, for tests of who may come in and what they get."""

from __future__ import annotations

import asyncio
import json
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import httpx
from fakes import GUARD_S, LoudVad
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

from realtime.config import Settings
from realtime.engine.fake import FakeEngine
from realtime.gateway.gateway import Gateway
from realtime.gateway.http.server import Server, bind, web_server
from realtime.gateway.routes.app import create_app
from realtime.gateway.routes.calls import Calls


@dataclass
class Place:
    """A running server and ways to it."""

    port: int
    gateway: Gateway
    calls: Calls
    engine: FakeEngine
    server: Server
    trust: ssl.SSLContext | None = None

    def connect(self, path: str = "/v1/realtime", **more: Any):
        """Connect a WebSocket; headers as `additional_headers`, keys as `subprotocols`."""
        scheme = "wss" if self.trust else "ws"
        return connect(
            f"{scheme}://127.0.0.1:{self.port}{path}",
            proxy=None,
            compression=None,
            max_size=None,
            ssl=self.trust,
            **more,
        )

    async def refusal(self, path: str = "/v1/realtime", **more: Any) -> tuple[int, dict, dict]:
        """Connect where one is not let in; give the status, the body and the headers."""
        try:
            async with self.connect(path, **more):
                raise AssertionError("let in")
        except InvalidStatus as error:
            response = error.response
            return response.status_code, json.loads(response.body), dict(response.headers)

    async def ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        """Send a plain request."""
        scheme = "https" if self.trust else "http"
        async with httpx.AsyncClient(trust_env=False, verify=self.trust or True) as client:
            return await client.request(method, f"{scheme}://127.0.0.1:{self.port}{path}", **more)


@asynccontextmanager
async def serving(
    settings: Settings, script: Any = "Hello there.", *, trust: ssl.SSLContext | None = None
) -> AsyncIterator[Place]:
    """Run a server until the end of the block."""
    engine = FakeEngine(script)
    app = create_app(settings, engine, vad_factory=LoudVad)
    with bind("127.0.0.1", 0) as listening:
        web = web_server(app, settings.server)
        running = asyncio.create_task(web.serve(sockets=[listening]))
        try:
            yield Place(
                listening.getsockname()[1], app.state.gateway, app.state.calls, engine, web, trust
            )
        finally:
            web.should_exit = True
            await running


async def until(socket: ClientConnection, type: str) -> dict:
    """Read until an event of this type comes."""
    async with asyncio.timeout(GUARD_S):
        while True:
            event = json.loads(await socket.recv())
            if event["type"] == type:
                return event


async def comes_true(condition: Callable[[], object]) -> None:
    """Wait for what nobody announces, such as that something is forgotten."""
    async with asyncio.timeout(GUARD_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def rest(socket: ClientConnection) -> list[dict]:
    """Read to the close."""
    got = []
    async with asyncio.timeout(GUARD_S):
        try:
            while True:
                got.append(json.loads(await socket.recv()))
        except ConnectionClosed:
            return got


def bearer(key: str) -> dict[str, dict[str, str]]:
    """Give the argument that sends a key as most clients do."""
    return {"additional_headers": {"Authorization": f"Bearer {key}"}}


def written(text: str) -> list[str]:
    """Give the events that ask a question in writing."""
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": text}]}
    return [
        json.dumps({"type": "conversation.item.create", "item": item}),
        json.dumps({"type": "response.create"}),
    ]
