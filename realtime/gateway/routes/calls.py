"""Calls over WebRTC: how they are asked for by HTTP, who may have one, and how they end.

    POST   /v1/realtime/calls               an offer (OpenAI's way), answered by an answer
    POST   /v1/realtime/calls/{id}/hangup
    POST   /whip                            an offer (RFC 9725)
    DELETE /whip/{id}
    GET    /whip/{id}/events                the session's messages as server-sent events

A call that is refused has allocated nothing. One that never connects ends by the clock, having had
a place and a port but no session. Every other ends with its session, and all of it ends together.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import structlog
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from realtime.engine.api import ModelInfo
from realtime.errors import Busy, LimitReached, Refused
from realtime.gateway.access.auth import Grant
from realtime.gateway.access.keys import KEYLESS
from realtime.gateway.gateway import Gateway
from realtime.gateway.http.error_responses import NO_STORE, REFUSALS, error_response
from realtime.gateway.routes.offers import Asked, read_offer
from realtime.transports.webrtc.event_stream import MOST_READERS
from realtime.transports.webrtc.sdp import BadOffer
from realtime.transports.webrtc.settings import WebRtcConfig

if TYPE_CHECKING:
    from realtime.transports.webrtc.peer import Peer, PeerTransport

CALLS = "/v1/realtime/calls"
WHIP = "/whip"
RETRY_S = 2.0  # until a call that is being opened has its place or has given it back

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Call:
    """One call, as those who serve it know it."""

    id: str
    query: Mapping[str, str]
    """Of the address that was posted to."""
    session: dict[str, Any] | None
    """What the caller wants the session to be."""
    grant: Grant
    """By which it came in."""


Converse = Callable[["PeerTransport", Call, ModelInfo], Awaitable[None]]
"""Serve a peer that is connected until it or we close."""


class Calls:
    """All calls of one server."""

    def __init__(
        self,
        gateway: Gateway,
        *,
        converse: Converse,
        check: Callable[[Grant, dict[str, Any] | None], None],
    ) -> None:
        """`check` raises Refused for a session that cannot be had, or not by that grant."""
        self.gateway = gateway
        self.converse = converse
        self.check = check
        self.peers: dict[str, Peer] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.grants: dict[str, Grant] = {}
        gateway.closers.append(self.close)
        self.taken = 0
        self.openings: Counter[str] = Counter()
        """How many of those taken are not connected yet, by the API keys of their callers."""

    @property
    def config(self) -> WebRtcConfig:
        """Give the settings that hold now."""
        return self.gateway.settings.webrtc

    @property
    def opening(self) -> int:
        """Tell how many calls are not connected yet."""
        return self.openings.total()

    def routes(self) -> list[Route]:
        """Give the routes."""
        return [
            Route(CALLS, self.guarded(self.create), methods=["POST"]),
            Route(CALLS, self.options, methods=["OPTIONS"]),
            Route(CALLS, self.not_allowed, methods=["GET", "PUT", "PATCH", "DELETE"]),
            Route(CALLS + "/{id}/hangup", self.guarded(self.hang_up), methods=["POST"]),
            Route(CALLS + "/{id}/hangup", self.options, methods=["OPTIONS"]),
            Route(CALLS + "/{id}/events", self.guarded(self.events), methods=["GET"]),
            Route(CALLS + "/{id}/events", self.options, methods=["OPTIONS"]),
            Route(WHIP, self.guarded(self.ingest), methods=["POST"]),
            Route(WHIP, self.options, methods=["OPTIONS"]),
            Route(WHIP, self.not_allowed, methods=["GET", "PUT", "PATCH", "DELETE"]),
            Route(WHIP + "/{id}", self.guarded(self.hang_up), methods=["DELETE"]),
            Route(WHIP + "/{id}", self.options, methods=["OPTIONS"]),
            Route(WHIP + "/{id}", self.not_allowed, methods=["GET", "POST", "PUT", "PATCH"]),
            Route(WHIP + "/{id}/events", self.guarded(self.events), methods=["GET"]),
            Route(WHIP + "/{id}/events", self.options, methods=["OPTIONS"]),
        ]

    # ---- requests -------------------------------------------------------------------------------

    def guarded(
        self, serve: Callable[[Request], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        """Let in who is allowed; say what is refused."""

        async def endpoint(request: Request) -> Response:
            if (refusal := self.gateway.authorise(request)) is not None:
                return refusal
            try:
                return await serve(request)
            except REFUSALS as refused:
                return self.gateway.refuse(refused)

        return endpoint

    async def options(self, request: Request) -> Response:
        """Tell what may be posted; name ICE servers to those who may know their passwords."""
        links = self.links() if self.gateway.authorise(request) is None else {}
        headers = {**links, **NO_STORE, "Accept-Post": "application/sdp"}
        return Response(status_code=204, headers=headers)

    async def not_allowed(self, request: Request) -> Response:
        """Refuse a method; PATCH would be trickle ICE or a restart, and we do neither."""
        allowed = "DELETE, OPTIONS" if "id" in request.path_params else "POST, OPTIONS"
        message = f"{request.method} is not for this address; {allowed} are."
        if request.method == "PATCH":
            message = "Candidates must be in the offer, and a restart is a new POST."
        refused = Refused(405, "method_not_allowed", message, headers={"Allow": allowed})
        return error_response(refused)

    async def create(self, request: Request) -> Response:
        """Answer an offer of OpenAI's clients."""
        asked = await read_offer(request, multipart=True)
        return await self.begin(request, asked, f"rtc_{secrets.token_hex(16)}", CALLS)

    async def ingest(self, request: Request) -> Response:
        """Answer an offer of a WHIP sender."""
        asked = await read_offer(request, multipart=False)
        return await self.begin(request, asked, f"whip_{secrets.token_hex(16)}", WHIP)

    async def hang_up(self, request: Request) -> Response:
        """End a call now."""
        self.find(request).hang_up()
        return Response(status_code=200)

    async def events(self, request: Request) -> Response:
        """Stream the messages of a call that has no data channel for them."""
        stream = self.find(request).transport.event_stream
        if stream is None:
            raise Refused(409, "has_data_channel", "This call has its events on its data channel.")
        if stream.readers >= MOST_READERS:
            raise Refused(429, "too_many_followers", f"{MOST_READERS} follow this call already.")
        last = request.headers.get("last-event-id", "")
        sent = stream.follow(int(last) if last.isdecimal() and len(last) < 16 else 0)
        headers = {**NO_STORE, "X-Accel-Buffering": "no"}
        return StreamingResponse(sent, headers=headers, media_type="text/event-stream")

    def find(self, request: Request) -> Peer:
        """Find the call of a request; another key's is none, so that nobody learns of it."""
        id = request.path_params["id"]
        grant: Grant = request.state.grant
        if id not in self.peers or not grant.owns(self.grants[id]):
            raise Refused(404, "call_not_found", "There is no such call (any more).")
        return self.peers[id]

    def links(self) -> dict[str, str]:
        """Name the ICE servers that a peer may use too (RFC 9725 4.6)."""
        links = []
        for url in self.config.ice_urls:
            link = f'<{url}>; rel="ice-server"'
            if url.startswith("turn"):
                name, secret = quoted(self.config.ice_username), quoted(self.config.ice_credential)
                link += f"; username={name}; credential={secret}"
                link += '; credential-type="password"'
            links.append(link)
        return {"Link": ", ".join(links)} if links else {}

    # ---- calls ----------------------------------------------------------------------------------

    def enter(self, grant: Grant, query: Mapping[str, str]) -> ModelInfo:
        """Take a place for a call; `leave` gives it back. Raises LimitReached and Busy."""
        if self.opening >= self.config.opening:
            message = f"{self.opening} calls are being opened already."
            raise LimitReached(message, retry_after=RETRY_S)
        own = self.openings[grant.key]
        if grant.key != KEYLESS and own >= self.config.opening_of_one:
            message = f"{own} calls of this key are being opened already."
            raise LimitReached(message, retry_after=RETRY_S)
        if self.taken >= self.config.peers:
            raise Busy(f"All {self.config.peers} places for calls are taken.", retry_after=RETRY_S)
        model = self.gateway.enter(grant, query.get("conversation"))
        self.taken += 1
        return model

    def leave(self, grant: Grant) -> None:
        """Give the place back."""
        self.taken -= 1
        self.gateway.leave(grant)

    async def begin(self, request: Request, asked: Asked, id: str, path: str) -> Response:
        """Answer an offer, and begin to wait for its peer."""
        grant: Grant = request.state.grant
        self.check(grant, asked.session)
        model = self.enter(grant, request.query_params)
        self.openings[grant.key] += 1
        peer = None
        begun = False
        try:
            # aiortc takes most of a second to import; whoever has no calls need not wait for it.
            module = await asyncio.to_thread(load)
            peer = module(asked.offer, self.config, event_stream=path == WHIP)
            async with asyncio.timeout(self.config.connect_s):
                answer = await peer.answer()
            call = Call(id, dict(request.query_params), asked.session, grant)
            self.peers[id], self.grants[id] = peer, grant
            self.tasks[id] = asyncio.create_task(self.live(peer, call, model))
            begun = True
        except BadOffer as error:
            raise Refused(400, error.code, str(error)) from None
        except TimeoutError:
            message = "No ICE server answers; the call cannot be answered."
            raise Refused(503, "ice_timeout", message) from None
        except Exception:
            log.exception("a call could not be answered")
            message = "Something went wrong on our side; it has been logged."
            raise Refused(500, "internal_error", message) from None
        finally:
            if not begun:
                self.opened(grant)
                self.leave(grant)
                if peer is not None:
                    await peer.close()
        links = self.links() if path == WHIP else {}
        headers = {"Location": f"{path}/{id}", **links, **NO_STORE}
        return Response(answer, 201, headers, media_type="application/sdp")

    async def live(self, peer: Peer, call: Call, model: ModelInfo) -> None:
        """Wait for a peer, serve it, and free all that it had."""
        try:
            if await self.connect(peer, call.grant):
                await self.converse(peer.transport, call, model)
        finally:
            del self.peers[call.id], self.grants[call.id]
            self.leave(call.grant)
            try:
                await peer.close()
            finally:
                del self.tasks[call.id]

    async def connect(self, peer: Peer, grant: Grant) -> bool:
        """Wait until a peer is connected; give up after a while, or when its key is gone."""
        try:
            with self.gateway.revocation.ending(grant.key, peer.end):
                async with asyncio.timeout(self.config.connect_s):
                    return await peer.connected()
        except TimeoutError:
            log.info("a peer did not connect", seconds=self.config.connect_s)
            return False
        finally:
            self.opened(grant)

    def opened(self, grant: Grant) -> None:
        """Count a call no more among those that are being opened."""
        self.openings[grant.key] -= 1
        if not self.openings[grant.key]:
            del self.openings[grant.key]

    async def close(self) -> None:
        """End all calls, and wait until nothing is left of them."""
        for peer in tuple(self.peers.values()):
            peer.end()
        if self.tasks:
            await asyncio.wait(tuple(self.tasks.values()))


def load() -> type[Peer]:
    """Import what a peer needs."""
    from realtime.transports.webrtc.peer import Peer

    return Peer


def quoted(text: str) -> str:
    """Write a quoted string of a header (RFC 9110 5.6.4)."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'
