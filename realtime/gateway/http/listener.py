"""The way in: connections are accepted one by one, counted, and bound to end their handshakes.

uvicorn would leave this to the event loop, whose listening ends without a word when descriptors
run out, which knows no connection before its TLS handshake is over, and waits a minute for that.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import resource
import socket
import ssl
from collections.abc import Callable, Iterable

import structlog

from realtime.gateway.http.strangers import Stranger, Strangers

HANDSHAKE_S = 10.0  # of TLS
SHUTDOWN_S = 5.0  # of TLS
PAUSE_S = 0.05  # before the next try, when a connection could not be had
SILENT_S = 60.0  # between log lines of the same kind
FULL = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
MOST_FILES = 1 << 20

log = structlog.get_logger()


class Listener:
    """Accepts the connections of one server."""

    def __init__(
        self,
        sockets: Iterable[socket.socket],
        strangers: Strangers,
        protocol: Callable[[Stranger], asyncio.Protocol],
        tls: ssl.SSLContext | None,
    ) -> None:
        self.sockets = tuple(sockets)
        self.strangers = strangers
        self.protocol = protocol
        self.tls = tls
        """May be replaced; handshakes from then on use the new one."""
        self.silent_until = 0.0

    async def run(self) -> None:
        """Accept connections until it is cancelled."""
        async with asyncio.TaskGroup() as group:
            for listening in self.sockets:
                group.create_task(self.accept(listening, group))

    async def accept(self, listening: socket.socket, group: asyncio.TaskGroup) -> None:
        """Accept connections of one socket; a failure costs a moment, never the listening."""
        loop = asyncio.get_running_loop()
        while True:
            try:
                sock, address = await loop.sock_accept(listening)
            except OSError as error:
                self.failed(error)
                await asyncio.sleep(PAUSE_S)
                continue
            group.create_task(self.take(sock, address[0]))

    async def take(self, sock: socket.socket, address: str) -> None:
        """Bring one connection to where it is served."""
        stranger = self.strangers.enter(address, lambda: shut(sock))
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: self.protocol(stranger),
                sock,
                ssl=self.tls,
                ssl_handshake_timeout=HANDSHAKE_S if self.tls else None,
                ssl_shutdown_timeout=SHUTDOWN_S if self.tls else None,
            )
        except Exception as error:
            if not isinstance(error, OSError):  # what TLS finds wrong is one, and its timeout
                log.exception("a connection cannot be served")
            stranger.leave()
            sock.close()

    def failed(self, error: OSError) -> None:
        """Make room if there was none for a connection; tell of it, but not each time."""
        if error.errno not in FULL:
            return
        self.strangers.make_room()
        now = asyncio.get_running_loop().time()
        if now >= self.silent_until:
            self.silent_until = now + SILENT_S
            most, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
            log.error("no room for a connection", reason=error.strerror, descriptors=most)


def shut(sock: socket.socket) -> None:
    """End a connection that has no transport yet; whoever waits for it learns of it."""
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def raise_descriptor_limit() -> int:
    """Take all the descriptors that the system allows; give how many there are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with contextlib.suppress(ValueError, OSError):  # some systems have bounds of their own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
