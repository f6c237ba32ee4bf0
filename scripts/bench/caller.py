"""A caller over real WebRTC (aiortc: ICE, DTLS, SRTP, Opus, SCTP), and the network before it."""

from __future__ import annotations

import asyncio
import fractions
import json
import random
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import httpx
import numpy as np
import soxr
from aiortc import (
    RTCBundlePolicy,
    RTCConfiguration,
    RTCDataChannel,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.mediastreams import MediaStreamError, MediaStreamTrack
from av import AudioFrame

RATE = 48_000
FRAME = 960  # samples: 20 ms
CALLS = "/v1/realtime/calls"
CANDIDATE = re.compile(r"a=candidate:\S+ \d+ udp \d+ (\S+) (\d+) typ host\r\n")


class Microphone(MediaStreamTrack):
    """A microphone that never stops; it hears what it is given, and silence in between."""

    kind = "audio"

    def __init__(self, *, speed: float = 1.0) -> None:
        super().__init__()
        self.waiting = np.empty(0, np.int16)
        self.sent = 0
        self.silent = asyncio.Event()
        self.began: float | None = None
        self.frame_s = FRAME / RATE / speed

    def say(self, pcm: np.ndarray) -> None:
        """Give it mono int16 at 16 kHz to hear."""
        heard = soxr.resample(pcm.astype(np.float32), 16_000, RATE)
        samples = np.clip(np.rint(heard), -32768, 32767).astype(np.int16)
        self.waiting = np.concatenate((self.waiting, samples))
        self.silent.clear()

    async def recv(self) -> AudioFrame:
        """Give the next 20 ms at their time."""
        if self.readyState != "live":
            raise MediaStreamError
        loop = asyncio.get_running_loop()
        if self.began is None:
            self.began = loop.time()
        await asyncio.sleep(max(0.0, self.began + self.sent * self.frame_s - loop.time()))
        samples = np.zeros(FRAME, np.int16)
        piece, self.waiting = self.waiting[:FRAME], self.waiting[FRAME:]
        samples[: piece.size] = piece
        if not self.waiting.size:
            self.silent.set()
        frame = AudioFrame.from_ndarray(samples[None], format="s16", layout="mono")
        frame.sample_rate, frame.pts = RATE, self.sent * FRAME
        frame.time_base = fractions.Fraction(1, RATE)
        self.sent += 1
        return frame


@dataclass(frozen=True, slots=True)
class Weather:
    """What happens to media on its way to the server; seconds, and a share of the packets."""

    loss: float = 0.0
    jitter_s: float = 0.0
    """Each packet is late by its own time between nothing and this."""
    stall_at_s: float = float("inf")
    """When the network stops, counted from the first packet after `begin`."""
    stall_s: float = 0.0
    lost_in_stall: bool = False
    """What was sent in a stall is gone, instead of coming all at once after it."""


class Relay:
    """Carries UDP between a caller and the server; harms the caller's media as told, by a seed."""

    def __init__(self, weather: Weather, seed: int) -> None:
        self.weather = weather
        self.random = random.Random(seed)
        self.loop = asyncio.get_running_loop()
        self.caller: Any = None
        self.server: Any = None
        self.near: asyncio.DatagramTransport | None = None
        self.far: asyncio.DatagramTransport | None = None
        self.began: float | None = None
        self.packets = self.lost = 0
        self.stalled: list[bytes] = []

    def begin(self) -> None:
        """Let the weather change now."""
        self.began = self.loop.time()

    async def open(self, server: tuple[str, int]) -> tuple[str, int]:
        """Stand before a server's address; give the address that stands for it."""
        self.server = server
        host = (server[0], 0)
        self.near, _ = await self.loop.create_datagram_endpoint(
            lambda: Side(self.from_caller), local_addr=host
        )
        self.far, _ = await self.loop.create_datagram_endpoint(
            lambda: Side(self.from_server), local_addr=host
        )
        address: tuple[str, int] = self.near.get_extra_info("sockname")
        return address

    def close(self) -> None:
        """Carry nothing more."""
        for side in (self.near, self.far):
            if side is not None:
                side.close()

    def from_caller(self, data: bytes, address: Any) -> None:
        """Carry to the server, perhaps, and perhaps later."""
        self.caller = address
        if self.began is None or not is_media(data):
            self.to_server(data)
            return
        self.packets += 1
        delay = self.random.uniform(0, self.weather.jitter_s)
        lost = self.random.random() < self.weather.loss
        into = self.loop.time() - self.began - self.weather.stall_at_s
        stalling = 0 <= into < self.weather.stall_s
        if lost or (stalling and self.weather.lost_in_stall):
            self.lost += 1
        elif stalling:
            if not self.stalled:
                self.loop.call_later(self.weather.stall_s - into, self.flow)
            self.stalled.append(data)
        elif self.stalled:
            self.stalled.append(data)
        elif delay:
            self.loop.call_later(delay, self.to_server, data)
        else:
            self.to_server(data)

    def flow(self) -> None:
        """Carry, in order, what waited for the end of the stall."""
        for data in self.stalled:
            self.to_server(data)
        self.stalled.clear()

    def to_server(self, data: bytes) -> None:
        """Carry to the server."""
        if self.far is not None and not self.far.is_closing():
            self.far.sendto(data, self.server)

    def from_server(self, data: bytes, _: Any) -> None:
        """Carry to the caller."""
        if self.near is not None and self.caller is not None:
            self.near.sendto(data, self.caller)


class Side(asyncio.DatagramProtocol):
    """One socket of a relay."""

    def __init__(self, take: Callable[[bytes, Any], None]) -> None:
        self.take = take

    def datagram_received(self, data: bytes, addr: Any) -> None:
        """Take a datagram."""
        self.take(data, addr)


def is_media(data: bytes) -> bool:
    """Tell whether a datagram is RTP, neither RTCP nor anything else (RFC 7983, RFC 5761)."""
    return len(data) > 1 and 127 < data[0] < 192 and not 192 <= data[1] <= 223


@dataclass(slots=True)
class Caller:
    """One call."""

    connection: RTCPeerConnection
    microphone: Microphone
    channel: RTCDataChannel | None = None
    relay: Relay | None = None
    response: httpx.Response | None = None
    got: list[dict[str, Any]] = field(default_factory=list)
    news: asyncio.Event = field(default_factory=asyncio.Event)

    def heard(self, message: str) -> None:
        """Take a message of the server."""
        self.got.append(json.loads(message))
        self.news.set()

    def say(self, message: str | bytes | dict[str, Any]) -> None:
        """Send on the data channel; a dict goes as JSON."""
        assert self.channel is not None
        self.channel.send(json.dumps(message) if isinstance(message, dict) else message)

    async def until(self, type: str, count: int = 1, *, seconds: float = 20.0) -> dict[str, Any]:
        """Wait for the message of a type, or the second, third ... of them."""
        async with asyncio.timeout(seconds):
            while True:
                found = [message for message in self.got if message["type"] == type]
                if len(found) >= count:
                    return found[count - 1]
                self.news.clear()
                await self.news.wait()

    @property
    def location(self) -> str:
        """Give the address of the call."""
        assert self.response is not None
        return self.response.headers["location"]

    async def close(self) -> None:
        """Hang up."""
        await self.connection.close()
        if self.relay is not None:
            self.relay.close()


def connection() -> RTCPeerConnection:
    """Make a peer that asks no server."""
    return RTCPeerConnection(
        RTCConfiguration(iceServers=[], bundlePolicy=RTCBundlePolicy.MAX_BUNDLE)
    )


async def dial(
    url: str,
    path: str = CALLS,
    *,
    speed: float = 1.0,
    label: str | None = "oai-events",
    relay: Relay | None = None,
    offered: Callable[[str], str] = str,
    answered: Callable[[str], str] = str,
    key: str | None = None,
) -> Caller:
    """Make an offer, send it, and take the answer, both perhaps changed; it connects by itself."""
    caller = Caller(connection(), Microphone(speed=speed), relay=relay)
    caller.connection.addTransceiver(caller.microphone, direction="sendonly")
    if label is not None:
        caller.channel = caller.connection.createDataChannel(label)
        caller.channel.on("message", caller.heard)
    await caller.connection.setLocalDescription(await caller.connection.createOffer())
    offer = caller.connection.localDescription.sdp
    if relay is not None:
        # The server would see the addresses and connect beside the relay.
        offer = re.sub(r"a=(candidate:.*|end-of-candidates)\r\n", "", offer)
    async with httpx.AsyncClient(trust_env=False, base_url=url) as client:
        headers = {"Content-Type": "application/sdp"}
        if key is not None:
            headers["Authorization"] = f"Bearer {key}"
        caller.response = await client.post(
            path, content=offered(offer), headers=headers, timeout=30
        )
    caller.response.raise_for_status()
    answer = answered(caller.response.text)
    if relay is not None:
        answer = await through(relay, answer)
    await caller.connection.setRemoteDescription(RTCSessionDescription(answer, "answer"))
    return caller


async def through(relay: Relay, answer: str) -> str:
    """Put the relay's address for the server's."""
    host, port = next(m.groups() for m in CANDIDATE.finditer(answer) if ":" not in m[1])
    near = await relay.open((host, int(port)))
    line = f"a=candidate:1 1 udp 2130706431 {near[0]} {near[1]} typ host\r\n"
    return CANDIDATE.sub(lambda m: line if m[1] == host else "", answer)


@asynccontextmanager
async def calling(url: str, path: str = CALLS, **options: Any) -> AsyncIterator[Caller]:
    """Call, and hang up at the end."""
    caller = await dial(url, path, **options)
    try:
        yield caller
    finally:
        await caller.close()
