"""Web pages and where they come from: which may talk to us, and what their browsers are told.

A browser tells the origin of the page (RFC 6454) with every WebSocket and every POST, and pages
cannot change it; programs send none and pass. A page that we serve ourselves passes: one of the
very scheme, host and port that it talks to. One on another port of this machine is not ours.

Where nobody needs a key, the name in the Host header must be one of this machine, whatever is asked
for: the owner of any other name could point it at us after his page was loaded (DNS rebinding), and
to its browser we would be the page's own server. Where a key is needed that gains nobody anything:
such a page has no key, and browsers keep ours for the name that it was typed in at.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtime.errors import Refused
from realtime.gateway.http.error_responses import error_response, refuse

DEFAULT_PORTS = {"http": "80", "https": "443"}
HOST = re.compile(r"(?:\[([^\[\]]*)\]|([^:\[\]]*))(?::(\d*))?")
METHODS = "GET, POST, PATCH, DELETE, OPTIONS"
REQUEST_HEADERS = "authorization, content-type, x-openai-agents-sdk, openai-beta, api-key"
EXPOSED = "Location, Link, Retry-After"
REMEMBER_S = "600"


class Origins:
    """The rule of which pages may talk to us."""

    def __init__(
        self, allowed: Iterable[str], *, keyless: bool, tls: bool = False, name: str = ""
    ) -> None:
        """`name` is the one that the operator gave this server."""
        self.keyless = keyless
        self.tls = tls
        self.name = name.lower()
        self.allow(allowed)

    def allow(self, allowed: Iterable[str]) -> None:
        """Let the pages of these origins in from now on."""
        self.allowed = frozenset(allowed)
        # Whoever has the name of an allowed page may talk to us already.
        hosts = (origin.partition("://")[2] for origin in self.allowed)
        self.names = {self.name, *(parted(host)[0] for host in hosts if host)}

    def allows(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request, by its headers in small letters, may be answered."""
        origin = headers.get("origin")
        if origin is None or "*" in self.allowed or origin in self.allowed:
            return True
        return self.is_ours(origin, headers.get("host", "").lower()) and self.knows(headers)

    def is_ours(self, origin: str, host: str) -> bool:
        """Tell whether a page came from the host that it talks to (a Host header, small letters).

        Without TLS here, a page on https came through a proxy that has it; where no key is needed
        it may as well be another server's on this machine.
        """
        scheme, _, place = origin.partition("://")
        schemes = {"https"} if self.tls else {"http"} if self.keyless else {"http", "https"}
        if scheme not in schemes:
            return False
        default = DEFAULT_PORTS[scheme]
        return filled(place, default) == filled(host, default)

    def knows(self, headers: Mapping[str, str]) -> bool:
        """Tell whether the name that we are called by is one to listen to."""
        if not self.keyless or "*" in self.allowed:
            return True
        host = headers.get("host", "").lower()
        # Browsers always send one; what sends none (HTTP/1.0) is a program.
        return not host or is_this_machine(host) or parted(host)[0] in self.names

    def check_host(self, headers: Mapping[str, str]) -> None:
        """Raise Refused for a request to a name that may not be ours (RFC 9110 7.4)."""
        if not self.knows(headers):
            raise Refused(
                421,
                "host_not_allowed",
                "This server has no key and answers to names of this machine alone, such as "
                f"localhost, not to {headers['host'][:200]!r}. Whoever runs it can set a key, or "
                "let the proxy before it send Host: localhost.",
            )

    def check(self, headers: Mapping[str, str]) -> None:
        """Raise Refused for a page that may not talk to us."""
        if not self.allows(headers):
            raise Refused(
                403,
                "origin_not_allowed",
                f"Pages of {headers['origin'][:200]} may not connect to this server. Whoever runs "
                "it can allow them by the setting auth.origins.",
            )


def parted(host: str) -> tuple[str, str]:
    """Part a Host header into the name, an IPv6 address without its brackets, and the port."""
    if (found := HOST.fullmatch(host)) is None:
        return host, ""
    return found[1] or found[2], found[3] or ""


def filled(host: str, default: str) -> tuple[str, str]:
    """Part a Host header; the port is the default one unless it says which."""
    name, port = parted(host)
    return name, port or default


def is_this_machine(host: str) -> bool:
    """Tell whether a Host header names the loopback."""
    name, _ = parted(host)
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


class KnownHost:
    """Refuses what comes to a name that may not be ours, before anything else is looked at."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self.app = app
        self.origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it; a WebSocket before its upgrade."""
        try:
            if scope["type"] in ("http", "websocket"):
                self.origins.check_host(Headers(scope=scope))
        except Refused as error:
            await refuse(error, scope, receive, send)
        else:
            await self.app(scope, receive, send)


class CrossOrigin:
    """Tells browsers what pages of other origins may read (the fetch standard, CORS)."""

    def __init__(self, app: ASGIApp, origins: Origins) -> None:
        self.app = app
        self.origins = origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a browser's question beforehand; add what it wants to know to other answers."""
        headers = Headers(scope=scope) if scope["type"] == "http" else None
        if headers is None or "origin" not in headers:
            await self.app(scope, receive, send)
        elif scope["method"] == "OPTIONS" and "access-control-request-method" in headers:
            await self.preflight(headers)(scope, receive, send)
        elif not self.origins.allows(headers):
            await self.app(scope, receive, send)
        else:
            origin = headers["origin"]

            async def told(message: Message) -> None:
                if message["type"] == "http.response.start":
                    ours = MutableHeaders(scope=message)
                    ours["Access-Control-Allow-Origin"] = origin
                    ours["Access-Control-Expose-Headers"] = EXPOSED
                    ours.add_vary_header("Origin")
                await send(message)

            await self.app(scope, receive, told)

    def preflight(self, headers: Headers) -> Response:
        """Say what a page may ask for."""
        try:
            self.origins.check(headers)
        except Refused as error:
            return error_response(error)
        asked = headers.get("access-control-request-headers", REQUEST_HEADERS)
        return Response(
            status_code=204,
            headers={
                "Access-Control-Allow-Origin": headers["origin"],
                "Access-Control-Allow-Methods": METHODS,
                # SDKs send headers of their own; the page is allowed, its headers harm nobody.
                "Access-Control-Allow-Headers": asked,
                "Access-Control-Max-Age": REMEMBER_S,
                "Vary": "Origin, Access-Control-Request-Headers",
            },
        )
