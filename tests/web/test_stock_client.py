"""The stock WebRTC client of OpenAI's Agents SDK, unmodified, in the same Chromium.

Its package is installed by `scripts/setup test` (npm); it is served from another origin than the
server's, as an application's own page would be.
"""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import pytest_asyncio
import uvicorn
from playwright.async_api import expect
from starlette.applications import Starlette
from starlette.responses import HTMLResponse
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from web.browsing import serving, spoken

from realtime.gateway.access.settings import AuthConfig
from realtime.gateway.http.server import bind

pytestmark = [pytest.mark.real_time, pytest.mark.asyncio(loop_scope="session")]

BUNDLE = Path(__file__).parents[1] / "node/node_modules/@openai/agents-realtime/dist/bundle"
PAGE = """<!doctype html><title>An application</title><ol id="answers"></ol><ol id="kinds"></ol>
<script type="module">
  import {
    OpenAIRealtimeWebRTC, RealtimeAgent, RealtimeSession,
  } from "/sdk/openai-realtime-agents.mjs";
  const show = (list, text) => {
    const item = document.createElement("li");
    item.textContent = text;
    document.getElementById(list).append(item);
  };
  window.start = async (baseUrl) => {
    const agent = new RealtimeAgent({ name: "assistant", instructions: "" });
    const transport = new OpenAIRealtimeWebRTC({ baseUrl });
    const session = new RealtimeSession(agent, { transport });
    session.on("agent_end", (context, who, text) => show("answers", text));
    session.on("error", (error) => show("kinds", JSON.stringify(error)));
    session.on("transport_event", (event) => show("kinds", event.type));
    await session.connect({ apiKey: "ek_none" });
    return transport.status;
  };
</script>"""


@pytest_asyncio.fixture(loop_scope="session")
async def application():
    """Serve the application's page; give its address."""
    if not BUNDLE.is_dir():
        pytest.skip(
            "@openai/agents-realtime is not installed (scripts/setup test needs npm for it)"
        )

    async def index(_):
        return HTMLResponse(PAGE)

    app = Starlette(routes=[Route("/", index), Mount("/sdk", StaticFiles(directory=BUNDLE))])
    with bind("127.0.0.1", 0) as listening:
        # A server of another kind, as an application has.
        web = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None))
        running = asyncio.create_task(web.serve(sockets=[listening]))
        yield f"http://localhost:{listening.getsockname()[1]}/"
        web.should_exit = True
        await running


async def test_a_spoken_question_is_answered(application, model, chromium, tmp_path):
    microphone = spoken(tmp_path / "mic.wav", 1.5, "what-is-the-capital-of-france.mp3", 3.0)
    async with serving(model, auth=AuthConfig(origins=(application.rstrip("/"),))) as server:
        page = await chromium.open(application, microphone)
        await page.wait_for_function("() => Boolean(window.start)")
        status = await page.evaluate("url => start(url)", server.url + "v1/realtime/calls")
        assert status == "connected"
        await expect(page.locator("#answers li")).to_have_text(["Paris."])
        kinds = await page.locator("#kinds li").all_text_contents()
    assert kinds[0] == "session.created"
    assert not [kind for kind in kinds if "error" in kind]
