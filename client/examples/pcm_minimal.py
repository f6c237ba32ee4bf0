"""Speak a recording to a server and print its answer: pcm_minimal.py question.wav [ws://...]"""

import asyncio
import json
import sys
import wave

from websockets.asyncio.client import connect


async def main(path: str, server: str = "ws://127.0.0.1:8765") -> None:
    with wave.open(path) as wav:  # 16-bit mono at 8, 16, 24, 44.1 or 48 kHz
        rate, speech = wav.getframerate(), wav.readframes(wav.getnframes())
    async with connect(f"{server}/v1/pcm?rate={rate}") as voice:

        async def microphone() -> None:
            frame = rate // 50 * 2  # 20 ms
            sound = speech + bytes(100 * frame)  # 2 s of silence end the utterance
            for start in range(0, len(sound), frame):
                await voice.send(sound[start : start + frame])
                await asyncio.sleep(0.02)

        speaking = asyncio.create_task(microphone())
        async for message in voice:
            match json.loads(message):
                case {"type": "partial", "delta": delta}:
                    print(delta, end="", flush=True)
                case {"type": "final" | "error"} as end:
                    print("" if end["type"] == "final" else end["message"])
                    break
        speaking.cancel()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
