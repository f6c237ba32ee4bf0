"""The page and both transports in Firefox ESR, whose microphone hears recordings."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from web.browsing import SAMPLES, TRANSPORTS, serving
from web.firefox import Firefox, Voice, firefox, firefox_path, voice

from realtime.engine.fake import FakeEngine

pytestmark = [pytest.mark.real_time, pytest.mark.asyncio(loop_scope="session")]

ANSWERS = "[...document.querySelectorAll('.assistant:not(.in_progress) .words')]"
SAID = f"{ANSWERS}.map((answer) => answer.children[1].textContent)"


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def hearing() -> AsyncIterator[Voice]:
    firefox_path()
    with tempfile.TemporaryDirectory(prefix="pulse-") as folder:  # a socket's path must be short
        async with voice(Path(folder)) as made:
            yield made


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def browser(hearing) -> AsyncIterator[Firefox]:
    async with firefox(firefox_path(), hearing) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def page(browser) -> AsyncIterator[Firefox]:
    """A browser that has nothing to complain of."""
    yield browser
    assert await browser.order("complaints") == []


async def answered(page: Firefox, *texts: str) -> None:
    count = f"{ANSWERS}.length >= {len(texts)}"
    assert await page.until(f"{count} && {SAID}") == list(texts)


@pytest.mark.parametrize("transport", TRANSPORTS)
async def test_what_is_said_is_heard_and_remembered(transport, server, page, hearing):
    await page.open(server.url, transport=transport)
    await page.order("click", selector="#talk")
    await page.until("document.body.dataset.phase === 'listening'")
    await page.shows("#link-text", TRANSPORTS[transport])
    await hearing.say("my-name-is-anna.wav")
    await answered(page, "Nice to meet you, Anna.")
    await page.order("type", selector="#words", text="What is my name?\n")
    await answered(page, "Nice to meet you, Anna.", "Your name is Anna.")
    await page.shows(".user.spoken .transcript", "My name is")


async def test_the_space_bar_is_held_to_talk(server, page, hearing):
    await page.open(server.url, talk="push", transport="websocket", transcribe=False)
    await page.order("down", key=" ")
    await page.until("document.body.dataset.phase === 'hearing'")
    await page.until("document.getElementById('link').dataset.state === 'open'")
    await hearing.say("what-is-the-capital-of-france.mp3", 0.3)
    await page.order("up", key=" ")
    await answered(page, "Paris.")


async def test_a_sound_file_is_asked_about(server, page):
    await page.open(server.url, mode="analysis")
    await page.order("give", selector="#file", file=str(SAMPLES / "siren.wav"))
    await page.shows("#attachment .file", "siren.wav")
    await page.order("type", selector="#words", text="What's that sound?")
    await page.order("click", selector="#send")
    await answered(page, "It is a siren.")


async def test_the_microphone_is_chosen_and_its_level_seen(page, hearing):
    async with serving(FakeEngine()) as server:
        await page.open(server.url)
        await page.order("click", selector="#settings-button")
        await page.order("click", selector="#try")
        names = await page.until(
            "(() => { const all = [...document.querySelectorAll('#microphone option')];"
            " return all.length > 1 && all.map((option) => option.textContent); })()"
        )
        assert any("voice" in name.lower() for name in names)
        level = "Number(document.getElementById('level').getAttribute('aria-valuenow'))"
        await page.until(
            f"(window.loudest = 0, setInterval(() => loudest = Math.max(loudest, {level}), 20))"
        )
        await hearing.say("say-that-again.wav")
        await page.until("window.loudest > 30")


async def test_what_is_written_waits_for_the_server(page):
    async with serving(FakeEngine("Hello there.")) as server:
        await page.open(server.url, transport="websocket")
        await page.shows("#model", "fake")
        await server.stop()
        await page.order("type", selector="#words", text="hello\n")
        await page.order("down", key="Enter")
        await page.order("up", key="Enter")
        await page.shows(".user.waiting .words", "hello")
        await server.start()
        await answered(page, "Hello there.")
