"""A small server of the plain PCM protocol for the client's tests: loud is speech, and it answers.

It shares no code with the real one, so that a client is held to the wire and not to our habits.
"""

from __future__ import annotations

import asyncio
import json
import ssl
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.http11 import Request, Response

RATE = 16000
LOUD = 1000
HANGOVER_MS = 200
TAIL_MS = 100

Message = dict[str, Any]


def tone(ms: int) -> bytes:
    """Make what the fake takes for speech."""
    t = np.arange(RATE * ms // 1000)
    return (8000 * np.sin(t / 5)).astype("<i2").tobytes()


def hush(ms: int) -> bytes:
    """Make silence."""
    return bytes(RATE * ms // 1000 * 2)


@dataclass
class Peer:
    """One connection as the fake sees it."""

    socket: ServerConnection
    query: dict[str, str]
    manual: bool = False
    heard: int = 0
    """Milliseconds received."""
    since_speech: int | None = None
    """Milliseconds of silence after speech; None while nobody speaks."""
    onset: int = 0
    kept: int = 0
    """Bytes received since the last turn."""
    texts: list[str] = field(default_factory=list)
    turn: int = 0
    rest: bytes = b""
    received: list[Message] = field(default_factory=list)

    async def tell(self, kind: str, **fields: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, **fields}))


@dataclass
class FakePcmServer:
    """Answers each turn with the next of `answers` (or `refuses` it), word by word."""

    answers: list[str | Message] = field(default_factory=lambda: ["Hello there."])
    first: list[Message | str | bytes] | None = None
    """What is sent in the place of ready."""
    status: tuple[int, dict[str, str], bytes] | None = None
    """What is answered in the place of the upgrade."""
    longest_s: float | None = None
    """Seconds of a turn, which is answered then as it stands; None: any."""
    drop_after: int | None = None
    """Close with 1011 in the middle of this answer (counted from 1)."""
    peers: list[Peer] = field(default_factory=list)
    url: str = ""
    close: tuple[int, str] | None = None
    gone: asyncio.Event = field(default_factory=asyncio.Event)
    """Set when a peer has left."""

    async def serve(self, socket: ServerConnection) -> None:
        assert socket.request is not None
        query = {k: v[0] for k, v in parse_qs(urlsplit(socket.request.path).query).items()}
        peer = Peer(socket, query, query.get("turn_detection") == "manual")
        self.peers.append(peer)
        try:
            await self.talk(peer)
        finally:
            self.gone.set()

    async def talk(self, peer: Peer) -> None:
        if self.first is not None:
            for message in self.first:
                await peer.socket.send(
                    json.dumps(message) if isinstance(message, dict) else message
                )
        else:
            resume = peer.query.get("conversation", "secret")
            await peer.tell("ready", session="s", resume=resume, model="fake", rate=RATE, new=[1])
        if self.close:
            await peer.socket.close(*self.close)
            return
        async for message in peer.socket:
            if isinstance(message, bytes):
                await self.hear(peer, message)
            else:
                await self.take(peer, json.loads(message))

    async def take(self, peer: Peer, message: Message) -> None:
        peer.received.append(message)
        match message["type"]:
            case "text":
                peer.texts.append(message["text"])
            case "ping":
                await peer.tell("pong")
            case "commit":
                await self.commit(peer)
            case "respond" if peer.texts:
                await self.answer(peer)
            case "respond":
                await peer.tell("error", code="nothing_to_answer", message="?", fatal=False)

    async def commit(self, peer: Peer) -> None:
        if peer.kept < RATE * 2 // 10:
            code = "audio_too_short" if peer.kept else "nothing_to_commit"
            await peer.tell("error", code=code, message="There is no audio.", fatal=False)
            return
        if peer.since_speech is not None or peer.manual:
            peer.since_speech = None
            await peer.tell("speech_stopped", at_ms=peer.heard, duration_ms=10)
        await self.answer(peer)

    async def hear(self, peer: Peer, message: bytes) -> None:
        peer.kept += len(message)
        if self.longest_s is not None and peer.kept >= self.longest_s * RATE * 2:
            await peer.tell("error", code="turn_too_long", message="It is long.", fatal=False)
            await self.answer(peer)
        data = peer.rest + message
        frame = RATE // 50 * 2
        for start in range(0, len(data) - frame + 1, frame):
            await self.judge(peer, np.frombuffer(data[start : start + frame], "<i2"))
        peer.rest = data[len(data) - len(data) % frame :]

    async def judge(self, peer: Peer, samples: Any) -> None:
        loud = bool(np.abs(samples.astype(int)).max() > LOUD)
        peer.heard += 20
        if peer.manual:
            return
        if loud and peer.since_speech is None:
            peer.onset = peer.heard - 20
            await peer.tell("speech_started", at_ms=peer.onset)
        if loud:
            peer.since_speech = 0
        elif peer.since_speech is not None:
            peer.since_speech += 20
            if peer.since_speech >= HANGOVER_MS:
                peer.since_speech = None
                end = peer.heard - HANGOVER_MS + TAIL_MS
                await peer.tell("speech_stopped", at_ms=end, duration_ms=end - peer.onset)
                await self.answer(peer, hangover=float(HANGOVER_MS))

    async def answer(self, peer: Peer, **ms: float) -> None:
        peer.kept, peer.texts = 0, []
        peer.turn += 1
        answer = self.answers[min(peer.turn, len(self.answers)) - 1]
        await peer.tell("news_from_the_future", turn=peer.turn)
        if isinstance(answer, dict):
            await peer.tell("error", **answer)
            await peer.tell("final", turn=peer.turn, text="", finish="interrupted", ms={})
            return
        for seq, word in enumerate(answer.split(" ")):
            await peer.tell("partial", turn=peer.turn, seq=seq, delta=" " * (seq > 0) + word)
            if self.drop_after == peer.turn:
                await peer.socket.close(1011, "the engine is on fire")
                return
        ms = {"first_token": 1.5, "total": 2.5, **ms}
        await peer.tell("final", turn=peer.turn, text=answer, finish="stop", ms=ms)

    def process_request(self, socket: ServerConnection, request: Request) -> Response | None:
        if self.status is None:
            return None
        status, headers, body = self.status
        response = socket.respond(HTTPStatus(status), "")
        response.headers.update(headers)
        del response.headers["Content-Length"]
        response.headers["Content-Length"] = str(len(body))
        response.body = body
        return response


@asynccontextmanager
async def serving(
    fake: FakePcmServer, tls: ssl.SSLContext | None = None
) -> AsyncIterator[FakePcmServer]:
    """Serve the fake on a free port of the loopback."""
    server: Server
    async with serve(
        fake.serve, "127.0.0.1", 0, process_request=fake.process_request, compression=None, ssl=tls
    ) as server:
        port = next(iter(server.sockets)).getsockname()[1]
        fake.url = f"{'wss' if tls else 'ws'}://127.0.0.1:{port}"
        yield fake


@contextmanager
def serving_in_thread(
    fake: FakePcmServer, tls: ssl.SSLContext | None = None
) -> Iterator[FakePcmServer]:
    """Serve the fake in a thread of its own, for tests whose subject runs an event loop itself."""
    begun, ended = threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    async def main() -> None:
        loops.append(asyncio.get_running_loop())
        async with serving(fake, tls):
            begun.set()
            await ended.wait()

    thread = threading.Thread(target=asyncio.run, args=(main(),))
    thread.start()
    try:
        assert begun.wait(10)
        yield fake
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join()
