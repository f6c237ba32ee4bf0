"""`/v1/realtime`: OpenAI Realtime over WebSocket, and the short-lived keys for browsers.

Whatever model a client asks for, it gets ours and is told its name: their defaults name models
that only OpenAI has.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from realtime.audio.pcm import FRAME_MS
from realtime.engine.api import ModelInfo
from realtime.errors import Refused, WrongType
from realtime.gateway.access.auth import Grant
from realtime.gateway.access.client_secrets import DEFAULT_S, LONGEST_S, SHORTEST_S
from realtime.gateway.connection import Connection
from realtime.gateway.gateway import Gateway
from realtime.gateway.http.body import body
from realtime.gateway.http.error_responses import (
    NO_STORE,
    REFUSALS,
    error_response,
    upgrade_required,
)
from realtime.gateway.http.strangers import vouch
from realtime.protocols import Codec
from realtime.protocols.openai.beta import old_session
from realtime.protocols.openai.codec import OpenAiCodec
from realtime.protocols.openai.errors import BadEvent
from realtime.protocols.openai.messages import MAX_EVENT
from realtime.protocols.openai.session import Defaults, read_session
from realtime.session.events import PeerInput
from realtime.transports.base import Transport
from realtime.transports.websocket import SocketTransport

if TYPE_CHECKING:
    from realtime.gateway.routes.calls import Call
    from realtime.transports.webrtc.peer import PeerTransport

REALTIME = "/v1/realtime"
BETA_HEADER = "realtime=v1"
BETA_SUBPROTOCOL = "openai-beta.realtime-v1"
LONGEST_BODY = 256 << 10  # bytes
NEVER_S = 86_400.0

# ---- the body of a request for a short-lived key ------------------------------------------------


class Expiry(msgspec.Struct, frozen=True):
    """How long a key shall hold."""

    anchor: Literal["created_at"] = "created_at"
    seconds: Annotated[int, Meta(ge=SHORTEST_S, le=LONGEST_S)] = DEFAULT_S


class SecretAsked(msgspec.Struct, frozen=True):
    """What a short-lived key is asked for."""

    expires_after: Expiry | None = None
    session: dict[str, Any] | None = None


# ---- routes -------------------------------------------------------------------------------------


class OpenAiRoutes:
    """What is served under /v1/realtime."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway
        gateway.longest[REALTIME] = MAX_EVENT
        self.call_codec: Callable[[Call], tuple[Codec, list[PeerInput]]] = self.codec_of

    @property
    def defaults(self) -> Defaults:
        """Say what holds where a client says nothing."""
        settings = self.gateway.settings
        return Defaults(
            hangover_ms=settings.endpoint.hangover_ms,
            min_hangover_ms=FRAME_MS,
            prefix_padding_ms=settings.endpoint.prefix_padding_ms,
            instructions=settings.session.instructions,
            sampling=settings.session.sampling,
        )

    def routes(self) -> list[BaseRoute]:
        """Give the routes."""
        return [
            WebSocketRoute(REALTIME, self.socket),
            Route(REALTIME, upgrade_required),
            Route(f"{REALTIME}/client_secrets", self.client_secrets, methods=["POST"]),
            Route(f"{REALTIME}/sessions", self.beta_session, methods=["POST"]),
        ]

    async def socket(self, socket: WebSocket) -> None:
        """Serve one client, or refuse it before the upgrade."""

        async def serve(grant: Grant, model: ModelInfo) -> None:
            await self.converse(socket, grant, model)

        await self.gateway.admit(socket, serve, check=lambda _: check_query(socket))

    async def converse(self, socket: WebSocket, grant: Grant, model: ModelInfo) -> None:
        """Serve a client of the WebSocket."""
        transport = SocketTransport(socket)
        codec = self.codec(beta=wants_beta(socket))
        try:
            configured = configure(codec, grant, asked_by(socket, grant))
        except BadEvent as error:  # a key of another server, which understood its session
            await transport.close(1008, str(error))
            return
        resume = socket.query_params.get("conversation")
        await self.talk(transport, codec, configured, grant, model, resume)

    async def call(self, transport: PeerTransport, call: Call, model: ModelInfo) -> None:
        """Serve a peer of WebRTC, which is connected by now."""
        codec, configured = self.call_codec(call)

        def began(connection: Connection) -> None:
            transport.complain = lambda text: connection.complain(WrongType.code, text)

        resume = call.query.get("conversation")
        await self.talk(transport, codec, configured, call.grant, model, resume, began=began)

    def codec_of(self, call: Call) -> tuple[Codec, list[PeerInput]]:
        """Make the codec of a call, and what sets its session up."""
        codec = self.codec(binary=True)
        return codec, configure(codec, call.grant, call.session)

    def codec(self, *, beta: bool = False, binary: bool = False) -> OpenAiCodec:
        """Make a codec for a session that begins now."""
        expires_at = int(time.time() + self.gateway.settings.connection.lifetime_s)
        return OpenAiCodec(expires_at=expires_at, defaults=self.defaults, beta=beta, binary=binary)

    def check(self, grant: Grant, session: dict[str, Any] | None) -> None:
        """Raise Refused for a session that cannot be had, or not by this grant."""
        try:
            configure(self.codec(binary=True), grant, session)
        except BadEvent as error:
            raise refusal(error) from None

    async def talk(
        self,
        transport: Transport,
        codec: Codec,
        configured: list[PeerInput],
        grant: Grant,
        model: ModelInfo,
        resume: str | None,
        *,
        began: Callable[[Connection], None] = lambda _: None,
    ) -> None:
        """Take a client to its conversation and run it until its time is over."""
        gateway = self.gateway
        seconds = gateway.settings.connection.lifetime_s
        slot, greeting = gateway.greet(resume, model, grant)
        session = gateway.session(slot, automatic=True)
        for event in configured:
            # The greeting shows these settings; that they were applied is nothing to tell.
            session.receive(event)
        connection = gateway.connection(
            transport,
            codec,
            session,
            grant,
            # Pings tell whether the client is there; it may be silent as long as it likes.
            replace(gateway.settings.connection, idle_s=NEVER_S),
        )
        began(connection)
        message = f"Your session hit the maximum duration of {seconds / 60:g} minutes."
        expiring = asyncio.get_running_loop().call_later(
            seconds, connection.fail, "session_expired", message, 1001
        )
        try:
            await gateway.run(connection, slot, greeting, grant)
        finally:
            expiring.cancel()

    async def client_secrets(self, request: Request) -> Response:
        """Issue a short-lived key that is bound to a session."""
        try:
            grant = self.minter(request)
            asked = parsed(await body(request, LONGEST_BODY), SecretAsked)
            value, expires_at, session = self.mint(grant, asked)
        except REFUSALS as error:
            return error_response(error)
        told = {"value": value, "expires_at": expires_at, "session": session}
        return JSONResponse(told, headers=NO_STORE)

    async def beta_session(self, request: Request) -> Response:
        """Issue one as the beta did: the body is the session, and the answer too."""
        try:
            grant = self.minter(request)
            asked = SecretAsked(session=parsed(await body(request, LONGEST_BODY), dict[str, Any]))
            value, expires_at, session = self.mint(grant, asked)
        except REFUSALS as error:
            return error_response(error)
        secret = {"value": value, "expires_at": expires_at}
        return JSONResponse({**old_session(session), "client_secret": secret}, headers=NO_STORE)

    def minter(self, request: Request) -> Grant:
        """Let in who may mint short-lived keys (now); raises Refused and LimitReached."""
        grant = self.gateway.authenticator.authorise(request.headers)
        vouch(request.scope)
        grant.need_whole("A short-lived key makes no others; use the API key on your server.")
        grant.allowance.take_mint()
        return grant

    def mint(self, grant: Grant, asked: SecretAsked) -> tuple[str, int, dict[str, Any]]:
        """Give a short-lived key, when it ends, and its session; raises what refuses."""
        given = asked.session or {}
        try:
            session = read_session(given, self.defaults)
        except BadEvent as error:
            raise refusal(error) from None
        seconds = (asked.expires_after or Expiry()).seconds
        # What the client gave is bound, not what it leads to: the server's settings may change.
        value, expires_at = self.gateway.authenticator.issuer.issue(grant.key, given, seconds)
        return value, expires_at, {**session, **self.identity()}

    def identity(self) -> dict[str, Any]:
        """Name the session that a key is for; it is made anew by each connection."""
        status = self.gateway.engine.status()
        named = {"model": status.name} if isinstance(status, ModelInfo) else {}
        return {"object": "realtime.session", "id": f"sess_{secrets.token_hex(8)}", **named}


def asked_by(socket: WebSocket, grant: Grant) -> dict[str, Any] | None:
    """Give the session object that an address asks for; a short-lived key has its own."""
    if grant.session is None and socket.query_params.get("intent") == "transcription":
        return {"type": "transcription"}
    return None


def configure(codec: OpenAiCodec, grant: Grant, asked: dict[str, Any] | None) -> list[PeerInput]:
    """Set a session up as its short-lived key says, then as is asked; raise BadEvent."""
    configured = []
    if grant.session is not None:
        configured += codec.configure(grant.session)
        codec.bind()
    if asked is not None:
        configured += codec.configure(asked)
    return configured or codec.configure({})


def refusal(error: BadEvent) -> Refused:
    """Refuse a request for its session."""
    return Refused(400, error.reason, str(error), param=error.param)


def check_query(socket: WebSocket) -> None:
    """Refuse what cannot be had by the address; raise Refused."""
    if socket.query_params.get("call_id"):
        message = "There is no such call, or its events are on its own data channel."
        raise Refused(404, "call_not_found", message, param="call_id")


def wants_beta(socket: WebSocket) -> bool:
    """Tell whether a client knows the names of the beta only."""
    named = BETA_HEADER in socket.headers.get("openai-beta", "")
    return named or BETA_SUBPROTOCOL in socket.scope["subprotocols"]


T = TypeVar("T")


def parsed(body: bytes, kind: type[T]) -> T:
    """Read JSON, or nothing at all; raise Refused naming the field."""
    try:
        return msgspec.json.decode(body or b"{}", type=kind)
    except msgspec.ValidationError as error:
        message, _, place = str(error).partition(" - at `$.")
        param = place.rstrip("`") or None
        raise Refused(
            400, "invalid_value", f"{param or 'The body'}: {message}.", param=param
        ) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise Refused(400, "invalid_json", "The body is not valid JSON.") from None
