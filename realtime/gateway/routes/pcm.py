"""`/v1/pcm`: plain PCM over WebSocket."""

from __future__ import annotations

from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.websockets import WebSocket

from realtime.engine.api import ModelInfo
from realtime.gateway.access.auth import Grant
from realtime.gateway.gateway import Gateway
from realtime.gateway.http.error_responses import upgrade_required
from realtime.protocols.pcm import BadParameter, Parameters, PcmCodec
from realtime.session.events import Trouble
from realtime.transports.base import Transport
from realtime.transports.websocket import SocketTransport

PCM = "/v1/pcm"


class PcmRoutes:
    """What is served under /v1/pcm."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def routes(self) -> list[BaseRoute]:
        """Give the routes."""
        return [WebSocketRoute(PCM, self.socket), Route(PCM, upgrade_required)]

    async def socket(self, socket: WebSocket) -> None:
        """Serve one peer, or refuse it before the upgrade."""

        async def serve(grant: Grant, model: ModelInfo) -> None:
            await self.converse(SocketTransport(socket), socket, grant, model)

        def check(grant: Grant) -> None:
            # The session that a short-lived key is bound to is one of OpenAI's protocol.
            grant.need_whole("A short-lived key is for /v1/realtime; use the API key here.")

        await self.gateway.admit(socket, serve, check=check)

    async def converse(
        self, transport: Transport, socket: WebSocket, grant: Grant, model: ModelInfo
    ) -> None:
        """Take the peer to its conversation and run it."""
        gateway = self.gateway
        try:
            asked = Parameters.parse(socket.query_params)
        except BadParameter as error:
            gateway.metrics.note(trouble := Trouble(error.code, str(error), fatal=True))
            for message in PcmCodec().encode(trouble):
                await transport.send(message)
            await transport.close(error.close_code, error.code)
            return
        slot, greeting = gateway.greet(asked.conversation, model, grant)
        codec = PcmCodec(asked.rate, asked.encoding)
        session = gateway.session(slot, automatic=asked.turn_detection == "vad")
        connection = gateway.connection(transport, codec, session, grant)
        await gateway.run(connection, slot, greeting, grant, had=asked.turn)
