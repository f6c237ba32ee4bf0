"""All routes are there, and what leads nowhere says so, to WebSockets too."""

from __future__ import annotations

import pytest
from pcm_place import served
from starlette.routing import WebSocketRoute
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from realtime.config import Settings
from realtime.engine.fake import FakeEngine
from realtime.gateway.routes.app import create_app

SOCKETS = ["/v1/pcm", "/v1/realtime"]


async def test_every_way_in_leads_somewhere():
    app = create_app(Settings(), FakeEngine())
    paths = {route.path for route in app.routes}
    assert paths >= {"/", "/healthz", "/readyz", "/metrics", "/whip", "/v1/realtime/calls"}
    assert [r.path for r in app.routes if isinstance(r, WebSocketRoute)] == SOCKETS
    assert app.state.calls.gateway is app.state.openai.gateway is app.state.gateway


async def test_what_connections_share_knows_what_its_routes_allow():
    app = create_app(Settings(), FakeEngine())
    limits = app.state.gateway.socket_limits()
    assert list(limits.longest) == ["/v1/realtime"]
    assert limits.longest["/v1/realtime"] > 15 << 20, "OpenAI's longest append, in JSON"
    assert limits.frames_per_minute == Settings().connection.frames_per_minute


async def test_pages_and_plain_requests_find_what_is_there():
    async with served() as place:
        page = await place.get("/")
        assert page.headers["content-type"].startswith("text/html")
        assert "web/app.js" in page.text
        assert (await place.get("/web/app.js")).status_code == 200
        upgrade = await place.get("/v1/pcm")
        assert (upgrade.status_code, upgrade.headers["upgrade"]) == (426, "websocket")
        assert (await place.get("/nowhere")).status_code == 404


async def test_a_socket_to_nowhere_is_refused_before_the_upgrade():
    async with served() as place:
        with pytest.raises(InvalidStatus) as refused:
            await connect(f"ws://127.0.0.1:{place.port}/v1/nowhere", proxy=None)
        assert refused.value.response.status_code == 404
        assert b"unknown_url" in refused.value.response.body


async def test_a_name_that_is_not_ours_is_refused_before_anything_else():
    async with served() as place:
        response = await place.get("/nowhere", Host="evil.example")
        assert (response.status_code, response.json()["error"]["code"]) == (421, "host_not_allowed")
