"""Firefox ESR as a page's browser, and a PulseAudio of its own as its microphone.

Firefox's fake devices leave an AudioContext suspended, so its microphone is the monitor of a sink
into which the tests play. Both programs belong to who opened them, and end with that.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from web.browsing import GUARD_MS, spoken

NODE = Path(__file__).parents[1] / "node"
ENDING_S = 10
PULSE = """
load-module module-native-protocol-unix auth-anonymous=1 socket={socket}
load-module module-null-sink sink_name=ears
load-module module-null-sink sink_name=voice rate=48000 channels=1 {named}
set-default-sink ears
set-default-source voice.monitor
"""
"""What the page plays goes to the ears, what the tests play to the voice that it hears."""


def firefox_path() -> str:
    """Find Firefox and what its tests need, or skip."""
    for program in ("node", "pulseaudio", "paplay", "pactl"):
        if not shutil.which(program):
            pytest.skip(
                f"no {program} here (Debian: apt install nodejs pulseaudio pulseaudio-utils)"
            )
    if not (NODE / "node_modules" / "puppeteer-core").exists():
        pytest.skip("needs the packages of tests/node (scripts/setup)")
    for name in ("firefox-esr", "firefox"):
        if not (found := shutil.which(name)):
            continue
        # Ubuntu's package without snap is a script that only says what is missing.
        if subprocess.run([found, "--version"], capture_output=True, check=False).returncode == 0:
            return found
    pytest.skip("no Firefox here (Debian: apt install firefox-esr)")


async def ended(process: asyncio.subprocess.Process) -> None:
    """Wait for a program that should end; end it if it does not."""
    try:
        async with asyncio.timeout(ENDING_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()


class Voice:
    """Plays samples into the microphone of whoever hears this PulseAudio."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "XDG_RUNTIME_DIR": str(folder),
            "PULSE_RUNTIME_PATH": str(folder),
            "PULSE_SERVER": f"unix:{folder / 'native'}",
        }

    async def call(self, *command: str | Path) -> int:
        """Run one of PulseAudio's programs to its end."""
        process = await asyncio.create_subprocess_exec(
            *command,
            env=self.environment,
            stderr=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
        )
        return await process.wait()

    async def say(self, *parts: str | float) -> None:
        """Speak samples, by name, and seconds of silence, to their end."""
        file = spoken(self.folder / "said.wav", *parts)
        assert await self.call("paplay", "--latency-msec=50", "--device=voice", file) == 0


@asynccontextmanager
async def voice(folder: Path) -> AsyncIterator[Voice]:
    """Run a PulseAudio that nobody else uses."""
    script = folder / "script.pa"
    named = "sink_properties=device.description=Voice"
    script.write_text(PULSE.format(socket=folder / "native", named=named))
    made = Voice(folder)
    quiet = ("-n", "--system=false", "--daemonize=no", "--exit-idle-time=-1", "--use-pid-file=no")
    more = ("--disable-shm=yes", "--realtime=no", "--high-priority=no", "--log-level=error")
    pulse = await asyncio.create_subprocess_exec(
        "pulseaudio",
        *quiet,
        *more,
        "-F",
        script,
        env=made.environment,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        while await made.call("pactl", "info"):
            assert pulse.returncode is None, "pulseaudio ended by itself"
            await asyncio.sleep(0.1)
        yield made
    finally:
        with contextlib.suppress(ProcessLookupError):
            pulse.terminate()
        await ended(pulse)


class Firefox:
    """One page at a time in a Firefox that a program of tests/node drives."""

    def __init__(self, node: asyncio.subprocess.Process) -> None:
        self.node = node

    async def answer(self) -> Any:
        assert self.node.stdout
        told = json.loads(await self.node.stdout.readline() or '{"error": "node ended"}')
        assert "error" not in told, told["error"]
        return told["value"]

    async def order(self, order: str, **fields: object) -> Any:
        """Have something done, and give what came of it."""
        assert self.node.stdin
        self.node.stdin.write(json.dumps({"order": order, **fields}).encode() + b"\n")
        await self.node.stdin.drain()
        return await self.answer()

    async def open(self, url: str, **settings: object) -> None:
        """Open the page for a new visitor who has chosen some settings."""
        await self.order("open", url=url, settings=settings)

    async def until(self, script: str) -> Any:
        """Wait until a script gives something, and give that."""
        return await self.order("until", script=script)

    async def shows(self, selector: str, text: str) -> None:
        """Wait until an element reads so."""
        element = f"document.querySelector({json.dumps(selector)})"
        await self.until(f"{element}?.textContent.includes({json.dumps(text)})")


@asynccontextmanager
async def firefox(path: str, hearing: Voice) -> AsyncIterator[Firefox]:
    """Run a Firefox that hears a voice."""
    environment = {**hearing.environment, "MOZ_CRASHREPORTER_DISABLE": "1"}
    pipe = asyncio.subprocess.PIPE
    node = await asyncio.create_subprocess_exec(
        "node", NODE / "firefox.mjs", path, str(GUARD_MS), env=environment, stdin=pipe, stdout=pipe
    )
    pid = None
    try:
        made = Firefox(node)
        pid = (await made.answer())["pid"]
        yield made
    finally:
        assert node.stdin
        node.stdin.close()
        await ended(node)
        if node.returncode and pid:  # node did not live to close it
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
