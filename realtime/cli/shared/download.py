"""Fetch a recording from the web: bounded in size, in time and in where it may lead."""

from __future__ import annotations

import io
import socket
import time
import urllib.request
from collections.abc import Callable
from email.message import Message
from functools import partial
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from typing import IO, Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit, urlunsplit

from realtime.errors import AudioError

MAX_BYTES = 50 * 10**6
PIECE = 64 * 1024  # bytes read at a time
SAFE = "/%?&=+,;:@!$'()*~#[]"  # characters of an address that stay as they are


class Patience:
    """How long one download may still wait, for whatever: a connection, a header, a piece."""

    def __init__(self, pause_s: float, total_s: float, clock: Callable[[], float]) -> None:
        self.pause_s = pause_s
        self.total_s = total_s
        self.clock = clock
        self.deadline = clock() + total_s
        self.last = False
        """Whether the wait that goes on is the last."""

    def left(self) -> float:
        """Tell how long the next wait may last; raise TimeoutError when there may be none."""
        left = self.deadline - self.clock()
        self.last = left < self.pause_s
        if left <= 0:
            raise TimeoutError
        return min(left, self.pause_s)

    def words(self) -> str:
        """Say why it is over."""
        if self.last:
            return f"did not arrive within {self.total_s:g} s"
        return f"sent nothing for {self.pause_s:g} s"

    def connect(self, address: tuple[str, int], *_more: object) -> socket.socket:
        """Connect to the first of a host's addresses that answers, as socket.create_connection."""
        failed = OSError("it has no address")
        for family, kind, proto, _, place in socket.getaddrinfo(*address, type=socket.SOCK_STREAM):
            sock = socket.socket(family, kind, proto)
            try:
                sock.settimeout(self.left())
                sock.connect(place)
            except OSError as error:
                sock.close()
                failed = error
            else:
                return sock
        raise failed


class PatientReader(io.RawIOBase):
    """What a socket receives, each time waiting no longer than there is patience."""

    def __init__(self, sock: socket.socket, received: io.RawIOBase, patience: Patience) -> None:
        self.sock = sock
        self.received = received
        self.patience = patience

    def readable(self) -> bool:
        """Say that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int | None:
        """Wait for something."""
        self.sock.settimeout(self.patience.left())
        return self.received.readinto(buffer)

    def close(self) -> None:
        """Let go of the socket."""
        self.received.close()
        super().close()


class PatientResponse(HTTPResponse):
    """A response of which nothing, its headers neither, may take for ever."""

    def __init__(self, patience: Patience, sock: socket.socket, *args: Any, **more: Any) -> None:
        super().__init__(sock, *args, **more)
        received = self.fp.detach()
        self.fp = io.BufferedReader(PatientReader(sock, received, patience))


class PatientHandler(urllib.request.HTTPHandler, urllib.request.HTTPSHandler):
    """Opens connections that wait no longer than there is patience."""

    def __init__(self, patience: Patience) -> None:
        super().__init__()
        self.patience = patience

    def http_open(self, req: urllib.request.Request) -> HTTPResponse:
        """Open an http address."""
        return self.do_open(partial(self.connection, HTTPConnection), req)

    def https_open(self, req: urllib.request.Request) -> HTTPResponse:
        """Open an https address."""
        return self.do_open(partial(self.connection, HTTPSConnection), req)

    def connection(
        self, kind: Callable[..., HTTPConnection], host: str, **more: Any
    ) -> HTTPConnection:
        """Make a connection."""
        made: Any = kind(host, **more)
        made.response_class = partial(PatientResponse, self.patience)
        # http.client has no other way to connect to several addresses within one time.
        made._create_connection = self.patience.connect
        return made  # type: ignore[no-any-return]


class Redirects(urllib.request.HTTPRedirectHandler):
    """Follow at most five redirects, and only to http(s)."""

    max_redirections = 5

    def redirect_request(
        self,
        req: urllib.request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Message,
        newurl: str,
    ) -> urllib.request.Request | None:
        """Refuse to be led to a file or an ftp server."""
        check(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def is_url(name: str) -> bool:
    """Tell an http(s) address from a path."""
    return name.lower().startswith(("http://", "https://"))


def download(
    url: str,
    *,
    max_bytes: int = MAX_BYTES,
    pause_s: float = 15.0,
    total_s: float = 120.0,
    clock: Callable[[], float] = time.monotonic,
    progress: Callable[[int, int | None], None] = lambda done, of: None,
) -> bytes:
    """Give what the address holds, or raise AudioError saying why not.

    It gives up when nothing comes for `pause_s`, or when not all has come after `total_s`,
    whatever it is that takes so long.
    `progress` is told the bytes so far and, if the server says, of how many.
    """
    patience = Patience(pause_s, total_s, clock)
    opener = urllib.request.build_opener(PatientHandler(patience), Redirects)
    request = urllib.request.Request(check(url), headers={"User-Agent": "realtime-ask"})
    try:
        with opener.open(request, timeout=pause_s) as response:
            length = announced(response)
            if length is not None and length > max_bytes:
                raise AudioError(too_large(url, length, max_bytes))
            data = bytearray()
            while piece := response.read1(PIECE):
                data += piece
                progress(len(data), length)
                if len(data) > max_bytes:
                    raise AudioError(too_large(url, None, max_bytes))
    except HTTPError as error:
        with error:
            raise AudioError(f"{url}: HTTP {error.code}, {error.reason}") from None
    except TimeoutError:
        raise AudioError(f"{url} {patience.words()}") from None
    except URLError as error:
        reason = error.reason
        if isinstance(reason, TimeoutError):
            raise AudioError(f"{url} {patience.words()}") from None
        words = reason.strerror if isinstance(reason, OSError) else None
        raise AudioError(f"{url} cannot be reached: {words or reason}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise AudioError(f"{url} cannot be read: {error or type(error).__name__}") from None
    if length is not None and len(data) < length:
        raise AudioError(f"{url} broke off after {len(data)} of {length} bytes")
    return bytes(data)


def check(url: str) -> str:
    """Return an http(s) address with everything but ASCII escaped; refuse any other."""
    try:
        parts = urlsplit(url)
        host = parts.hostname and parts.hostname.encode("idna").decode()
        port = f":{parts.port}" if parts.port is not None else ""
        rest = (quote(parts.path, SAFE), quote(parts.query, SAFE), "")
    except ValueError:  # also UnicodeError
        host = None
    if not is_url(url) or not host:
        raise AudioError(f"{url!r} is no http(s) address")
    place = f"[{host}]" if ":" in host else host
    return urlunsplit((parts.scheme, place + port, *rest))


def announced(response: HTTPResponse) -> int | None:
    """Read how many bytes the server says it will send."""
    length = response.headers.get("Content-Length") or ""
    return int(length) if length.isascii() and length.isdigit() else None


def too_large(url: str, size: int | None, most: int) -> str:
    """Say that a recording is too large to be fetched."""
    what = f"is {size / 1e6:.0f} MB" if size else f"is more than {most / 1e6:g} MB"
    return f"{url} {what}; at most {most / 1e6:g} MB are fetched"
