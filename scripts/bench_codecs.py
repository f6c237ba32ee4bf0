"""Measure what a 20 ms frame costs over /v1/realtime (JSON, base64, 24 kHz) beside /v1/pcm.

Prints one JSON line, microseconds of CPU per frame. `codec`: decoding alone, to samples at 16 kHz.
`gateway`: the whole serving process (socket, codec, voice activity, session) of a real server under
paced streams of a quiet room, the median of the rounds; `streams_per_core` follows from it. The
sides take turns in one run: `pcm` is /v1/pcm at 16 kHz, `pcm24` at 24 kHz, `openai` the other.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

import numpy as np
from websockets.asyncio.client import connect

from realtime.protocols import Codec
from realtime.protocols.openai.codec import OpenAiCodec
from realtime.protocols.openai.session import Defaults
from realtime.protocols.pcm import PcmCodec

ROOT = Path(__file__).parents[1]
FRAME_MS = 20
FRAMES = 50  # of noise, repeated
Messages = list[bytes] | list[str]


def noise(rate: int) -> list[bytes]:
    """Make frames of a quiet room: white noise at -60 dBFS, s16le mono."""
    rng = np.random.default_rng(0)
    samples = (rng.standard_normal(FRAMES * rate * FRAME_MS // 1000) * 32.8).astype("<i2")
    return [part.tobytes() for part in np.split(samples, FRAMES)]


def appended(frames: list[bytes]) -> list[str]:
    """Wrap frames as input_audio_buffer.append."""
    audio = (base64.b64encode(frame).decode() for frame in frames)
    return [json.dumps({"type": "input_audio_buffer.append", "audio": a}) for a in audio]


SIDES: dict[str, tuple[str, Messages]] = {
    "pcm": ("/v1/pcm", noise(16_000)),
    "pcm24": ("/v1/pcm?rate=24000", noise(24_000)),
    "openai": ("/v1/realtime?model=any", appended(noise(24_000))),
}


# ---- decoding alone -----------------------------------------------------------------------------


def codecs() -> dict[str, Callable[[], Codec]]:
    """List how each side's codec is made."""
    return {
        "pcm": lambda: PcmCodec(),
        "pcm24": lambda: PcmCodec(24_000),
        "openai": lambda: OpenAiCodec(expires_at=0, defaults=Defaults()),
    }


def decoding(codec: Codec, messages: Messages, seconds: int = 60) -> float:
    """Measure microseconds per frame, the best of five runs."""
    best = float("inf")
    for _ in range(5):
        begin = time.process_time()
        for _ in range(seconds):
            for message in messages:
                for _ in codec.decode(message):
                    pass
        best = min(best, time.process_time() - begin)
    return best / (seconds * len(messages)) * 1e6


# ---- the serving process ------------------------------------------------------------------------


@contextmanager
def serving() -> Iterator[tuple[int, str]]:
    """Run `realtime serve`; give its process id and its host and port."""
    command = [sys.executable, "-m", "realtime", "serve", "--port", "0"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    try:
        assert process.stdout
        found = next(m for line in process.stdout if (m := re.search(r"127\.0\.0\.1:\d+", line)))
        while not is_ready(f"http://{found[0]}/readyz"):
            time.sleep(0.2)
        yield process.pid, found[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.communicate()


def is_ready(url: str) -> bool:
    """Ask whether the model is loaded."""
    try:
        with urlopen(url) as response:
            return bool(response.status == 200)
    except URLError:
        return False


def cpu_seconds(process: int) -> float:
    """Read the CPU time that a process has used, user and system."""
    fields = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def stream(url: str, messages: Messages, count: int, begin: float) -> None:
    """Send frames as a microphone does, from a moment of the loop's clock on."""
    clock = asyncio.get_running_loop().time
    async with connect(url, ping_interval=None) as socket:
        for i in range(count):
            await asyncio.sleep(begin + i * FRAME_MS / 1000 - clock())
            await socket.send(messages[i % len(messages)])


async def load(process: int, url: str, messages: Messages, streams: int, seconds: float) -> float:
    """Measure microseconds per frame of a process under paced streams; dialling is left out."""
    count = int(seconds * 1000 / FRAME_MS)
    begin = asyncio.get_running_loop().time() + 2
    async with asyncio.TaskGroup() as group:
        for i in range(streams):
            start = begin + i * FRAME_MS / 1000 / streams
            group.create_task(stream(url, messages, count, start))
        await asyncio.sleep(2)
        before = cpu_seconds(process)
        await asyncio.sleep(seconds - 0.1)
        used = cpu_seconds(process) - before
    return used / (streams * count) * 1e6


def main(arguments: list[str] | None = None) -> None:
    """Measure both and print the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args(arguments)
    codec = {name: decoding(make(), SIDES[name][1]) for name, make in codecs().items()}
    rounds: dict[str, list[float]] = {name: [] for name in SIDES}
    with serving() as (process, address):
        for _ in range(options.rounds):
            for name, (path, messages) in SIDES.items():
                url = f"ws://{address}{path}"
                used = asyncio.run(load(process, url, messages, options.streams, options.seconds))
                rounds[name].append(used)
    gateway = {name: statistics.median(figures) for name, figures in rounds.items()}
    result = {
        "codec": {name: round(figure, 1) for name, figure in codec.items()},
        "gateway": {name: round(figure, 1) for name, figure in gateway.items()},
        "extra": round(gateway["openai"] - gateway["pcm"], 1),
        "streams_per_core": {name: round(FRAME_MS * 1000 / gateway[name]) for name in gateway},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
