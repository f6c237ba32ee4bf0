"""What operators' tools ask: whether the server lives, whether it is ready, what it counts."""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from realtime.engine.api import STALLED, Loading, ModelInfo
from realtime.errors import Busy
from realtime.gateway.gateway import Gateway
from realtime.gateway.http.error_responses import error_response
from realtime.log import stderr


class HealthRoutes:
    """`/healthz`, `/readyz` and `/metrics`."""

    def __init__(self, gateway: Gateway) -> None:
        self.gateway = gateway

    def routes(self) -> list[Route]:
        """Give the routes."""
        return [
            Route("/healthz", self.healthz),
            Route("/readyz", self.readyz),
            Route("/metrics", self.metrics),
        ]

    async def healthz(self, _: Request) -> Response:
        """The server is alive."""
        return JSONResponse({"status": "alive"})

    async def readyz(self, _: Request) -> Response:
        """The model is loaded and there is room, or why not."""
        gateway = self.gateway
        status = gateway.engine.status()
        try:
            model = gateway.admission.check(status)
        except Busy as error:
            return error_response(error, **{"reason": str(error)} | loading(status))
        taken, most = gateway.admission.taken, gateway.settings.admission.sessions
        return JSONResponse(
            {"status": "ready", "model": model.name, "sessions": taken, "limit": most}
        )

    async def metrics(self, _: Request) -> Response:
        """The metrics."""
        gateway = self.gateway
        gateway.metrics.sessions.set(len(gateway.connections))
        gateway.metrics.engine_ready.set(isinstance(gateway.engine.status(), ModelInfo))
        gateway.metrics.log_lost.set(stderr.lost)
        text, kind = gateway.metrics.text()
        return Response(text, headers={"Content-Type": kind})


def loading(status: ModelInfo | Loading) -> dict[str, object]:
    """Tell how far loading has come, if that is what is going on, and why it is needed (again)."""
    if isinstance(status, ModelInfo):
        return {}
    told: dict[str, object] = {"stage": status.stage, "fraction": status.fraction}
    told["status"] = STALLED if status.stage == STALLED else "loading"
    return told | ({"reason": status.reason} if status.reason else {})
