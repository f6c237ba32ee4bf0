"""The stock `openai` package as a peer that holds all it is told against order and types."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import soxr
from conformance.order import Order
from conformance.schema import BETA_EVENTS, EVENTS, Zod, strict
from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection

from client.microphone import Microphone
from realtime.audio.files import read
from realtime.audio.pcm import Pcm, to_bytes

SAMPLES = Path(__file__).parents[2] / "client" / "samples"
INDEX: dict[str, Any] = json.loads((SAMPLES / "samples.json").read_text())
FAST = 20.0  # times real time: the server's clock is the audio
RATE = 24000
PATIENCE = 60.0
"""Seconds without the event that a test waits for."""


def sample(name: str) -> bytes:
    """Read a sample as the API's own PCM: s16le mono at 24 kHz."""
    return at_rate(read(SAMPLES / name), RATE)


def at_rate(pcm: Pcm, rate: int) -> bytes:
    """Bring samples at 16 kHz to another rate."""
    return to_bytes(soxr.resample(pcm, 16000, rate))


def b64(sound: bytes) -> str:
    return base64.b64encode(sound).decode()


@dataclass
class Peer:
    """One connection; `events` holds everything received, as instances of the SDK's classes."""

    connection: AsyncRealtimeConnection
    types: dict[str, Any] | None = field(default_factory=lambda: EVENTS)
    """What events are held against; None: they are read as the SDK reads them."""
    order: Order | None = field(default_factory=Order)
    zod: Zod | None = None
    events: list[Any] = field(default_factory=list)
    cursor: int = 0
    news: asyncio.Event = field(default_factory=asyncio.Event)
    failure: BaseException | None = None
    microphone: Microphone = field(default_factory=lambda: Microphone(rate=RATE, speed=FAST))
    encode: Callable[[Pcm], bytes] = lambda pcm: at_rate(pcm, RATE)

    async def listen(self) -> None:
        """Take every event; keep the first thing that is wrong."""
        try:
            while True:
                raw = await self.connection.recv_bytes()
                parsed = self.connection.parse_event(raw)
                event = strict(raw, self.types) if self.types else parsed
                if self.types is EVENTS:
                    assert type(parsed) is type(event)
                    assert self.zod is None or self.zod.faults(raw) == []
                if self.order is not None:
                    self.order.follow(json.loads(raw))
                self.events.append(event)
                self.news.set()
        except Exception as failure:
            self.failure = failure
            self.news.set()

    async def until(self, kind: str, fits: Callable[[Any], bool] = lambda _: True) -> Any:
        """Wait for the next event of a type; others are passed over, but no error."""
        async with asyncio.timeout(PATIENCE):
            while True:
                while self.cursor < len(self.events):
                    event = self.events[self.cursor]
                    self.cursor += 1
                    if event.type == kind and fits(event):
                        return event
                    assert event.type != "error", event
                if self.failure is not None:
                    raise self.failure
                self.news.clear()
                await self.news.wait()

    async def error(self, code: str | None = None) -> Any:
        """Wait for an error, of this code; give what it says."""
        event = await self.until("error")
        assert code in (None, event.error.code), event
        return event.error

    async def answer(self) -> str:
        """Wait for the next response to be over; give what it says."""
        return text_of(await self.until("response.done"))

    async def configure(self, **session: Any) -> Any:
        """Change the session; give it as the server has it now."""
        await self.connection.session.update(session={"type": "realtime", **session})
        return (await self.until("session.updated")).session

    async def send_audio(self, sound: bytes) -> None:
        """Stream a recording at the microphone's pace."""
        async for frame in self.microphone.frames(sound):
            await self.connection.input_audio_buffer.append(audio=b64(frame))

    async def say(self, name: str, *, quiet_ms: int = 1000) -> None:
        """Speak a sample, and be quiet."""
        await self.send_audio(self.encode(read(SAMPLES / name)))
        await self.quiet(quiet_ms)

    def interruption(self, name: str) -> str:
        """Make a sample and a second of silence one message; no time for that during an answer."""
        return b64(self.encode(read(SAMPLES / name)) + self.microphone.silence * 50)

    async def interrupt(self, interruption: str) -> None:
        """Say what was made before, before an answer is over."""
        await self.connection.input_audio_buffer.append(audio=interruption)

    def telephone(self, encode: Callable[[Pcm], bytes]) -> None:
        """Speak in G.711 from now on: 8,000 bytes a second."""
        self.microphone = Microphone(rate=8000, width=1, speed=FAST)
        self.microphone.silence = encode(np.zeros(160, np.int16))
        self.encode = lambda pcm: encode(np.frombuffer(at_rate(pcm, 8000), np.int16))

    async def quiet(self, ms: int) -> None:
        """Be silent into the microphone."""
        async for frame in self.microphone.quiet(ms):
            await self.connection.input_audio_buffer.append(audio=b64(frame))

    async def write(self, text: str, **place: str) -> Any:
        """Put a written message of the user into the conversation; give the item."""
        content = [{"type": "input_text", "text": text}]
        return await self.put({"type": "message", "role": "user", "content": content}, **place)

    async def put(self, item: dict[str, Any], **place: str) -> Any:
        """Put an item into the conversation; give it as the server has it."""
        await self.connection.conversation.item.create(item=item, **place)
        return (await self.until("conversation.item.done")).item

    async def ask(self, text: str) -> str:
        """Ask in writing."""
        await self.write(text)
        await self.connection.response.create()
        return await self.answer()

    async def settled(self) -> None:
        """Wait until everything sent was dealt with: a change of nothing is confirmed."""
        session = {} if self.types is BETA_EVENTS else {"type": "realtime"}
        await self.connection.send({"type": "session.update", "session": session})
        await self.until("session.updated")

    @property
    def kinds(self) -> list[str]:
        """Give the types of all events so far, neighbouring deltas as one."""
        kinds = [event.type for event in self.events]
        return [
            kind
            for i, kind in enumerate(kinds)
            if not (i and kind == kinds[i - 1] and kind.endswith(".delta"))
        ]


def text_of(done: Any) -> str:
    """Give the text of a response.done."""
    return "".join(part.text for item in done.response.output for part in item.content)


@asynccontextmanager
async def connected(
    address: str, *, zod: Zod | None = None, openai: AsyncOpenAI | None = None, **options: Any
) -> AsyncIterator[Peer]:
    """Connect the stock client to a server at host:port."""
    fields = {name: options.pop(name) for name in ("types", "order") if name in options}
    async with (
        openai or AsyncOpenAI(api_key="none", base_url=f"http://{address}/v1") as openai,
        openai.realtime.connect(model="gpt-realtime", **options) as connection,
    ):
        peer = Peer(connection, zod=zod, **fields)
        listening = asyncio.create_task(peer.listen())
        try:
            yield peer
            await peer.settled()
            assert peer.failure is None
        finally:
            listening.cancel()
            with suppress(asyncio.CancelledError):
                await listening
