"""The routes: one place that joins sockets, sessions, the engine and the rules of admission."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace
from http import HTTPStatus

import structlog
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from realtime.audio.endpoint import Endpointer
from realtime.audio.vad import SpeechDetector, Vad
from realtime.config import ConnectionConfig, Settings
from realtime.engine.api import STALLED, Engine, Loading, ModelInfo
from realtime.errors import Busy, Refused
from realtime.gateway.access.auth import GONE_KEY, Gate, Grant, answer_to
from realtime.gateway.access.origins import CrossOrigin, KnownHost
from realtime.gateway.access.revocation import Revocation
from realtime.gateway.admission import Admission, Seat
from realtime.gateway.connection import Connection, Transport
from realtime.gateway.http.refusal import REFUSALS, Refusal, denial, refuse
from realtime.gateway.http.strangers import vouch
from realtime.gateway.routes.calls import Calls
from realtime.gateway.routes.openai import RealtimeRoutes, defaults_of
from realtime.gateway.routes.page import page_routes
from realtime.log import stderr
from realtime.metrics import Metrics
from realtime.protocols import Codec
from realtime.protocols.pcm import BadParameter, Parameters, PcmCodec
from realtime.session.conversation import Conversation
from realtime.session.events import Notice, Ready, Trouble
from realtime.session.session import Session
from realtime.transports.websocket import SocketTransport

UNKNOWN_CONVERSATION = "That conversation is not known (any more); this is a new one."
UPGRADE = "This address speaks WebSocket: connect with a WebSocket client, or use `realtime ask`.\n"

log = structlog.get_logger()


class Gateway:
    """Everything that the connections of one server share."""

    def __init__(self, settings: Settings, engine: Engine, vad_factory: Callable[[], Vad]) -> None:
        self.settings = settings
        self.engine = engine
        self.vad_factory = vad_factory
        self.metrics = Metrics()
        self.admission = Admission(settings.admission, time.monotonic)
        self.gate = Gate(settings.auth, settings.limits, settings.server)
        self.revocation = Revocation(self.gate.gone)
        self.connections: set[Connection] = set()
        self.departed = asyncio.Event()
        self.realtime = RealtimeRoutes(self)
        self.calls = Calls(
            settings.webrtc,
            self,
            self.revocation,
            converse=self.realtime.call,
            check=self.realtime.check,
        )

    def reload(self, settings: Settings) -> None:
        """Let other settings hold for what begins from now on; raise ConfigError beforehand."""
        self.gate.reload(settings.auth, settings.limits)
        self.settings = settings
        self.admission.config = settings.admission
        self.realtime.defaults = defaults_of(settings)
        self.calls.config = settings.webrtc

    # ---- sockets --------------------------------------------------------------------------------

    async def admit(
        self,
        socket: WebSocket,
        serve: Callable[[Grant, ModelInfo], Awaitable[None]],
        *,
        check: Callable[[Grant], None],
    ) -> None:
        """Serve one peer that may come in; refuse another before the upgrade.

        `check` raises Refused for what a peer may not have although it may come in.
        """
        resume = socket.query_params.get("conversation")
        try:
            grant = self.gate.authorise(socket.headers, socket.scope["subprotocols"])
            vouch(socket.scope)
            check(grant)
            model = self.enter(grant, resume)
        except REFUSALS as error:
            await socket.send_denial_response(self.refuse(error))
            return
        try:
            await socket.accept(subprotocol=answer_to(socket.scope["subprotocols"]))
            await serve(grant, model)
        finally:
            self.leave(grant)

    def enter(self, grant: Grant, resume: str | None = None) -> ModelInfo:
        """Take a place, also among those of the key; raises Busy and LimitReached.

        Each `enter` is undone by one `leave`.
        """
        grant.allowance.enter(replaces=self.admission.replaces(resume, grant.key))
        try:
            return self.admission.enter(self.engine.status(), resume, grant.key)
        except Busy:
            grant.allowance.give_back()
            raise

    def leave(self, grant: Grant) -> None:
        """Give the place back."""
        self.admission.leave()
        grant.allowance.leave()

    def authorise(self, request: Request) -> Response | None:
        """Give the refusal of a request; what is granted is in its `state.grant`."""
        try:
            request.state.grant = self.gate.authorise(request.headers)
        except Refused as error:
            return self.refuse(error)
        vouch(request.scope)
        return None

    def refuse(self, error: Refusal) -> Response:
        """Say no, and count it."""
        self.metrics.refused.labels(error.code).inc()
        return denial(error)

    async def pcm(self, socket: WebSocket) -> None:
        """Serve one peer of /v1/pcm."""

        async def serve(grant: Grant, model: ModelInfo) -> None:
            await self.converse(SocketTransport(socket), socket, grant, model)

        def check(grant: Grant) -> None:
            # The session that a short-lived key is bound to is one of OpenAI's protocol.
            grant.need_whole("A short-lived key is for /v1/realtime; use the API key here.")

        await self.admit(socket, serve, check=check)

    async def converse(
        self, transport: Transport, socket: WebSocket, grant: Grant, model: ModelInfo
    ) -> None:
        """Take the peer to its conversation and run it."""
        try:
            asked = Parameters.parse(socket.query_params)
        except BadParameter as error:
            self.metrics.note(trouble := Trouble(error.code, str(error), fatal=True))
            for message in PcmCodec().encode(trouble):
                await transport.send(message)
            await transport.close(error.close_code, error.code)
            return
        seat, greeting = self.greet(asked.conversation, model, grant)
        codec = PcmCodec(asked.rate, asked.encoding)
        session = self.session(seat, automatic=asked.turn_detection == "vad")
        connection = self.connection(transport, codec, session, grant)
        await self.run(connection, seat, greeting, grant, had=asked.turn)

    def connection(
        self,
        transport: Transport,
        codec: Codec,
        session: Session,
        grant: Grant,
        config: ConnectionConfig | None = None,
    ) -> Connection:
        """Make a connection for a peer that was let in."""
        return Connection(
            transport,
            codec,
            session,
            self.engine,
            metrics=self.metrics,
            config=config or self.settings.connection,
            allowance=grant.allowance,
        )

    def greet(
        self, resume: str | None, model: ModelInfo, grant: Grant
    ) -> tuple[Seat, list[Notice]]:
        """Find or begin the conversation, and what its peer is told first."""
        found = self.admission.find(resume, grant.key) if resume else None
        if found is not None and resume:
            seat, secret = found, resume
        else:
            seat, secret = self.admission.begin(Conversation, grant.key)
        greeting: list[Notice] = [Ready(secrets.token_hex(8), secret, model.name)]
        if resume and not found:
            greeting.append(Trouble("conversation_not_found", UNKNOWN_CONVERSATION))
        return seat, greeting

    def session(self, seat: Seat, *, automatic: bool) -> Session:
        """Make a session on the seat's conversation."""
        endpoint = replace(self.settings.endpoint, automatic=automatic)
        endpointer = Endpointer(self.vad_factory(), endpoint)
        return Session(seat.conversation, endpointer, self.settings.session)

    async def run(
        self,
        connection: Connection,
        seat: Seat,
        greeting: list[Notice],
        grant: Grant,
        *,
        had: int | None = None,
    ) -> None:
        """Run a connection in its seat while its key is here; park the conversation afterwards."""

        def end() -> None:
            connection.fail("invalid_api_key", GONE_KEY, 1008)

        self.admission.sit(seat, connection)
        self.connections.add(connection)
        try:
            with self.revocation.ending(grant.key, end):
                await connection.run(greeting, had=had)
        finally:
            self.connections.discard(connection)
            self.admission.park(seat, connection)
            self.departed.set()

    async def drain(self, seconds: float) -> None:
        """Let nobody in; close each connection when its answer is done. Wait at most so long."""
        self.admission.draining = True
        log.info("draining", sessions=len(self.connections), seconds=seconds)
        for connection in tuple(self.connections):
            connection.drain()
        await self.empty(seconds)

    async def close(self, seconds: float) -> None:
        """Let nobody in and close every connection. Wait at most so long."""
        self.admission.draining = True
        for connection in tuple(self.connections):
            connection.leave(1001, "going away")
        await self.empty(seconds)
        await self.calls.close()

    async def empty(self, seconds: float) -> None:
        """Wait until every connection is gone, but no longer than this."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.connections:
                    self.departed.clear()
                    await self.departed.wait()

    # ---- pages ----------------------------------------------------------------------------------

    async def upgrade(self, _: Request) -> Response:
        """Tell a plain HTTP client what belongs here."""
        headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
        return PlainTextResponse(UPGRADE, HTTPStatus.UPGRADE_REQUIRED, headers)

    async def healthz(self, _: Request) -> Response:
        """The server is alive."""
        return JSONResponse({"status": "alive"})

    async def readyz(self, _: Request) -> Response:
        """The model is loaded and there is room, or why not."""
        try:
            model = self.admission.check(self.engine.status())
        except Busy as error:
            return denial(error, **{"reason": str(error)} | loading(self.engine.status()))
        taken, most = self.admission.taken, self.settings.admission.sessions
        return JSONResponse(
            {"status": "ready", "model": model.name, "sessions": taken, "limit": most}
        )

    async def numbers(self, _: Request) -> Response:
        """The metrics."""
        self.metrics.sessions.set(len(self.connections))
        self.metrics.engine_ready.set(isinstance(self.engine.status(), ModelInfo))
        self.metrics.log_lost.set(stderr.lost)
        text, kind = self.metrics.text()
        return Response(text, headers={"Content-Type": kind})


def loading(status: ModelInfo | Loading) -> dict[str, object]:
    """Tell how far loading has come, if that is what is going on, and why it is needed (again)."""
    if isinstance(status, ModelInfo):
        return {}
    told: dict[str, object] = {"stage": status.stage, "fraction": status.fraction}
    told["status"] = STALLED if status.stage == STALLED else "loading"
    return told | ({"reason": status.reason} if status.reason else {})


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Say that an address leads nowhere, to WebSockets too."""
    error = Refused(404, "unknown_url", f"There is nothing at {scope['path'][:200]}.")
    await refuse(error, scope, receive, send)


def create_app(
    settings: Settings,
    engine: Engine,
    *,
    vad_factory: Callable[[], Vad] = SpeechDetector,
) -> Starlette:
    """Make the application; its `state.gateway` is what all connections share."""
    gateway = Gateway(settings, engine, vad_factory)
    routes: list[BaseRoute] = [
        *page_routes(),
        Route("/healthz", gateway.healthz),
        Route("/readyz", gateway.readyz),
        Route("/metrics", gateway.numbers),
        WebSocketRoute("/v1/pcm", gateway.pcm),
        Route("/v1/pcm", gateway.upgrade),
        *gateway.realtime.routes(),
        *gateway.calls.routes(),
    ]
    app = Starlette(routes=routes)
    app.router.default = nowhere
    app.add_middleware(CrossOrigin, origins=gateway.gate.origins)
    app.add_middleware(KnownHost, origins=gateway.gate.origins)  # the last one added is the first
    app.state.gateway = gateway
    return app
