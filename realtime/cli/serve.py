"""The command `realtime serve`: options become settings, loading becomes a bar, errors a sentence.

Exit codes: 0 stopped by a signal, 1 the model cannot be loaded, 2 a setting cannot be used,
130 stopped by a second signal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import socket
import sys
import textwrap
from collections.abc import Callable, Collection, Generator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn, TextIO, cast

import typer

if TYPE_CHECKING:
    from realtime.config import Key, Settings
    from realtime.engine.api import Loading, ModelInfo
    from realtime.engine.worker.engine import WorkerEngine
    from realtime.gateway.http.server import Server
    from realtime.gateway.http.settings import ServerConfig

STOPPED_TWICE = 130
IN_THE_CLEAR = (
    "keys and speech cross the network unencrypted: give --tls-certificate and --tls-key, or set "
    "server.tls_by_proxy where a proxy speaks TLS"
)


def serve(
    host: Annotated[
        str | None, typer.Option(help="Address to listen on; 0.0.0.0 is every one; else 127.0.0.1.")
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0 takes any free one; else 8765.")
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="PATH_OR_HUB_ID",
            help="A Qwen2-Audio checkpoint; else the bundled demonstration.",
        ),
    ] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda or cuda:N.")] = None,
    dtype: Annotated[str | None, typer.Option(help="auto, float32, bfloat16 or float16.")] = None,
    attention: Annotated[
        str | None, typer.Option(help="sdpa, eager, or flash_attention_2 (CUDA and flash-attn).")
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="auto, int8 or fp8: 8-bit weights of the language model take half the memory "
            "(needs torchao)."
        ),
    ] = None,
    kv_dtype: Annotated[
        str | None,
        typer.Option(
            help="auto or fp8: what is kept of each conversation in 8 bits, room for twice as many."
        ),
    ] = None,
    graphs: Annotated[
        bool | None,
        typer.Option(
            "--graphs/--no-graphs",
            help="Record decode steps as CUDA graphs at start: faster answers for some memory; on "
            "a CPU there are none.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(help="CPU threads of the model; else chosen by its size and the cores."),
    ] = None,
    key_file: Annotated[
        str | None,
        typer.Option(
            metavar="FILE",
            help="API keys that may come in (see `realtime key new`); without any, this machine.",
        ),
    ] = None,
    tls_certificate: Annotated[
        str | None, typer.Option(metavar="FILE", help="Certificate chain in PEM, for https.")
    ] = None,
    tls_key: Annotated[
        str | None, typer.Option(metavar="FILE", help="The certificate's private key in PEM.")
    ] = None,
    config: Annotated[Path | None, typer.Option(metavar="FILE", help="Settings in TOML.")] = None,
    log_json: Annotated[
        bool | None, typer.Option("--log-json", help="Log lines of JSON to stderr.")
    ] = None,
) -> None:
    """Serve the assistant on one port.

    Examples:

      realtime serve

      realtime serve --host 0.0.0.0 --port 9000 --key-file keys.txt

      realtime serve --model Qwen/Qwen2-Audio-7B-Instruct --device cuda

      realtime serve --model Qwen/Qwen2-Audio-7B-Instruct \\
        --weights int8 --kv-dtype fp8

      realtime serve --config realtime.toml --log-json

    Whatever the file can say, the environment can: port of section server is
    REALTIME_SERVER_PORT.
    """
    # A hangup ends nothing; once we serve it says that the settings shall be read again.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    options: dict[Key, object] = {
        ("server", "host"): host,
        ("server", "port"): port,
        ("server", "log_json"): log_json,
        ("server", "tls_certificate"): tls_certificate,
        ("server", "tls_key"): tls_key,
        ("auth", "key_file"): key_file,
        ("worker", "model"): model,
        ("worker", "device"): device,
        ("worker", "dtype"): dtype,
        ("worker", "attention"): attention,
        ("worker", "weights"): weights,
        ("worker", "kv_dtype"): kv_dtype,
        ("worker", "graphs"): graphs,
        ("worker", "threads"): threads,
    }
    start(config, options)


def start(file: Path | None, options: dict[Key, object]) -> None:
    """Read the settings and run; put what cannot be used or ends it into a sentence and a code."""
    from realtime.config import environment, load
    from realtime.errors import ConfigError, RealtimeError
    from realtime.service_links import service_links

    try:
        variables = environment()

        def read() -> Settings:
            return load(file=file, environment=variables, options=options)

        settings = read()
    except ConfigError as error:
        leave(str(error), 2)
    as_json = settings.server.log_json
    try:
        if run(settings, read, service_links(variables)):
            cut_off = "stopped at once; answers under way were cut off"
            leave(cut_off, STOPPED_TWICE, as_json=as_json)
    except ConfigError as error:
        leave(str(error), 2, as_json=as_json)
    except RealtimeError as error:
        leave(str(error), 1, as_json=as_json)


def leave(reason: str, code: int, *, as_json: bool = False) -> NoReturn:
    """Say in one sentence why, once, and exit."""
    if as_json:
        import structlog

        structlog.get_logger().error("stopped", reason=reason, code=code)
    else:
        with contextlib.suppress(OSError, ValueError):  # perhaps nobody listens any more
            typer.echo(f"realtime: {reason}", err=True)
    raise typer.Exit(code)


def run(settings: Settings, read: Callable[[], Settings], ignored: Collection[str] = ()) -> bool:
    """Bind the port, load the model, serve until a signal; tell whether a second one came.

    The settings are read again whenever SIGHUP says so; `ignored` are variables that are none.
    """
    import uvloop

    from realtime import log
    from realtime.engine.checkpoint import locate
    from realtime.gateway.access.keys import Keyring
    from realtime.gateway.http.server import bind
    from realtime.gateway.http.tls import tls_context

    log.configure(level=settings.server.log_level, json=settings.server.log_json)
    if ignored:
        log_line("ignored, as they are Kubernetes' service links", variables=sorted(ignored))
    tls_context(settings.server)
    keyless = not Keyring(settings.auth).required
    locate(settings.worker.model)  # a wrong name is told at once, whatever else is wrong
    with (
        bind(settings.server.host, settings.server.port, loopback_only=keyless) as listening,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        if not keyless and in_the_clear(settings.server, listening):
            warn(IN_THE_CLEAR)
        return runner.run(serve_model(settings, listening, read))


async def serve_model(
    settings: Settings, listening: socket.socket, read: Callable[[], Settings]
) -> bool:
    """Serve while the model loads and after; raise when there will never be an answer (again)."""
    from realtime.cli.reload import reload
    from realtime.engine.worker.engine import WorkerEngine
    from realtime.errors import RealtimeError
    from realtime.gateway.http.server import serve as serve_app
    from realtime.gateway.routes.app import create_app

    hurried = False
    async with WorkerEngine(settings.worker) as engine:
        app = create_app(settings, engine)
        keys = app.state.gateway.authenticator.keyring.describe()

        def hung_up(server: Server) -> None:
            nonlocal settings
            settings = reload(server, app.state.gateway, settings, read)

        url = address(listening, tls=settings.server.tls_certificate is not None)
        try:
            async with asyncio.TaskGroup() as group:
                watching = group.create_task(watch(engine, settings, url, keys))
                hurried = await serve_app(app, listening, settings.server, hung_up)
                watching.cancel()
        except* RealtimeError as failed:
            raise failed.exceptions[0] from None
    return hurried


def address(listening: socket.socket, *, tls: bool = False) -> str:
    """Give the address that a browser on this machine would use."""
    host, port = listening.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)
    return f"{'https' if tls else 'http'}://{host}:{port}"


async def watch(engine: WorkerEngine, settings: Settings, address: str, keys: str) -> None:
    """Tell of the engine's loading; raise what ends it for good, now or later."""
    await tell(engine, settings, address, keys)
    assert engine.supervisor is not None
    await asyncio.wait({engine.supervisor})
    if engine.failure is not None:
        raise engine.failure


async def tell(engine: WorkerEngine, settings: Settings, address: str, keys: str) -> None:
    """Show how loading goes, and at its end what is served and how to try it."""
    from rich.console import Console

    from realtime.cli.shared.progress import loading_bar
    from realtime.log import terminal

    console = Console(file=cast("TextIO", terminal()))
    plain = settings.server.log_json or not console.is_terminal
    with logged() if plain else loading_bar(console) as engine.on_loading:
        model = await engine.ready()
    if plain:
        log_line("serving", address=address, keys=keys, **model.told())
    else:
        text = banner(settings, model, address, keys, own_name())
        # Wrapped by the terminal alone, a command can be copied however narrow that is.
        console.print(text, markup=False, highlight=False, soft_wrap=True)


@contextmanager
def logged() -> Generator[Callable[[Loading], None], None, None]:
    """Write a log line for each new stage."""
    stage = ""

    def show(loading: Loading) -> None:
        nonlocal stage
        if loading.stage not in (stage, "failed"):
            stage = loading.stage
            log_line("loading", stage=stage)

    yield show


def in_the_clear(config: ServerConfig, listening: socket.socket) -> bool:
    """Tell whether what others send here, keys and speech, can be read on the way."""
    from ipaddress import ip_address

    protected = config.tls_certificate is not None or config.tls_by_proxy
    return not protected and not ip_address(listening.getsockname()[0]).is_loopback


def warn(event: str) -> None:
    """Write a warning to the log."""
    import structlog

    structlog.get_logger().warning(event)


def log_line(event: str, **more: object) -> None:
    """Write one line to the log."""
    import structlog

    structlog.get_logger().info(event, **more)


def banner(
    settings: Settings, model: ModelInfo, address: str, keys: str, command: str = "realtime"
) -> str:
    """Say what is served, where, and what to do next; what can be copied stands on one line."""
    from realtime.config import DEMO_MODEL

    key = "" if keys.startswith("none") else "; ask takes one from REALTIME_KEY"
    memory = textwrap.wrap(
        f"  memory     {model.memory}", width=78, subsequent_indent=" " * len("  memory     ")
    )
    lines = [
        f"realtime is listening on {address}",
        f"  model      {model.name} ({model.parameters / 1e6:,.1f} million parameters)",
        f"  device     {model.device}, {model.dtype}{threads_of(model)}",
        *(memory if model.memory else []),
        f"  try        {address} in a browser",
        f"             {command} ask question.wav --url {address.replace('http', 'ws', 1)}",
        f"  keys       {keys}{key}",
        "  stop       Ctrl-C: answers under way finish; twice to stop at once",
    ]
    if settings.worker.model == str(DEMO_MODEL):
        lines += [
            "This is the bundled demonstration model: it knows a small domain of synthesised",
            "speech, nothing else. A real one:",
            f"             {command} serve --model Qwen/Qwen2-Audio-7B-Instruct",
        ]
    return "\n".join(lines)


def threads_of(model: ModelInfo) -> str:
    """Say with how many threads the model computes, if that is known."""
    if not model.threads:
        return ""
    return f", {model.threads} thread{'s' if model.threads > 1 else ''}"


def own_name() -> str:
    """Name this program as it can be typed: by name if it is on the path, else by its place."""
    if shutil.which("realtime"):
        return "realtime"
    program = Path(sys.argv[0])
    return "python -m realtime" if program.name == "__main__.py" else os.path.relpath(program)
