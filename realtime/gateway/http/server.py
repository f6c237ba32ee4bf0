"""One listening socket, uvicorn on it, and what the operator's signals do.

The port is bound before anything is loaded, so that a port in use is told at once. The first
SIGTERM or SIGINT drains: nobody new comes in, answers under way finish. The second ends at once.
What SIGHUP does is told to us.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import signal
import socket
import ssl
from collections.abc import Callable, Generator
from functools import partial
from ipaddress import ip_address
from typing import Any, Protocol

import uvicorn
from starlette.applications import Starlette

from realtime.errors import ConfigError
from realtime.gateway.http.listener import Listener, raise_descriptor_limit
from realtime.gateway.http.protocol import MOST_BACKLOG, HttpProtocol
from realtime.gateway.http.settings import ServerConfig
from realtime.gateway.http.strangers import Stranger, Strangers
from realtime.gateway.http.tls import tls_context
from realtime.transports.incoming import Incoming
from realtime.transports.websocket import PeerProtocol, SocketLimits

MAX_MESSAGE = 1 << 20  # bytes; longer ones are closed with 1009
SEND_BUFFER = 256 << 10
"""Bytes that the kernel may hold for one peer. Left alone it grows to megabytes, and a peer that
does not read would be found out, and text that a barge-in makes void recalled, that much later."""

CLOSE_S = 6.0  # for the peers to take their last messages
HURRY_S = 0.5
STRANGERS_SHARE = 4
"""Of how many descriptors one may be a stranger's: the others are for those who were let in."""


class Service(Protocol):
    """What is served, as the server sees it; the `state.gateway` of an application."""

    def socket_limits(self) -> SocketLimits:
        """Say what WebSockets may carry that are opened from now on."""
        ...

    async def drain(self, seconds: float) -> None:
        """Let nobody in; close each connection when its answer is done. Wait at most so long."""
        ...

    async def close(self, seconds: float) -> None:
        """Let nobody in and close every connection. Wait at most so long."""
        ...


class Server(uvicorn.Server):
    """uvicorn, which leaves the signals to us (it would cut answers off and end by the signal),
    and the way in as well (see listener.py)."""

    def __init__(self, app: Starlette, config: ServerConfig) -> None:
        self.app = app
        self.service: Service = app.state.gateway
        self.incoming = Incoming(config.unread_bytes)
        self.backlog = Incoming(MOST_BACKLOG)
        self.strangers = Strangers(most=1, most_of_one=1)
        self.listener: Listener | None = None
        super().__init__(self.uvicorn_config(config))
        self.change(config, tls_context(config))

    def change(self, config: ServerConfig, tls: ssl.SSLContext | None) -> None:
        """Serve by these settings; some of them are for new connections only."""
        self.config = self.uvicorn_config(config)
        self.drain_s = config.drain_s
        self.incoming.most = config.unread_bytes
        most = raise_descriptor_limit() // STRANGERS_SHARE
        self.strangers.most = min(config.strangers, most)
        self.strangers.most_of_one = min(config.strangers_per_address, most)
        self.tls = tls
        if self.listener is not None:
            self.listener.tls = tls

    def uvicorn_config(self, config: ServerConfig) -> uvicorn.Config:
        """Say in uvicorn's words how it shall serve."""
        protocol: Any = partial(
            PeerProtocol, limits=self.service.socket_limits(), incoming=self.incoming
        )
        return uvicorn.Config(
            self.app,
            http=HttpProtocol,
            ws=protocol,
            ws_max_size=MAX_MESSAGE,
            ws_per_message_deflate=False,
            ws_ping_interval=config.ping_interval_s,
            ws_ping_timeout=config.ping_interval_s,
            lifespan="off",
            # uvicorn logs addresses with their query, and ours has the resume secret in it;
            # below it websockets would log headers, and theirs has keys in it.
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=2,
        )

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Take no signals."""
        yield

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Be ready to accept connections."""
        self.servers = []
        self.listener = Listener(sockets or (), self.strangers, self.connection, self.tls)
        self.started = True

    async def main_loop(self) -> None:
        """Accept connections until the end."""
        assert self.listener is not None
        async with asyncio.TaskGroup() as group:
            accepting = group.create_task(self.listener.run())
            await super().main_loop()
            accepting.cancel()

    def connection(self, stranger: Stranger) -> asyncio.Protocol:
        """Serve a connection."""
        return HttpProtocol(
            stranger,
            self.backlog,
            config=self.config,
            server_state=self.server_state,
            app_state={},
        )


def bind(host: str, port: int, *, loopback_only: bool = False) -> socket.socket:
    """Listen on an address; raise ConfigError saying what to do when it cannot be had."""
    try:
        family, kind, proto, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
    except (socket.gaierror, UnicodeError):
        raise ConfigError(f"The host {host!r} is not known; 127.0.0.1 is this machine.") from None
    if loopback_only and not ip_address(address[0]).is_loopback:
        raise ConfigError(
            f"Without a key only this machine may come in, and {host} lets others in: "
            "`realtime key new FILE` makes a key, --key-file FILE uses it; or leave --host out."
        )
    listening = socket.socket(family, kind, proto)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)  # is inherited
        listening.bind(address)
        # Only listening tells that the port is ours: two sockets may bind, one may listen.
        listening.listen(2_048)
    except OSError as error:
        listening.close()
        raise ConfigError(refusal(host, port, error)) from None
    listening.setblocking(False)
    return listening


def refusal(host: str, port: int, error: OSError) -> str:
    """Say why an address cannot be listened on, and what can be done."""
    match error.errno:
        case errno.EADDRINUSE:
            return (
                f"Port {port} on {host} is in use by another program: choose another with "
                "--port, or --port 0 for any free one."
            )
        case errno.EACCES:
            return f"Port {port} is reserved for the system: choose one above 1023 with --port."
        case errno.EADDRNOTAVAIL:
            return f"{host} is no address of this machine: choose another with --host."
        case _:
            return f"Port {port} on {host} cannot be listened on: {error.strerror}."


def web_server(app: Starlette, config: ServerConfig) -> Server:
    """Make the server of an application; it runs by `serve(sockets=[...])`."""
    return Server(app, config)


async def serve(
    app: Starlette,
    listening: socket.socket,
    config: ServerConfig,
    hung_up: Callable[[Server], None] = lambda _: None,
) -> bool:
    """Serve what `create_app` made until a signal; tell whether a second one cut answers off.

    At a hangup `hung_up` is called, which may `change` the server.
    """
    server = web_server(app, config)
    # All that is loaded by now stays; the collector need not look at it again and again.
    gc.collect()
    gc.freeze()

    with stop_signals() as (asked, hurried), hangups(partial(hung_up, server)):
        async with asyncio.TaskGroup() as group:
            group.create_task(server.serve(sockets=[listening]))
            try:
                await asked.wait()
                draining = group.create_task(server.service.drain(server.drain_s))
                hurrying = group.create_task(hurried.wait())
                await asyncio.wait({draining, hurrying}, return_when=asyncio.FIRST_COMPLETED)
                draining.cancel()
                hurrying.cancel()
            finally:
                await server.service.close(HURRY_S if hurried.is_set() else CLOSE_S)
                server.force_exit = hurried.is_set()
                server.should_exit = True
        return hurried.is_set()


@contextlib.contextmanager
def stop_signals() -> Generator[tuple[asyncio.Event, asyncio.Event], None, None]:
    """Set the first event at the first signal to stop, and the second at the second."""
    loop = asyncio.get_running_loop()
    events = asyncio.Event(), asyncio.Event()

    def stop() -> None:
        events[events[0].is_set()].set()

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield events
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


@contextlib.contextmanager
def hangups(hung_up: Callable[[], None]) -> Generator[None, None, None]:
    """Call a function at each hangup, which ends nothing, afterwards neither."""
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, hung_up)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
