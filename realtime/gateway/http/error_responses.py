"""Saying no over HTTP, before any upgrade, in the form whose message OpenAI's clients show."""

from __future__ import annotations

import math
from http import HTTPStatus

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket

from realtime.errors import Busy, LimitReached, Refused

UPGRADE = "This address speaks WebSocket: connect with a WebSocket client, or use `realtime ask`.\n"
TYPES = {429: "rate_limit_error", 503: "server_error"}
Refusal = Refused | Busy | LimitReached
REFUSALS = (Refused, Busy, LimitReached)
NO_STORE = {"Cache-Control": "no-store"}
"""Of what has a secret in it: no cache on the way may keep it (RFC 9111 5.2.2.5)."""


def error_response(error: Refusal, **more: object) -> JSONResponse:
    """Say why not, and when to come back if that helps (RFC 9110 10.2.3)."""
    match error:
        case Busy():
            body = error_body(503, "server_busy", str(error))
            return JSONResponse(
                {"status": "busy", "message": str(error), **body, **more}, 503, after(error)
            )
        case LimitReached():
            return JSONResponse(error_body(429, error.code, str(error)), 429, after(error))
        case Refused():
            body = error_body(error.status, error.code, str(error), error.param)
            # RFC 9110 11.6.1: a 401 names the way to show who one is.
            headers = {"WWW-Authenticate": "Bearer"} if error.status == 401 else {}
            return JSONResponse(body, error.status, headers | error.headers)


async def refuse(error: Refusal, scope: Scope, receive: Receive, send: Send) -> None:
    """Say no to a request, or to a WebSocket that is not open yet."""
    if scope["type"] == "websocket":
        await WebSocket(scope, receive, send).send_denial_response(error_response(error))
    else:
        await error_response(error)(scope, receive, send)


async def upgrade_required(_: Request) -> Response:
    """Tell a plain HTTP client what belongs here (RFC 9110 15.5.22)."""
    headers = {"Upgrade": "websocket", "Connection": "Upgrade"}
    return PlainTextResponse(UPGRADE, HTTPStatus.UPGRADE_REQUIRED, headers)


def after(error: Busy | LimitReached) -> dict[str, str]:
    """Say when to come back, in whole seconds."""
    return {"Retry-After": f"{max(1, math.ceil(error.retry_after))}"}


def error_body(status: int, code: str, message: str, param: str | None = None) -> dict[str, object]:
    """Write an error as the OpenAI API does."""
    kind = TYPES.get(status, "invalid_request_error")
    return {"error": {"message": message, "type": kind, "code": code, "param": param}}
