"""The application: all routes, joined, and nothing else.

It stands with the routes because it knows them all; what they share (gateway.py) knows none.
"""

from __future__ import annotations

from collections.abc import Callable

from starlette.applications import Starlette
from starlette.routing import BaseRoute
from starlette.types import Receive, Scope, Send

from realtime.audio.vad import SpeechDetector, Vad
from realtime.engine.api import Engine
from realtime.errors import Refused
from realtime.gateway.access.origins import CrossOrigin, KnownHost
from realtime.gateway.gateway import Gateway
from realtime.gateway.http.error_responses import refuse
from realtime.gateway.routes.calls import Calls
from realtime.gateway.routes.health import HealthRoutes
from realtime.gateway.routes.openai import OpenAiRoutes
from realtime.gateway.routes.page import page_routes
from realtime.gateway.routes.pcm import PcmRoutes
from realtime.gateway.settings import GatewaySettings


def create_app(
    settings: GatewaySettings,
    engine: Engine,
    *,
    vad_factory: Callable[[], Vad] = SpeechDetector,
) -> Starlette:
    """Make the application; its `state.gateway` is what all connections share."""
    gateway = Gateway(settings, engine, vad_factory)
    openai = OpenAiRoutes(gateway)
    calls = Calls(gateway, converse=openai.call, check=openai.check)
    routes: list[BaseRoute] = [
        *page_routes(),
        *HealthRoutes(gateway).routes(),
        *PcmRoutes(gateway).routes(),
        *openai.routes(),
        *calls.routes(),
    ]
    app = Starlette(routes=routes)
    app.router.default = nowhere
    for rule in (CrossOrigin, KnownHost):  # the last one added is the first
        app.add_middleware(rule, origins=gateway.authenticator.origins)
    app.state.gateway = gateway
    app.state.openai = openai
    app.state.calls = calls
    return app


async def nowhere(scope: Scope, receive: Receive, send: Send) -> None:
    """Say that an address leads nowhere, to WebSockets too."""
    error = Refused(404, "unknown_url", f"There is nothing at {scope['path'][:200]}.")
    await refuse(error, scope, receive, send)
