"""Web pages and where they come from: which may talk to us, and what their browsers are told.

A browser tells the origin of the page (RFC 6454) with every WebSocket and every POST, and pages
cannot change it; programs send none and pass. A page that we serve ourselves passes, unless nobody
needs a key here: then the name it calls us by must be one of this machine, because the owner of any
other name could point it at us after his page was loaded (DNS rebinding).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from realtime.errors import Refused
from realtime.gateway.refusals import denial

DEFAULT_PORTS = {"http": ":80", "https": ":443"}
METHODS = "GET, POST, PATCH, DELETE, OPTIONS"
REQUEST_HEADERS = "authorization, content-type, x-openai-agents-sdk, openai-beta, api-key"
EXPOSED = "Location, Link, Retry-After"
REMEMBER_S = "600"


class Origins:
    """The rule of which pages may talk to us."""

    def __init__(self, allowed: Iterable[str], *, keyless: bool) -> None:
        self.allowed = frozenset(allowed)
        self.keyless = keyless

    def allows(self, headers: Mapping[str, str]) -> bool:
        """Tell whether a request, by its headers in small letters, may be answered."""
        origin = headers.get("origin")
        if origin is None or "*" in self.allowed or origin in self.allowed:
            return True
        host = headers.get("host", "").lower()
        return same(origin, host) and (not self.keyless or is_this_machine(host))

    def check(self, headers: Mapping[str, str]) -> None:
        """Raise Refused for a page that may not talk to us."""
        if not self.allows(headers):
            raise Refused(
                403,
                "origin_not_allowed",
                f"Pages of {headers['origin'][:200]} may not connect to this server. Whoever runs "
                "it can allow them by the setting auth.origins.",
            )


def same(origin: str, host: str) -> bool:
    """Tell whether a page came from the host that it talks to (a Host header in small letters)."""
    scheme, _, place = origin.partition("://")
    port = DEFAULT_PORTS.get(scheme)
    return port is not None and place.removesuffix(port) == host.removesuffix(port)


def is_this_machine(host: str) -> bool:
    """Tell whether a Host header names the loopback."""
    name = host.rpartition("]")[0].lstrip("[") if "]" in host else host.partition(":")[0]
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ip_address(name).is_loopback
    except ValueError:
        return False


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
            return denial(error)
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
