"""What peers without a key can take from the gateway over plain HTTP: memory, time, descriptors.

A gateway of its own (a scripted engine, one API key) is attacked on the loopback, one attack after
the other, each on a fresh process: `unread` sends requests in a row and reads no answer, `slices`
sends one burst of 256 KiB and reads all, `lingering` says a little after an answered request and
stays, `handshakes` connects and says nothing. Meanwhile a holder of the key connects again and
again. Prints one line of JSON; every attack ends by itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import resource
import socket
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

KEY = "sk-of-this-benchmark-alone"
BURST = b"GET / HTTP/1.1\r\n\r\n"
HEALTH = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"
EARLY = (
    b"POST /whip HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n"  # 401 before its body
)
TINY = 4096  # bytes of a receive buffer
PROBE_S = 0.1


def main(
    connections: Annotated[int, typer.Option(help="That do not read.")] = 10,
    requests: Annotated[int, typer.Option(help="In a row on each of them.")] = 50_000,
    lingering: Annotated[int, typer.Option(help="Connections that stay.")] = 300,
    files: Annotated[int, typer.Option(help="Descriptors of the gateway that they stay at.")] = 256,
    seconds: Annotated[float, typer.Option(help="How long each attack lasts.")] = 25.0,
) -> None:
    """Measure."""
    result: dict[str, Any] = {}

    async def measure() -> None:
        burst = BURST * requests
        result["unread"] = await attacked(unread(burst, connections), seconds, 4096)
        one = BURST * ((256 << 10) // len(BURST))
        result["slices"] = await attacked(unread(one, 1, TINY * 64), seconds / 4, 4096)
        for name, said in (("crlf", HEALTH + b"\r\n"), ("body", EARLY + b"x"), ("mute", b"")):
            result[f"lingering_{name}"] = await attacked(staying(said, lingering), seconds, files)

    asyncio.run(measure())
    print(json.dumps({"script": "bench_http", "seconds": seconds, **result}))


# ---- the attacks -------------------------------------------------------------------------------

Attack = Callable[[int], Awaitable[None]]
"""Attacks a port until it is cancelled."""


def unread(burst: bytes, connections: int, buffer: int = TINY) -> Attack:
    """Send requests in a row, and read nothing of the answers."""

    async def one(port: int) -> None:
        with peer(buffer) as sock:
            with contextlib.suppress(ConnectionError):
                await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", port))
                await asyncio.get_running_loop().sock_sendall(sock, burst)
            await asyncio.Event().wait()

    async def attack(port: int) -> None:
        await asyncio.gather(*(one(port) for _ in range(connections)))

    return attack


def staying(said: bytes, connections: int) -> Attack:
    """Say something on each connection, read the answer, and stay; whoever is closed comes back."""

    async def one(port: int) -> None:
        loop = asyncio.get_running_loop()
        while True:
            with peer(TINY) as sock, contextlib.suppress(OSError):
                await loop.sock_connect(sock, ("127.0.0.1", port))
                await loop.sock_sendall(sock, said)
                while await loop.sock_recv(sock, 4096):
                    pass
            await asyncio.sleep(0.2)

    async def attack(port: int) -> None:
        await asyncio.gather(*(one(port) for _ in range(connections)))

    return attack


@contextlib.contextmanager
def peer(buffer: int) -> Iterator[socket.socket]:
    """Make a socket with a small buffer."""
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        sock.setblocking(False)
        yield sock


# ---- what comes of them ------------------------------------------------------------------------


@dataclass
class Seen:
    """What was seen of a gateway during an attack."""

    pid: int
    rss_mb: float = 0.0
    files: int = 0
    waits: list[float] = field(default_factory=list)
    let_in: int = 0
    shut_out: int = 0

    def look(self) -> None:
        """Read the gateway's memory and count its descriptors; keep the most."""
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
            rss = next(int(line.split()[1]) for line in lines if line.startswith("VmRSS"))
            self.rss_mb = max(self.rss_mb, rss / 1024)
            self.files = max(self.files, len(os.listdir(f"/proc/{self.pid}/fd")))

    def told(self) -> dict[str, Any]:
        """Give the figures."""
        waits = sorted(self.waits)
        return {
            "rss_mb": round(self.rss_mb, 1),
            "descriptors": self.files,
            "key_holder_let_in": self.let_in,
            "key_holder_shut_out": self.shut_out,
            "handshake_ms_p50": round(1000 * waits[len(waits) // 2], 1) if waits else None,
            "handshake_ms_most": round(1000 * waits[-1], 1) if waits else None,
        }


async def attacked(attack: Attack, seconds: float, files: int) -> dict[str, Any]:
    """Attack a fresh gateway for a while; give what was seen."""
    async with gateway(files) as (pid, port):
        seen = Seen(pid)
        await honest(port, seen)
        seen.waits.clear()
        before = seen.rss_mb
        running = asyncio.ensure_future(attack(port))
        end = time.monotonic() + seconds
        try:
            while time.monotonic() < end and not running.done():
                await honest(port, seen)
                await asyncio.sleep(PROBE_S)
        finally:
            running.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await running
        return {"rss_mb_before": round(before, 1), **seen.told()}


async def honest(port: int, seen: Seen) -> None:
    """Come in with the key, as anybody does, and go."""
    began = time.monotonic()
    try:
        async with (
            asyncio.timeout(5),
            connect(
                f"ws://127.0.0.1:{port}/v1/pcm",
                proxy=None,
                additional_headers={"Authorization": f"Bearer {KEY}"},
            ) as socket,
        ):
            await socket.recv()
        seen.let_in += 1
    except (OSError, EOFError, WebSocketException):
        seen.shut_out += 1
    seen.waits.append(time.monotonic() - began)
    seen.look()


@asynccontextmanager
async def gateway(files: int) -> AsyncIterator[tuple[int, int]]:
    """Run a gateway with so many descriptors; give its process id and its port."""
    command = [sys.executable, __file__, "--serve", str(files)]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        yield process.pid, int(await process.stdout.readline())
    finally:
        process.kill()
        await process.wait()


async def serve(files: int) -> None:
    """Serve a scripted engine to holders of the key."""
    from realtime.config import Settings
    from realtime.engine.fake import FakeEngine
    from realtime.gateway.access.settings import AuthConfig
    from realtime.gateway.http.server import bind
    from realtime.gateway.http.server import serve as serve_app
    from realtime.gateway.http.settings import ServerConfig
    from realtime.gateway.routes.app import create_app

    resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))
    settings = Settings(server=ServerConfig(), auth=AuthConfig(keys=(KEY,)))
    app = create_app(settings, FakeEngine())
    with bind("127.0.0.1", 0) as listening:
        print(listening.getsockname()[1], flush=True)
        await serve_app(app, listening, settings.server)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        import uvloop

        uvloop.run(serve(int(sys.argv[2])))
    else:
        typer.run(main)
