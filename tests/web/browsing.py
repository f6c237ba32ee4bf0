"""A real Chromium, a microphone that plays recordings, and a server that can be started again."""

from __future__ import annotations

import asyncio
import base64
import shutil
import subprocess
import wave
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
import soxr
from playwright.async_api import Browser, Locator, Page, Playwright

from realtime import config
from realtime.engine.api import Engine
from realtime.gateway.http.server import bind, web_server
from realtime.gateway.routes.app import create_app

SAMPLES = Path(__file__).parents[2] / "client" / "samples"
MICROPHONE_RATE = 48_000
GUARD_MS = 40_000
"""How long a test waits for what must come; never how long it takes."""
QUIET = [
    "--no-sandbox",  # the tests may be run by root, as in a container
    "--autoplay-policy=no-user-gesture-required",
    "--disable-features=WebRtcHideLocalIpsWithMdns",
]
TRANSPORTS = {"websocket": "WebSocket", "webrtc": "WebRTC"}
"""The setting, and what the page calls it."""
LISTENING = ["--use-fake-device-for-media-stream", "--use-fake-ui-for-media-stream"]


@cache
def chromium_path() -> str:
    """Find a Chromium, or skip."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if not (found := shutil.which(name)):
            continue
        # Ubuntu's package without snap is a script that only says what is missing.
        if subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
            return found
    pytest.skip("no Chromium here (Debian: apt install chromium)")


def spoken(path: Path, *parts: str | float) -> Path:
    """Write what the microphone hears: samples by name, and seconds of silence."""
    sounds = []
    for part in parts:
        if isinstance(part, str):
            sound, rate = soundfile.read(SAMPLES / part, dtype="float32", always_2d=True)
            sounds.append(soxr.resample(sound.mean(axis=1), rate, MICROPHONE_RATE))
        else:
            sounds.append(np.zeros(int(part * MICROPHONE_RATE), np.float32))
    pcm = (np.concatenate(sounds) * 32767).astype("<i2")
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(MICROPHONE_RATE)
        file.writeframes(pcm.tobytes())
    return path


# A microphone into which the test speaks when it wants to, whatever the machine's pace.
MICROPHONE = """
navigator.mediaDevices.getUserMedia = async () => {
  const context = new AudioContext();
  const microphone = context.createMediaStreamDestination();
  window.say = async (base64) => {
    const bytes = Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0));
    const buffer = await context.decodeAudioData(bytes.buffer);
    const source = new AudioBufferSourceNode(context, { buffer });
    source.connect(microphone);
    source.start();
    await new Promise((resolve) => (source.onended = resolve));
  };
  await context.resume();
  return microphone.stream;
};
"""


async def say(page: Page, name: str) -> None:
    """Speak a sample into the page's microphone, to its end."""
    sound = base64.b64encode((SAMPLES / name).read_bytes()).decode()
    listening = "() => window.say && !['off', 'connecting'].includes(document.body.dataset.phase)"
    await page.wait_for_function(listening)
    await page.evaluate("sound => say(sound)", sound)


class Server:
    """A gateway on a port that stays the same when it is started again."""

    def __init__(self, engine: Engine, settings: config.Settings) -> None:
        self.engine = engine
        self.settings = settings
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://localhost:{self.port}/"

    async def start(self) -> None:
        app = create_app(self.settings, self.engine)
        self.gateway = app.state.gateway
        self.listening = bind("127.0.0.1", self.port)
        self.port = self.listening.getsockname()[1]
        self.web = web_server(app, self.settings.server)
        self.serving = asyncio.create_task(self.web.serve(sockets=[self.listening]))

    async def stop(self) -> None:
        await self.gateway.close(5)
        self.web.should_exit = True
        await self.serving
        self.listening.close()


@asynccontextmanager
async def serving(engine: Engine, **settings) -> AsyncIterator[Server]:
    server = Server(engine, config.Settings(**settings))
    await server.start()
    try:
        yield server
    finally:
        await server.stop()


class Chromium:
    """Opens pages; those whose microphone is a file need a browser of their own."""

    def __init__(self, playwright: Playwright, shared: dict[str, Browser]) -> None:
        self.playwright = playwright
        self.shared = shared
        self.stack = AsyncExitStack()
        self.complaints: list[str] = []

    async def browser(self, microphone: Path | None, more: list[str]) -> Browser:
        if microphone is None and (known := self.shared.get(str(more))):
            return known
        hears = [f"--use-file-for-fake-audio-capture={microphone}%noloop"] if microphone else []
        browser = await self.playwright.chromium.launch(
            executable_path=chromium_path(), args=[*QUIET, *more, *hears]
        )
        if microphone is None:
            self.shared[str(more)] = browser
        else:
            self.stack.push_async_callback(browser.close)
        return browser

    async def open(
        self, url: str, microphone: Path | None = None, *, more: list[str] = LISTENING, **options
    ) -> Page:
        """Open the page for a new visitor; what it throws fails the test."""
        browser = await self.browser(microphone, more)
        context = await browser.new_context(**options)
        self.stack.push_async_callback(context.close)
        page = await context.new_page()
        if not microphone and more == LISTENING:
            await page.add_init_script(MICROPHONE)
        page.set_default_timeout(GUARD_MS)
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self.listen)
        await page.goto(url)
        return page

    def listen(self, message) -> None:
        """Note what the browser complains of, except requests that the server refused."""
        refused = ("Failed to load resource", "WebSocket connection")
        if message.type == "error" and not message.text.startswith(refused):
            self.complaints.append(message.text)


async def use(page: Page, **settings: object) -> None:
    """Choose settings as an earlier visit would have left them."""
    await page.evaluate(
        "settings => localStorage.setItem('realtime.settings', JSON.stringify(settings))", settings
    )
    await page.reload()


def answers(page: Page) -> Locator:
    """The answers that are complete."""
    return page.locator(".assistant:not(.in_progress) .words > span:nth-child(2)")
