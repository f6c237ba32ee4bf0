"""Have the voice frameworks of others ask one spoken question of a running server.

`python tests/conformance/frameworks.py http://127.0.0.1:8765 [livekit|pipecat|agents]`, in an
environment with livekit-agents, livekit-plugins-openai, pipecat-ai[openai] and openai-agents. They
are large, so this is run by hand; it prints a line for each and exits with 1 if an answer is wrong.
"""

from __future__ import annotations

import asyncio
import sys
import wave
from importlib.metadata import version
from pathlib import Path

import numpy as np
import soxr

QUESTION = Path(__file__).parents[2] / "client" / "samples" / "what-is-two-plus-three.wav"
ANSWER = "Five."
RATE = 24_000
FRAME = RATE // 50  # 20 ms


def frames() -> list[np.ndarray]:
    """Read the question and a second of silence, s16le at 24 kHz, in frames."""
    with wave.open(str(QUESTION)) as wav:
        spoken = np.frombuffer(wav.readframes(wav.getnframes()), np.int16)
        sound = soxr.resample(spoken, wav.getframerate(), RATE)
    sound = np.concatenate([sound, np.zeros(RATE * 3 // 2, np.int16)])
    return [sound[at : at + FRAME] for at in range(0, sound.size - FRAME, FRAME)]


async def livekit(server: str) -> str:
    """Ask through LiveKit's plug-in."""
    import aiohttp
    from livekit import rtc
    from livekit.plugins.openai.realtime import RealtimeModel

    answer: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def read(generation) -> None:
        async for message in generation.message_stream:
            answer.set_result("".join([text async for text in message.text_stream]))

    tasks = []
    async with aiohttp.ClientSession() as http:
        model = RealtimeModel(
            base_url=f"{server}/v1", api_key="none", modalities=["text"], http_session=http
        )
        session = model.session()
        session.on("generation_created", lambda g: tasks.append(asyncio.create_task(read(g))))
        session.on("error", lambda error: answer.done() or answer.set_exception(error.error))
        for frame in frames():
            session.push_audio(rtc.AudioFrame(frame.tobytes(), RATE, 1, frame.size))
            await asyncio.sleep(0.01)
        said = await answer
        await session.aclose()
    return said


async def pipecat(server: str) -> str:
    """Ask through pipecat's service."""
    from pipecat.frames.frames import (
        EndFrame,
        InputAudioRawFrame,
        LLMFullResponseEndFrame,
        LLMTextFrame,
    )
    from pipecat.pipeline.pipeline import Pipeline
    from pipecat.pipeline.runner import PipelineRunner
    from pipecat.pipeline.task import PipelineTask
    from pipecat.processors.frame_processor import FrameDirection, FrameProcessor
    from pipecat.services.openai.realtime.llm import OpenAIRealtimeLLMService

    class Reader(FrameProcessor):
        def __init__(self) -> None:
            super().__init__()
            self.text = ""
            self.over = asyncio.Event()

        async def process_frame(self, frame, direction: FrameDirection) -> None:
            await super().process_frame(frame, direction)
            if isinstance(frame, LLMTextFrame):
                self.text += frame.text
            elif isinstance(frame, LLMFullResponseEndFrame):
                self.over.set()
            await self.push_frame(frame, direction)

    address = server.replace("http", "ws", 1) + "/v1/realtime"
    service = OpenAIRealtimeLLMService(api_key="none", base_url=address)
    reader = Reader()
    task = PipelineTask(Pipeline([service, reader]))
    running = asyncio.create_task(PipelineRunner(handle_sigint=False).run(task))
    await asyncio.sleep(1)  # it sends its settings when it has seen session.created
    for frame in frames():
        raw = InputAudioRawFrame(audio=frame.tobytes(), sample_rate=RATE, num_channels=1)
        await task.queue_frame(raw)
        await asyncio.sleep(0.01)
    await reader.over.wait()
    await task.queue_frame(EndFrame())
    await running
    return reader.text


async def agents(server: str) -> str:
    """Ask through the Agents SDK of Python."""
    from agents.realtime import RealtimeAgent, RealtimeRunner

    url = server.replace("http", "ws", 1) + "/v1/realtime?model=gpt-realtime"
    runner = RealtimeRunner(RealtimeAgent(name="Assistant", instructions="Answer briefly."))
    async with await runner.run(model_config={"url": url, "api_key": "none"}) as session:

        async def speak() -> None:
            for frame in frames():
                await session.send_audio(frame.tobytes())
                await asyncio.sleep(0.01)

        speaking = asyncio.create_task(speak())
        async for event in session:
            if event.type == "error":
                raise RuntimeError(event.error)
            if event.type == "agent_end":
                break
        await speaking
        history = session._history
    return "".join(
        part.text or "" if part.type == "text" else part.transcript or ""
        for item in history
        if item.type == "message" and item.role == "assistant"
        for part in item.content
    )


CLIENTS = {
    "livekit": (livekit, "livekit-plugins-openai"),
    "pipecat": (pipecat, "pipecat-ai"),
    "agents": (agents, "openai-agents"),
}


def main(server: str, *names: str) -> int:
    """Ask through each and compare."""
    wrong = 0
    for name in names or CLIENTS:
        ask, package = CLIENTS[name]
        answer = asyncio.run(asyncio.wait_for(ask(server), 60))
        wrong += answer != ANSWER
        print(f"{package} {version(package)}: {answer!r}")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
