"""A recording handed out at the pace of a microphone."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

FRAME_MS = 20


class Microphone:
    """Gives a frame of 20 ms when the time has passed in which it would have been recorded.

    Frames are due on an absolute schedule, so pauses of the program do not add up: late frames
    come at once, as they do from a sound card. One microphone serves one connection.
    """

    def __init__(self, *, rate: int = 16000, width: int = 2, speed: float = 1.0) -> None:
        """Set samples per second, bytes per sample (1 for G.711), and times real time."""
        if not speed > 0:
            raise ValueError(f"speed must be above 0, not {speed}")
        self.frame = rate * FRAME_MS // 1000 * width
        self.per_second = rate * width * speed
        self.speed = speed
        self.silence = bytes(self.frame)
        self.due = 0.0

    def seconds(self, pcm: bytes) -> float:
        """Give how long a recording lasts."""
        return len(pcm) * self.speed / self.per_second

    async def frames(self, pcm: bytes) -> AsyncIterator[bytes]:
        """Yield a recording frame by frame; the last one may be shorter."""
        clock = asyncio.get_running_loop().time
        self.due = max(self.due, clock())
        for start in range(0, len(pcm), self.frame):
            frame = pcm[start : start + self.frame]
            self.due += len(frame) / self.per_second
            await asyncio.sleep(max(0.0, self.due - clock()))
            yield frame

    async def quiet(self, ms: int) -> AsyncIterator[bytes]:
        """Yield digital silence of whole frames."""
        async for frame in self.frames(self.silence * (ms // FRAME_MS)):
            yield frame
