"""Speak recordings as one conversation: openai_voice_chat.py my-name-is.wav what-is-my-name.wav

Needs the stock client alone: pip install "openai[realtime]"
"""

import asyncio
import base64
import os
import sys
import wave
from typing import Any

from openai import AsyncOpenAI
from openai.resources.realtime.realtime import AsyncRealtimeConnection

SERVER = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8765/v1")
KEY = os.environ.get("OPENAI_API_KEY", "none")


def read(path: str) -> tuple[int, bytes]:
    with wave.open(path) as wav:  # 16-bit mono at 24 kHz; this server also takes 16 and 8 kHz
        return wav.getframerate(), wav.readframes(wav.getnframes())


async def speak(voice: AsyncRealtimeConnection, rate: int, sound: bytes) -> None:
    heard: Any = {"type": "audio/pcm", "rate": rate}
    await voice.session.update(session={"type": "realtime", "audio": {"input": {"format": heard}}})
    frame = rate // 50 * 2
    sound += bytes(2 * rate)  # 1 s of silence; half a second ends the turn
    for start in range(0, len(sound), frame):
        audio = base64.b64encode(sound[start : start + frame]).decode()
        await voice.input_audio_buffer.append(audio=audio)
        await asyncio.sleep(0.02)  # as a microphone would


async def main(*paths: str) -> None:
    recordings = [read(path) for path in paths]
    openai = AsyncOpenAI(base_url=SERVER, api_key=KEY)
    async with openai.realtime.connect(model="qwen2-audio") as voice:
        for rate, sound in recordings:
            speaking = asyncio.create_task(speak(voice, rate, sound))
            async for event in voice:
                if event.type == "response.output_text.delta":
                    print(event.delta, end="", flush=True)
                elif event.type == "response.done":
                    print()
                    break
                elif event.type == "error":
                    sys.exit(event.error.message)
            await speaking


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: openai_voice_chat.py QUESTION.wav...")
    try:
        asyncio.run(main(*sys.argv[1:]))
    except (EOFError, OSError, wave.Error) as error:  # no such file or server, or no wav
        sys.exit(str(error) or "the file ends too soon")
