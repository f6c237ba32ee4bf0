"""A server process for the tests of signals: a scripted engine that a line on stdin lets go on.

Its second argument is how many seconds it drains. It prints its port.
"""

from __future__ import annotations

import asyncio
import sys

from fakes import LoudVad

from realtime.config import ServerConfig, Settings
from realtime.engine.api import Delta
from realtime.engine.fake import FakeEngine
from realtime.gateway.app import create_app
from realtime.gateway.server import bind, serve


async def main(drain_s: float) -> bool:
    gate = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, gate.set)
    engine = FakeEngine(lambda _: [Delta((1,), "Well"), gate, Delta((2,), " done.", "stop")])
    config = ServerConfig(drain_s=drain_s)
    app = create_app(Settings(server=config), engine, vad_factory=LoudVad)
    with bind("127.0.0.1", 0) as listening:
        print(listening.getsockname()[1], flush=True)
        return await serve(app, listening, config)


sys.exit(130 if asyncio.run(main(float(sys.argv[1]))) else 0)
