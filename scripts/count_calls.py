"""Count the Python calls that a frame and a piece of an answer cross, and print one line of JSON.

    python scripts/count_calls.py

One connection over a real socket to a real server, the engine being scripted. A frame of 20 ms is
followed from where its bytes come (`PeerProtocol.data_received`) to the endpointer; a delta from
where the engine yields it to where its message is written (`PeerProtocol.send`). Only functions of
realtime/ count, each as often as it is called; that a coroutine goes on is no call.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import uvloop
from websockets.asyncio.client import ClientConnection, connect

from realtime.audio.pcm import FRAME, Pcm
from realtime.config import Settings
from realtime.engine.api import Delta, Request, Usage
from realtime.engine.fake import FakeEngine
from realtime.gateway.http.server import bind, web_server
from realtime.gateway.routes.app import create_app

PACKAGE = Path(__file__).parents[1] / "realtime"
RESUME_START = 0
"""The argument of CPython's RESUME where a function begins; others are for what goes on."""
SECONDS = 20.0

Call = tuple[str, str]
"""The file and the name of a function."""


class LoudVad:
    """Calls loud frames speech."""

    def __call__(self, frame: Pcm) -> int:
        return int(np.abs(frame).max() > 1000)

    def reset(self) -> None:
        """Forget nothing."""

    def demand(self, threshold: float) -> None:
        """Demand nothing."""


@contextmanager
def called() -> Iterator[list[Call]]:
    """Note every call of a function of ours."""
    calls: list[Call] = []

    def note(frame: FrameType, event: str, _: Any) -> None:
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(f"{PACKAGE}/"):
            return
        if code.co_code[frame.f_lasti + 1] == RESUME_START:
            file = str(Path(code.co_filename).relative_to(PACKAGE))
            calls.append((file, code.co_qualname))

    sys.setprofile(note)
    try:
        yield calls
    finally:
        sys.setprofile(None)


def between(calls: list[Call], first: str, last: str) -> list[Call]:
    """Give the calls from the first of one function to the first of another behind it."""
    names = [name for _, name in calls]
    start = names.index(first)
    return calls[start : names.index(last, start) + 1]


def told(calls: list[Call]) -> dict[str, object]:
    """Describe a way."""
    functions = [f"{file}:{name}" for file, name in calls]
    return {"calls": len(calls), "files": len({file for file, _ in calls}), "functions": functions}


async def until(socket: ClientConnection, wanted: Callable[[dict[str, Any]], bool]) -> None:
    """Read messages until one is wanted."""
    async with asyncio.timeout(SECONDS):
        while not wanted(json.loads(await socket.recv())):
            pass


async def count(port: int, gates: list[asyncio.Event]) -> dict[str, object]:
    """Follow a frame and a delta over one connection."""
    url = f"ws://127.0.0.1:{port}/v1/pcm?turn_detection=manual"
    quiet = np.zeros(FRAME, np.int16).tobytes()
    async with connect(url, proxy=None, compression=None) as socket:
        await until(socket, lambda message: message["type"] == "ready")
        for _ in range(50):
            await socket.send(quiet)
        await socket.send('{"type":"ping"}')
        await until(socket, lambda message: message["type"] == "pong")
        with called() as calls:
            await socket.send(quiet)
            await asyncio.sleep(0.2)
        frame = between(calls, "PeerProtocol.data_received", "Endpointer.push")
        await socket.send('{"type":"commit"}')
        await until(socket, lambda message: message["type"] == "partial")
        with called() as calls:
            gates[0].set()
            await until(socket, lambda message: message["type"] == "partial")
        ours = [call for call in calls if not call[0].startswith("engine/")]
        delta = between(ours, ours[0][1], "PeerProtocol.send")
        gates[1].set()
        await until(socket, lambda message: message["type"] == "final")
    return {"frame": told(frame), "delta": told(delta)}


async def main() -> None:
    """Serve, count, print."""
    gates = [asyncio.Event(), asyncio.Event()]

    def script(request: Request) -> list[Delta | asyncio.Event]:
        last = Delta((3,), " done.", "stop", Usage(10, 0, 3))
        return [Delta((1,), "Well"), gates[0], Delta((2,), ","), gates[1], last]

    settings = Settings()
    app = create_app(settings, FakeEngine(script), vad_factory=LoudVad)
    with bind("127.0.0.1", 0) as listening:
        server = web_server(app, settings.server)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            print(json.dumps(await count(listening.getsockname()[1], gates)))
        finally:
            server.should_exit = True
            await serving


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())
