"""Hold the button, speak, let go: openai_push_to_talk.py question.wav

Needs the stock client alone: pip install "openai[realtime]"
"""

import asyncio
import base64
import os
import sys
import wave
from typing import Any

from openai import AsyncOpenAI

SERVER = os.environ.get("OPENAI_BASE_URL", "http://127.0.0.1:8765/v1")
KEY = os.environ.get("OPENAI_API_KEY", "none")


async def main(path: str) -> None:
    with wave.open(path) as wav:  # 16-bit mono at 24 kHz; this server also takes 16 and 8 kHz
        rate, sound = wav.getframerate(), wav.readframes(wav.getnframes())
    heard: Any = {"type": "audio/pcm", "rate": rate}
    openai = AsyncOpenAI(base_url=SERVER, api_key=KEY)
    async with openai.realtime.connect(model="qwen2-audio") as voice:
        # Without turn detection nothing is a turn until it is committed.
        await voice.session.update(
            session={
                "type": "realtime",
                "audio": {"input": {"format": heard, "turn_detection": None}},
            }
        )
        for start in range(0, len(sound), rate // 5):  # 100 ms
            audio = base64.b64encode(sound[start : start + rate // 5]).decode()
            await voice.input_audio_buffer.append(audio=audio)
        await voice.input_audio_buffer.commit()
        await voice.response.create()
        async for event in voice:
            if event.type == "response.output_text.delta":
                print(event.delta, end="", flush=True)
            elif event.type == "response.done":
                print()
                break
            elif event.type == "error":
                sys.exit(event.error.message)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: openai_push_to_talk.py QUESTION.wav")
    try:
        asyncio.run(main(*sys.argv[1:]))
    except (EOFError, OSError, wave.Error) as error:  # no such file or server, or no wav
        sys.exit(str(error) or "the file ends too soon")
