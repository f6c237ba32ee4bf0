"""What all connections of one server share: the engine, who may come in, and who is here."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import structlog
from starlette.requests import Request
from starlette.responses import Response
from starlette.websockets import WebSocket

from realtime.audio.endpoint import Endpointer
from realtime.audio.vad import Vad
from realtime.engine.api import Engine, ModelInfo
from realtime.errors import Busy, Refused
from realtime.gateway.access.auth import GONE_KEY, Authenticator, Grant, answer_to
from realtime.gateway.access.revocation import Revocation
from realtime.gateway.admission import Admission, Slot
from realtime.gateway.connection import Connection
from realtime.gateway.http.error_responses import REFUSALS, Refusal, error_response
from realtime.gateway.http.strangers import vouch
from realtime.gateway.settings import ConnectionConfig, GatewaySettings
from realtime.metrics import Metrics
from realtime.protocols import Codec
from realtime.session.conversation import Conversation
from realtime.session.events import Notice, Ready, Trouble
from realtime.session.session import Session
from realtime.transports.base import Transport
from realtime.transports.websocket import SocketLimits

UNKNOWN_CONVERSATION = "That conversation is not known (any more); this is a new one."

log = structlog.get_logger()


class Gateway:
    """What the connections of one server share; the routes that they come by take it."""

    def __init__(
        self, settings: GatewaySettings, engine: Engine, vad_factory: Callable[[], Vad]
    ) -> None:
        self.settings = settings
        self.engine = engine
        self.vad_factory = vad_factory
        self.metrics = Metrics()
        self.admission = Admission(settings.admission, time.monotonic)
        server = settings.server
        self.authenticator = Authenticator(
            settings.auth,
            settings.limits,
            host=server.host,
            tls=server.tls_certificate is not None,
        )
        self.revocation = Revocation(self.authenticator.gone)
        self.connections: set[Connection] = set()
        self.departed = asyncio.Event()
        self.longest: dict[str, int] = {}
        """Bytes of a message of a WebSocket, by the routes that allow more than others."""
        self.closers: list[Callable[[], Awaitable[None]]] = []
        """What routes hold beside connections, and how it ends."""

    def reload(self, settings: GatewaySettings) -> None:
        """Let other settings hold for what begins from now on; raise ConfigError beforehand."""
        self.authenticator.reload(settings.auth, settings.limits)
        self.settings = settings
        self.admission.config = settings.admission

    def socket_limits(self) -> SocketLimits:
        """Say what WebSockets may carry that are opened from now on."""
        return SocketLimits(self.settings.connection.frames_per_minute, self.longest)

    # ---- who comes in ---------------------------------------------------------------------------

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
            grant = self.authenticator.authorise(socket.headers, socket.scope["subprotocols"])
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
            request.state.grant = self.authenticator.authorise(request.headers)
        except Refused as error:
            return self.refuse(error)
        vouch(request.scope)
        return None

    def refuse(self, error: Refusal) -> Response:
        """Say no, and count it."""
        self.metrics.refused.labels(error.code).inc()
        return error_response(error)

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
    ) -> tuple[Slot, list[Notice]]:
        """Find or begin the conversation, and what its peer is told first."""
        found = self.admission.find(resume, grant.key) if resume else None
        if found is not None and resume:
            slot, secret = found, resume
        else:
            slot, secret = self.admission.begin(Conversation, grant.key)
        greeting: list[Notice] = [Ready(secrets.token_hex(8), secret, model.name)]
        if resume and not found:
            greeting.append(Trouble("conversation_not_found", UNKNOWN_CONVERSATION))
        return slot, greeting

    def session(self, slot: Slot, *, automatic: bool) -> Session:
        """Make a session on the slot's conversation."""
        endpoint = replace(self.settings.endpoint, automatic=automatic)
        endpointer = Endpointer(self.vad_factory(), endpoint)
        return Session(slot.conversation, endpointer, self.settings.session)

    async def run(
        self,
        connection: Connection,
        slot: Slot,
        greeting: list[Notice],
        grant: Grant,
        *,
        had: int | None = None,
    ) -> None:
        """Run a connection in its slot while its key is here; park the conversation afterwards."""

        def end() -> None:
            connection.fail("invalid_api_key", GONE_KEY, 1008)

        self.admission.occupy(slot, connection)
        self.connections.add(connection)
        try:
            with self.revocation.ending(grant.key, end):
                await connection.run(greeting, had=had)
        finally:
            self.connections.discard(connection)
            self.admission.park(slot, connection)
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
        for close in self.closers:
            await close()

    async def empty(self, seconds: float) -> None:
        """Wait until every connection is gone, but no longer than this."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.connections:
                    self.departed.clear()
                    await self.departed.wait()
