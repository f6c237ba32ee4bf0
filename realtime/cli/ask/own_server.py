"""A server for one conversation: on a free port of the loopback, gone when it is over.

It lives in this process, and its worker ends when this process does, however that ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

from rich.console import Console

from realtime import config, log
from realtime.cli.shared.progress import loading_bar
from realtime.engine.api import Engine
from realtime.engine.worker.engine import WorkerEngine
from realtime.gateway.access.settings import AuthConfig
from realtime.gateway.http.server import bind, web_server
from realtime.gateway.routes.app import create_app


@asynccontextmanager
async def own_server(model: str | None, console: Console) -> AsyncIterator[str]:
    """Start a server with the settings of the environment; give its address, stop it at the end."""
    options: dict[config.Key, object] = {("worker", "model"): model}
    settings = config.load(environment=config.environment(), options=options)
    # It is on the loopback, for us alone; keys in the environment are for the server that stays.
    settings = replace(settings, auth=AuthConfig())
    log.configure(level="critical")  # what goes wrong comes back as an error and is said once
    async with WorkerEngine(settings.worker) as engine:
        await ready(engine, console)
        async with served(settings, engine) as url:
            yield url


async def ready(engine: WorkerEngine, console: Console) -> None:
    """Wait behind a progress bar until the model is loaded."""
    with loading_bar(console) as engine.on_loading:
        await engine.ready()
    engine.on_loading = None


@asynccontextmanager
async def served(settings: config.Settings, engine: Engine) -> AsyncIterator[str]:
    """Serve an engine on a free port of the loopback; give the address."""
    with bind("127.0.0.1", 0) as listening:
        server = web_server(create_app(settings, engine), settings.server)
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"ws://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
