"""What the tests of the page share: browsers, servers, and the bundled model, loaded once."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest_asyncio
from playwright.async_api import Browser, Playwright, async_playwright, expect
from web.browsing import GUARD_MS, Chromium, Server, chromium_path, serving

from realtime import config
from realtime.engine.api import Engine
from realtime.engine.worker.engine import WorkerEngine

expect.set_options(timeout=GUARD_MS)


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def playwright() -> AsyncIterator[Playwright]:
    chromium_path()
    async with async_playwright() as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def model() -> AsyncIterator[Engine]:
    """The bundled model in its worker."""
    settings = config.load(environment={}, options={})
    async with WorkerEngine(settings.worker) as engine:
        await engine.ready()
        yield engine


@pytest_asyncio.fixture(loop_scope="session")
async def server(model) -> AsyncIterator[Server]:
    """A server of the bundled model."""
    async with serving(model) as running:
        yield running


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browsers(playwright) -> AsyncIterator[dict[str, Browser]]:
    """The browsers that tests share, by how they were started."""
    shared: dict[str, Browser] = {}
    yield shared
    for browser in shared.values():
        await browser.close()


@pytest_asyncio.fixture(loop_scope="session")
async def chromium(playwright, browsers) -> AsyncIterator[Chromium]:
    chromium = Chromium(playwright, browsers)
    async with chromium.stack:
        yield chromium
    assert chromium.complaints == []
