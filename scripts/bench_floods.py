"""Measure what one ill-behaved peer does to the others: their latency, our memory, descriptors.

Prints one JSON line. A server of its own (the bundled model, loopback only) serves paced sessions,
which speak a recorded question again and again and ask for a pong twice a second; for each attack,
from a process of its own, `answer` and `pong` are the p95 in milliseconds of what they wait for,
and `answers` is how many came. `rss` is the serving process in MiB before, at its most and 2 s
after, `descriptors` before and at their most, `places_free_after_s` how long after the end anybody
still has a place. `quiet` is without an attack. All stops by itself.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from bench_codecs import serving
from websockets.asyncio.client import ClientConnection, connect

from realtime.audio.files import read
from realtime.audio.pcm import FRAME_MS, SAMPLE_RATE, to_bytes

QUESTION = Path(__file__).parents[1] / "client" / "samples" / "what-is-two-plus-three.wav"
FRAME = SAMPLE_RATE * FRAME_MS // 1000 * 2  # bytes
PAUSE_S = 2.0  # of silence after the question
PONG_S = 0.5  # between pings
LONGEST_S = 60.0  # to wait for places to be free
HUGE = 20_000_000  # bytes of an unfinished message
MASK = bytes(4)

# ---- attacks, each for so many seconds ----------------------------------------------------------


def frames(opcode: int, payload: bytes = b"", *, final: bool = True) -> bytes:
    """Make a client's frame (RFC 6455 5.2)."""
    size = len(payload)
    head = bytes([opcode | (0x80 if final else 0)])
    length = bytes([0x80 | size]) if size < 126 else bytes([0x80 | 127]) + size.to_bytes(8)
    return head + length + MASK + payload


def dial(host: str, port: int, *, buffer: int | None = None) -> socket.socket:
    """Connect; with a receive buffer of so many bytes."""
    peer = socket.socket()
    if buffer is not None:
        peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    peer.settimeout(10)
    peer.connect((host, port))
    return peer


def upgraded(host: str, port: int, path: str) -> socket.socket:
    """Open a WebSocket by hand."""
    peer = dial(host, port)
    request = (
        f"GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    peer.sendall(request.encode())
    head = b""
    while b"\r\n\r\n" not in head:
        if not (got := peer.recv(1)):
            raise ConnectionError("refused")
        head += got
    return peer


def swallow(peer: socket.socket) -> None:
    """Read whatever comes, to the end."""
    with contextlib.suppress(OSError):
        while peer.recv(1 << 16):
            pass


def flood(host: str, port: int, path: str, wire: bytes, end: float, opening: bytes = b"") -> None:
    """Send the same again and again, reading all answers; come again when closed."""
    while time.monotonic() < end:
        with contextlib.suppress(OSError), upgraded(host, port, path) as peer:
            threading.Thread(target=swallow, args=(peer,), daemon=True).start()
            peer.sendall(opening)
            while time.monotonic() < end:
                peer.sendall(wire)
        time.sleep(0.05)


def audio(host: str, port: int, end: float) -> None:
    """Flood with two bytes of audio a message."""
    flood(host, port, "/v1/pcm", frames(2, bytes(2)) * 8_000, end)


def braces(host: str, port: int, end: float) -> None:
    """Flood with messages that are no JSON."""
    flood(host, port, "/v1/realtime", frames(1, b"{") * 8_000, end)


def pings(host: str, port: int, end: float) -> None:
    """Flood with empty pings."""
    flood(host, port, "/v1/pcm", frames(9) * 10_000, end)


def fragments(host: str, port: int, end: float) -> None:
    """Flood with empty pieces of one message."""
    piece = frames(0, final=False) * 10_000
    flood(host, port, "/v1/pcm", piece, end, frames(1, final=False))


def pipelined(host: str, port: int, end: float) -> None:
    """Send requests in 10 connections and read no answer."""
    peers = [dial(host, port, buffer=4_096) for _ in range(10)]

    def push(peer: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while time.monotonic() < end:
                peer.sendall(b"GET / HTTP/1.1\r\n\r\n" * 50_000)

    threads = [threading.Thread(target=push, args=(peer,), daemon=True) for peer in peers]
    for thread in threads:
        thread.start()
    wait(end)


def idle(host: str, port: int, end: float) -> None:
    """Hold 240 connections after an answered request and one byte more."""
    peers = []
    for _ in range(240):
        with contextlib.suppress(OSError):
            peer = dial(host, port)
            peer.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n\r\n")
            peers.append(peer)
    wait(end)


def vanishing(host: str, port: int, end: float) -> None:
    """Begin 50 messages of 20 MB, end none and vanish; four times."""
    head = bytes([0x81, 0x80 | 127]) + (HUGE + 100).to_bytes(8) + MASK
    for _ in range(4):
        peers = []
        for _ in range(50):
            with contextlib.suppress(OSError):
                peer = upgraded(host, port, "/v1/realtime")
                peers.append(peer)
                peer.sendall(head + b" " * HUGE)
        for peer in peers:
            peer.close()


def retrieves(host: str, port: int, end: float) -> None:
    """Ask 3,000 times for an item with a minute of sound, and leave."""
    sound = "A" * (60 * 48_000 // 3 * 4)
    item = {"type": "message", "role": "user", "id": "a"}
    content = [{"type": "input_audio", "audio": sound}]
    create = {"type": "conversation.item.create", "item": {**item, "content": content}}
    ask = json.dumps({"type": "conversation.item.retrieve", "item_id": "a"}).encode()
    peer = upgraded(host, port, "/v1/realtime")
    threading.Thread(target=swallow, args=(peer,), daemon=True).start()
    with contextlib.suppress(OSError):
        peer.sendall(frames(1, json.dumps(create).encode()))
        time.sleep(2)
        peer.sendall(frames(1, ask) * 3_000)
        time.sleep(0.2)
    peer.shutdown(socket.SHUT_RDWR)
    peer.close()


def wait(end: float) -> None:
    """Hold what there is until the end."""
    time.sleep(max(0.0, end - time.monotonic()))


ATTACKS: dict[str, Callable[[str, int, float], None]] = {
    name.__name__: name
    for name in (audio, braces, pings, fragments, retrieves, pipelined, idle, vanishing)
}


@contextmanager
def attack(kind: str, address: str, seconds: float) -> Iterator[subprocess.Popen[bytes] | None]:
    """Run an attack in a process of its own, and stop it at the end."""
    if kind == "quiet":
        yield None
        return
    command = [sys.executable, __file__, "--attack", kind, address, "--seconds", str(seconds)]
    process = subprocess.Popen(command)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


# ---- those who behave ---------------------------------------------------------------------------


@dataclass
class Waits:
    """How long the sessions waited, seconds."""

    answers: list[float] = field(default_factory=list)
    pongs: list[float] = field(default_factory=list)


@dataclass
class Session:
    """One that speaks as a microphone does, and notes how long it waits."""

    waits: Waits
    end: float
    asked_at: float | None = None
    pinged_at: float | None = None

    async def run(self, url: str, start: float) -> None:
        """Speak until the end; what has not come by then has taken until then."""
        heard = read(QUESTION)
        sound = to_bytes(heard[: np.flatnonzero(heard)[-1] + 1])  # to the end of speech
        clock = asyncio.get_running_loop().time
        spoken = [sound[at : at + FRAME] for at in range(0, len(sound), FRAME)]
        said = len(spoken)
        spoken += [bytes(FRAME)] * int(PAUSE_S * 1000 / FRAME_MS)
        await asyncio.sleep(start - clock())
        async with connect(url, ping_interval=None, open_timeout=60) as socket:
            listening = asyncio.create_task(self.listen(socket))
            for n in range(1 << 30):
                due = start + n * FRAME_MS / 1000
                if due >= self.end:
                    break
                await asyncio.sleep(due - clock())
                await socket.send(spoken[n % len(spoken)])
                if n % len(spoken) == said and self.asked_at is None:
                    self.asked_at = clock()
                if n % int(PONG_S * 1000 / FRAME_MS) == 0 and self.pinged_at is None:
                    self.pinged_at = clock()
                    await socket.send('{"type":"ping"}')
            listening.cancel()
            socket.transport.abort()
        if self.pinged_at is not None:
            self.waits.pongs.append(clock() - self.pinged_at)
        if self.asked_at is not None and clock() - self.asked_at > PAUSE_S:
            self.waits.answers.append(clock() - self.asked_at)

    async def listen(self, socket: ClientConnection) -> None:
        """Note when what was waited for comes."""
        clock = asyncio.get_running_loop().time
        async for message in socket:
            match json.loads(message)["type"]:
                case "pong" if self.pinged_at is not None:
                    self.waits.pongs.append(clock() - self.pinged_at)
                    self.pinged_at = None
                case "final" if self.asked_at is not None:
                    self.waits.answers.append(clock() - self.asked_at)
                    self.asked_at = None


async def behaved(address: str, sessions: int, seconds: float) -> Waits:
    """Run the sessions that behave, for so long."""
    waits = Waits()
    begin = asyncio.get_running_loop().time() + 0.2
    tasks = [
        Session(waits, begin + seconds).run(f"ws://{address}/v1/pcm", begin + n * 0.05)
        for n in range(sessions)
    ]
    for ended in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(ended, BaseException):
            waits.pongs.append(seconds)
    return waits


# ---- the server ---------------------------------------------------------------------------------


def rss(process: int) -> int:
    """Read the memory of a process, MiB."""
    pages = int(Path(f"/proc/{process}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") >> 20


def descriptors(process: int) -> int:
    """Count the open descriptors of a process."""
    return len(os.listdir(f"/proc/{process}/fd"))


def places_free(address: str) -> float:
    """Tell after how many seconds no session has a place any more; LONGEST_S: not so soon."""
    begin = time.monotonic()
    while (waited := time.monotonic() - begin) < LONGEST_S:
        with (
            contextlib.suppress(OSError),
            urlopen(f"http://{address}/readyz", timeout=LONGEST_S) as response,
        ):
            if not json.load(response)["sessions"]:
                return waited
        time.sleep(0.1)
    return LONGEST_S


async def sample(process: int, seen: dict[str, list[int]]) -> None:
    """Look at the server four times a second."""
    while True:
        seen["rss"].append(rss(process))
        seen["descriptors"].append(descriptors(process))
        await asyncio.sleep(0.25)


def p95(waits: list[float]) -> float | None:
    """Give the 95th percentile in milliseconds."""
    return round(sorted(waits)[int(0.95 * (len(waits) - 1) + 0.5)] * 1e3, 1) if waits else None


async def measure(
    kind: str, process: int, address: str, sessions: int, seconds: float
) -> dict[str, Any]:
    """Measure under one attack."""
    seen = {"rss": [rss(process)], "descriptors": [descriptors(process)]}
    sampling = asyncio.create_task(sample(process, seen))
    with attack(kind, address, seconds) as attacker:
        waits = await behaved(address, sessions, seconds)
        if attacker is not None and kind in ("vanishing", "retrieves"):
            await asyncio.to_thread(attacker.wait, 120)
    left = await asyncio.to_thread(places_free, address)
    await asyncio.sleep(2)
    sampling.cancel()
    return {
        "answer": p95(waits.answers),
        "answers": len(waits.answers),
        "pong": p95(waits.pongs),
        "rss": [seen["rss"][0], max(seen["rss"]), rss(process)],
        "descriptors": [seen["descriptors"][0], max(seen["descriptors"])],
        "places_free_after_s": round(left, 1),
    }


def main(arguments: list[str] | None = None) -> None:
    """Measure each attack in turn and print the figures; or be one attack."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sessions", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--only", nargs="+", choices=("quiet", *ATTACKS))
    parser.add_argument("--smoke", action="store_true", help="a few seconds of two attacks")
    parser.add_argument("--attack", nargs=2, metavar=("KIND", "ADDRESS"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.attack:
        kind, address = options.attack
        host, port = address.split(":")
        ATTACKS[kind](host, int(port), time.monotonic() + options.seconds)
        return
    os.environ.setdefault("REALTIME_WORKER_THREADS", "1")  # of the server; one core is for us
    kinds = options.only or ["quiet", *ATTACKS]
    sessions, seconds = options.sessions, options.seconds
    if options.smoke:
        kinds, sessions, seconds = ["quiet", "audio", "vanishing"], 2, 5.0
    result: dict[str, Any] = {}
    for kind in kinds:
        # A server of its own for each: what one attack leaves behind is not the next one's.
        with serving() as (process, address):
            result[kind] = asyncio.run(measure(kind, process, address, sessions, seconds))
        print(kind, result[kind], file=sys.stderr)
    print(json.dumps({"script": "bench_floods", "sessions": sessions, **result}))


if __name__ == "__main__":
    main()
