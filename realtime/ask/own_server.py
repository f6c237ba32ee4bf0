"""A server for one conversation: on a free port of the loopback, gone when it is over.

It lives in this process, and its worker ends when this process does, however that ends.
"""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
import uvicorn
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn

from realtime import config
from realtime.ask.questions import quiet
from realtime.engine.api import Engine, Loading
from realtime.engine.process import WorkerEngine
from realtime.gateway.app import create_app
from realtime.gateway.server import MAX_MESSAGE, Server, bind
from realtime.gateway.websocket import PeerProtocol


@asynccontextmanager
async def own_server(model: str | None, console: Console) -> AsyncIterator[str]:
    """Start a server with the settings of the environment; give its address, stop it at the end."""
    structlog.configure(  # by default it writes to stdout, which belongs to the answers
        wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    options: dict[config.Key, object] = {("worker", "model"): model}
    settings = config.load(environment=config.environment(), options=options)
    async with WorkerEngine(settings.worker) as engine:
        await ready(engine, console)
        async with served(settings, engine) as url:
            yield url


async def ready(engine: WorkerEngine, console: Console) -> None:
    """Wait behind a progress bar until the model is loaded."""
    columns = (TextColumn("{task.description}"), BarColumn(), TaskProgressColumn())
    with Progress(*columns, console=console, transient=True, disable=quiet(console)) as progress:
        task = progress.add_task("starting", total=1.0)

        def tell(loading: Loading) -> None:
            progress.update(task, description=loading.stage, completed=loading.fraction)

        engine.on_loading = tell
        try:
            await engine.ready()
        finally:
            engine.on_loading = None


@asynccontextmanager
async def served(settings: config.Settings, engine: Engine) -> AsyncIterator[str]:
    """Serve an engine on a free port of the loopback; give the address."""
    with bind("127.0.0.1", 0) as listening:
        server = Server(
            uvicorn.Config(
                create_app(settings, engine),
                http="httptools",
                ws=PeerProtocol,
                ws_max_size=MAX_MESSAGE,
                ws_per_message_deflate=False,
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                timeout_graceful_shutdown=2,
            )
        )
        serving = asyncio.create_task(server.serve(sockets=[listening]))
        try:
            yield f"ws://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            await serving
