"""Speak a recording to a server and print its answer: pcm_minimal.py question.wav [ws://...]"""

import asyncio
import json
import sys
import wave

from websockets.asyncio.client import ClientConnection, connect


async def speak(voice: ClientConnection, sound: bytes, frame: int) -> None:
    for start in range(0, len(sound), frame):
        await voice.send(sound[start : start + frame])
        await asyncio.sleep(0.02)  # as a microphone would


async def main(path: str, server: str = "ws://127.0.0.1:8765") -> None:
    with wave.open(path) as wav:  # 16-bit mono at 8, 16, 24, 44.1 or 48 kHz
        rate, sound = wav.getframerate(), wav.readframes(wav.getnframes())
    async with connect(f"{server}/v1/pcm?rate={rate}") as voice:
        silence = bytes(4 * rate)  # 2 s; half a second ends the utterance
        speaking = asyncio.create_task(speak(voice, sound + silence, rate // 50 * 2))
        async for message in voice:
            event = json.loads(message)
            if event["type"] in ("final", "error"):
                print(event.get("message", ""))
                break
            print(event.get("delta", ""), end="", flush=True)
        speaking.cancel()


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        sys.exit("usage: pcm_minimal.py QUESTION.wav [ws://HOST:PORT]")
    try:
        asyncio.run(main(*sys.argv[1:]))
    except (EOFError, OSError, wave.Error) as error:  # no such file or server, or no wav
        sys.exit(str(error) or "the file ends too soon")
