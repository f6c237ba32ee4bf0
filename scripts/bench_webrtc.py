"""What WebRTC costs the gateway: memory and files after calls that vanish, and CPU per stream.

A server of its own (`realtime serve`, the bundled model) takes calls of real peers that connect and
vanish without a goodbye; afterwards its memory, open files and threads are read from /proc. Then
the CPU time of the gateway's process is read while WebRTC streams run in real time, and the same
with plain PCM over WebSocket, 20 ms a message, in the same run. Prints one line of JSON.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import numpy as np
import typer
from bench.caller import Caller, calling, dial
from rich.console import Console
from websockets.asyncio.client import connect

ROOT = Path(__file__).parents[1]
TICKS = os.sysconf("SC_CLK_TCK")
LIMITS = {
    "REALTIME_WEBRTC_PEERS": "300",
    "REALTIME_ADMISSION_SESSIONS": "300",
    "REALTIME_ADMISSION_PARKED": "0",  # conversations that are kept for who comes back are no leak
}
CLEARED_S = 90.0
"""How long the server may take to notice that peers vanished: consent lasts 30 s (RFC 7675 5.1)."""

say = Console(stderr=True).print


def main(
    cycles: Annotated[int, typer.Option(help="Calls that connect and vanish.")] = 200,
    warm: Annotated[int, typer.Option(help="Such calls before anything is measured.")] = 200,
    streams: Annotated[int, typer.Option(help="Streams at once, of each kind.")] = 10,
    seconds: Annotated[float, typer.Option(help="How long the streams run.")] = 20.0,
) -> None:
    """Measure."""
    result = asyncio.run(measure(cycles, warm, streams, seconds))
    print(json.dumps({"script": "bench_webrtc", **result}))


async def measure(cycles: int, warm: int, streams: int, seconds: float) -> dict[str, Any]:
    """Start a server, and measure both."""
    async with serving() as (pid, url):
        say(f"{warm} calls to begin with")
        await vanishing(url, warm)
        states = [state(pid)]
        for _ in range(2):
            say(f"{states[-1]}; {cycles} calls connect and vanish")
            await vanishing(url, cycles)
            states.append(state(pid))
        before, after, later = states
        say(f"{later}; {streams} streams of each kind, {seconds:g} s")
        idle = await busy(pid, seconds)
        webrtc = await of_calls(pid, url, streams, seconds)
        websocket = await of_sockets(pid, url, streams, seconds)
    share = [1000 * (cpu - idle) / streams for cpu in (webrtc, websocket)]
    return {
        "cycles": cycles,
        "before": before,
        "after": after,
        "after_as_many_again": later,
        "streams": streams,
        "cpu_ms_per_second": {
            "idle": round(1000 * idle, 2),
            "webrtc_stream": round(share[0], 2),
            "websocket_stream": round(share[1], 2),
        },
        "webrtc_over_websocket": round(share[0] / share[1], 1),
    }


@asynccontextmanager
async def serving() -> AsyncIterator[tuple[int, str]]:
    """Run the server; give its process and its address."""
    with tempfile.TemporaryFile() as log:
        server = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "realtime", "serve", "--port", "0", "--log-json"),
            cwd=ROOT,
            env=os.environ | LIMITS,
            stderr=asyncio.subprocess.PIPE,
            stdout=log,
        )
        try:
            assert server.stderr is not None
            async for line in server.stderr:
                if b'"serving"' in line:
                    break
            url = re.search(rb'"address": "(.*?)"', line)
            assert url is not None, line
            draining = asyncio.create_task(server.stderr.read())
            yield server.pid, url[1].decode()
            draining.cancel()
        finally:
            server.terminate()
            await server.wait()


def state(pid: int) -> dict[str, float]:
    """Read a process's memory, open files and threads."""
    status = Path(f"/proc/{pid}/status").read_text()
    fields = dict(line.split(":", 1) for line in status.splitlines())
    return {
        "memory_mib": round(int(fields["VmRSS"].split()[0]) / 1024, 1),
        "files": len(os.listdir(f"/proc/{pid}/fd")),
        "threads": int(fields["Threads"]),
    }


async def vanishing(url: str, cycles: int) -> None:
    """Let callers connect and vanish, and wait until the server has noticed."""
    for _ in range(cycles):
        caller = await dial(url)
        await caller.until("session.created")
        await vanish(caller)
    async with asyncio.timeout(CLEARED_S), httpx.AsyncClient(trust_env=False) as http:
        while (await http.get(f"{url}/readyz")).json()["sessions"]:  # noqa: ASYNC110
            await asyncio.sleep(1)


async def vanish(caller: Caller) -> None:
    """Be gone without a goodbye."""
    sctp = caller.connection.sctp
    assert sctp is not None
    for protocol in sctp.transport.transport._connection._protocols:
        protocol.transport.abort()
    await caller.close()


async def busy(pid: int, seconds: float) -> float:
    """Give the seconds of CPU per second that a process takes."""
    loop = asyncio.get_running_loop()
    began, before = loop.time(), cpu(pid)
    await asyncio.sleep(seconds)
    return (cpu(pid) - before) / (loop.time() - began)


def cpu(pid: int) -> float:
    """Read the seconds of CPU that a process has taken."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


async def of_calls(pid: int, url: str, streams: int, seconds: float) -> float:
    """Measure while WebRTC streams run."""
    async with AsyncExitStack() as stack:
        for _ in range(streams):
            caller = await stack.enter_async_context(calling(url))
            await caller.until("session.created")
        return await busy(pid, seconds)


async def of_sockets(pid: int, url: str, streams: int, seconds: float) -> float:
    """Measure while WebSocket streams run."""
    frame = np.zeros(320, np.int16).tobytes()
    loop = asyncio.get_running_loop()

    async def stream() -> None:
        address = url.replace("http", "ws", 1) + "/v1/pcm"
        async with connect(address, proxy=None, compression=None) as socket:
            began = loop.time()
            for number in itertools.count(1):
                await socket.send(frame)
                await asyncio.sleep(max(0.0, began + number * 0.02 - loop.time()))

    running = [asyncio.create_task(stream()) for _ in range(streams)]
    try:
        await asyncio.sleep(1)
        return await busy(pid, seconds)
    finally:
        for task in running:
            task.cancel()
        await asyncio.wait(running)


if __name__ == "__main__":
    typer.run(main)
