"""Fetch a recording from the web: bounded in size, in time and in where it may lead."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Callable
from email.message import Message
from http.client import HTTPException, HTTPResponse
from typing import IO
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlsplit, urlunsplit

from realtime.errors import AudioError

MAX_BYTES = 50 * 10**6
PIECE = 64 * 1024  # bytes read at a time
SAFE = "/%?&=+,;:@!$'()*~#[]"  # characters of an address that stay as they are


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

    It gives up when nothing comes for `pause_s`, or when not all has come after `total_s`.
    `progress` is told the bytes so far and, if the server says, of how many.
    """
    deadline = clock() + total_s
    opener = urllib.request.build_opener(Redirects)
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
                if clock() > deadline:
                    raise AudioError(f"{url} did not arrive within {total_s:g} s")
    except HTTPError as error:
        with error:
            raise AudioError(f"{url}: HTTP {error.code}, {error.reason}") from None
    except TimeoutError:
        raise AudioError(f"{url}: nothing came for {pause_s:g} s") from None
    except URLError as error:
        reason = error.reason
        if isinstance(reason, TimeoutError):
            raise AudioError(f"{url}: nothing came for {pause_s:g} s") from None
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
    except ValueError:  # also UnicodeError
        host = None
    if not is_url(url) or not host:
        raise AudioError(f"{url!r} is no http(s) address")
    place = f"[{host}]" if ":" in host else host
    rest = (quote(parts.path, SAFE), quote(parts.query, SAFE), "")
    return urlunsplit((parts.scheme, place + port, *rest))


def announced(response: HTTPResponse) -> int | None:
    """Read how many bytes the server says it will send."""
    length = response.headers.get("Content-Length") or ""
    return int(length) if length.isascii() and length.isdigit() else None


def too_large(url: str, size: int | None, most: int) -> str:
    """Say that a recording is too large to be fetched."""
    what = f"is {size / 1e6:.0f} MB" if size else f"is more than {most / 1e6:g} MB"
    return f"{url} {what}; at most {most / 1e6:g} MB are fetched"
