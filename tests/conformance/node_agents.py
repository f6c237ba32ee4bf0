"""The Agents SDK of Node as a peer; every event it is told is held against its schemas."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from conformance.order import Order
from conformance.peer import FAST, PATIENCE, RATE, b64, sample
from conformance.schema import NODE

from client.microphone import Microphone

Told = dict[str, Any]


@dataclass
class Agents:
    """One RealtimeSession; `told` holds what it said, in order."""

    node: asyncio.subprocess.Process
    order: Order = field(default_factory=Order)
    told: list[Told] = field(default_factory=list)
    microphone: Microphone = field(default_factory=lambda: Microphone(rate=RATE, speed=FAST))

    async def next(self) -> Told:
        """Read the next thing it says."""
        assert self.node.stdout
        line = await self.node.stdout.readline()
        assert line, "the SDK's program ended"
        told: Told = json.loads(line)
        self.told.append(told)
        if told["on"] == "event" and told["event"]["type"] != "connection_change":
            assert told["fault"] is None, told
            self.order.follow(told["event"])
        assert told["on"] != "error", told
        return told

    async def until(self, on: str, fits: Callable[[Told], bool] = lambda _: True) -> Told:
        """Wait until it says something."""
        async with asyncio.timeout(PATIENCE):
            while not ((told := await self.next())["on"] == on and fits(told)):
                pass
        return told

    async def event(self, kind: str) -> Told:
        """Wait until it was told an event of the server."""
        event: Told = (await self.until("event", lambda t: t["event"]["type"] == kind))["event"]
        return event

    async def tell(self, order: str, **fields: Any) -> None:
        """Have it do something."""
        assert self.node.stdin
        self.node.stdin.write(json.dumps({"order": order, **fields}).encode() + b"\n")
        await self.node.stdin.drain()

    async def say(self, name: str, *, quiet_ms: int = 1000) -> None:
        """Speak a sample, and be quiet."""
        async for frame in self.microphone.frames(sample(name) + bytes(48 * quiet_ms)):
            await self.tell("audio", audio=b64(frame))

    async def interrupt(self, interruption: str) -> None:
        """Say what was made before, before an answer is over."""
        await self.tell("audio", audio=interruption)

    @property
    def history(self) -> list[tuple[str, str | None]]:
        """Give its newest history: who, and the text or transcript."""
        histories = [told["history"] for told in self.told if told["on"] == "history"]
        return [
            (item["role"], part.get("text", part.get("transcript")))
            for item in (histories or [[]])[-1]
            for part in item["content"]
        ]


def interruption(name: str) -> str:
    """Make a sample and a second of silence one message; no time for that during an answer."""
    return b64(sample(name) + bytes(48_000))


@asynccontextmanager
async def agents(address: str, config: Told | None = None) -> AsyncIterator[Agents]:
    """Run the SDK against a server at host:port."""
    url = f"ws://{address}/v1/realtime?model=gpt-realtime"
    node = await asyncio.create_subprocess_exec(
        "node",
        "agents.mjs",
        url,
        json.dumps(config or {}),
        cwd=NODE,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**26,
    )
    try:
        peer = Agents(node)
        await peer.until("connected")
        yield peer
        assert node.stdin
        node.stdin.close()
        assert await node.wait() == 0
    finally:
        if node.returncode is None:
            node.kill()
            await node.wait()
