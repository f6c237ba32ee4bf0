"""A server process for the tests of signals: a scripted engine that a line on stdin lets go on.

Its arguments are how many seconds it drains, and the file that a hangup makes it read. It prints
its port.
"""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from fakes import LoudVad

from realtime import log
from realtime.cli.reload import reload
from realtime.config import Settings, load
from realtime.engine.api import Delta
from realtime.engine.fake import FakeEngine
from realtime.gateway.http.server import Server, bind, serve
from realtime.gateway.http.settings import ServerConfig
from realtime.gateway.routes.app import create_app


async def main(drain_s: float, file: Path) -> bool:
    log.configure()
    gate = asyncio.Event()
    asyncio.get_running_loop().add_reader(sys.stdin, gate.set)
    engine = FakeEngine(lambda _: [Delta((1,), "Well"), gate, Delta((2,), " done.", "stop")])
    config = ServerConfig(drain_s=drain_s)
    settings = Settings(server=config)
    app = create_app(settings, engine, vad_factory=LoudVad)
    with bind("127.0.0.1", 0) as listening:
        print(listening.getsockname()[1], flush=True)

        def hung_up(server: Server) -> None:
            reload(server, app.state.gateway, settings, lambda: load(file=file))

        return await serve(app, listening, config, hung_up)


sys.exit(130 if asyncio.run(main(float(sys.argv[1]), Path(sys.argv[2]))) else 0)
