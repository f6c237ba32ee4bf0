"""The whole path with the bundled model: spoken into a real socket, judged by what it means."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import subprocess
from pathlib import Path

import numpy as np
import pytest
import soxr
from encoding import KINDS, encode
from serving import serving

from client import (
    Cancelled,
    Dialogue,
    Final,
    Microphone,
    Partial,
    Pong,
    Question,
    SpeechStarted,
    connect,
)
from realtime.audio.files import read
from realtime.audio.g711 import encode_alaw, encode_mulaw
from realtime.audio.pcm import to_bytes

pytestmark = pytest.mark.real_time

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "client" / "samples"
INDEX = json.loads((SAMPLES / "samples.json").read_text())
FAST = 20.0  # times real time: the server's clock is the audio


@pytest.fixture
def server(server):
    """Address of the server that everybody may use, as our own client takes it."""
    return f"ws://{server}"


def sample(name: str) -> Question:
    return Question(name, to_bytes(read(SAMPLES / name)), INDEX[name].get("text", ""))


async def said(address: str, *questions: Question, **options) -> list[str]:
    """Ask the questions as the turns of one conversation; give the answers."""
    async with connect(address, **options) as voice:
        manual = options.get("turn_detection") == "manual"
        dialogue = Dialogue(voice, Microphone(speed=FAST), manual=manual)
        answers = []
        for question in questions:
            exchange = await dialogue.ask(question)
            answers.append(exchange.answers[-1].text if exchange.answers else "")
        return answers


@pytest.mark.parametrize("name", [n for n in INDEX if "text" not in INDEX[n]])
async def test_each_spoken_sample_is_answered(server, name):
    assert await said(server, sample(name)) == [INDEX[name]["answer"]]


@pytest.mark.parametrize("kind", KINDS)
async def test_the_words_are_right_in_every_kind_of_file(server, kind):
    made, name = KINDS[kind], "what-is-two-plus-three.wav"
    spoken = soxr.resample(read(SAMPLES / name) / 32_768, 16_000, made.rate)
    question = Question(kind, to_bytes(read(encode(spoken, made))))
    assert await said(server, question) == [INDEX[name]["answer"]]


@pytest.mark.parametrize("name", [n for n in INDEX if "text" in INDEX[n]])
async def test_each_sample_with_an_instruction_is_analysed(server, name):
    assert await said(server, sample(name), turn_detection="manual") == [INDEX[name]["answer"]]


@pytest.mark.parametrize(
    ("name", "before"), [(n, b) for n in INDEX for b in INDEX[n].get("after", {})]
)
async def test_the_conversation_is_remembered(server, name, before):
    _, answer = await said(server, sample(before), sample(name))
    assert answer == INDEX[name]["after"][before]


async def test_a_written_question_is_answered(server):
    question = Question("", text="what is the capital of france")
    assert await said(server, question) == ["Paris."]


async def test_what_was_said_is_transcribed_on_request(server):
    spoken = sample("turn-on-the-kitchen-light.flac")
    question = Question(spoken.name, spoken.pcm, "What does the person say?")
    answers = await said(server, question, turn_detection="manual")
    assert answers == ["Turn on the kitchen light."]


async def test_silence_is_not_answered_with_an_invention(server):
    question = Question("", bytes(2 * 16_000 * 2))
    assert await said(server, question, turn_detection="manual") == ["I did not hear anything."]


@pytest.mark.parametrize(("encoding", "encode"), [("mulaw", encode_mulaw), ("alaw", encode_alaw)])
async def test_a_telephone_is_understood(server, encoding, encode):
    narrow = read(SAMPLES / "good-morning-8khz.wav")[::2]  # it has nothing above 4 kHz
    async with connect(server, rate=8000, encoding=encoding) as voice:
        microphone = Microphone(rate=8000, width=1, speed=FAST)
        exchange = await Dialogue(voice, microphone).ask(Question("", encode(narrow)))
    assert exchange.answers[0].text == "Good morning to you."


async def test_speech_interrupts_a_long_answer_and_is_answered(server):
    first, second = sample("count-to-twenty.wav"), sample("what-is-two-plus-three.wav")
    heard, kept = "", ""
    async with connect(server) as voice:
        microphone = Microphone(speed=FAST)

        async def speak(question: Question) -> None:
            async for frame in microphone.frames(question.pcm + bytes(32_000)):
                await voice.send(frame)

        speaking = asyncio.create_task(speak(first))
        async for event in voice:
            match event:
                case Partial(turn=1, seq=seq, delta=delta) if seq < 3:
                    heard += delta
                    if seq == 2:
                        await speaking
                        # How far the model had come is a race; what the user has heard is not.
                        await voice.played(1, len(heard))
                        speaking = asyncio.create_task(speak(second))
                case Cancelled(turn=1, text=text):
                    kept = text
                case Final(turn=2, text=answer):
                    break
        await speaking
    assert kept == heard
    assert INDEX[first.name]["answer"].startswith(kept)
    assert answer == "Five."


async def test_a_peer_that_vanishes_takes_its_conversation_up_again(server):
    async with connect(server) as voice:
        dialogue = Dialogue(voice, Microphone(speed=FAST))
        await dialogue.ask(sample("my-name-is-anna.wav"))
        secret = voice.ready.resume
        voice.socket.transport.abort()
    answers = await said(server, sample("what-is-my-name.wav"), conversation=secret)
    assert answers == ["Your name is Anna."]


def worker_of(server: subprocess.Popen) -> int:
    tasks = Path(f"/proc/{server.pid}/task").iterdir()
    children = [child for task in tasks for child in (task / "children").read_text().split()]
    return next(
        int(child)
        for child in children
        if b"realtime.engine.worker.main" in Path(f"/proc/{child}/cmdline").read_bytes()
    )


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs /proc to find the worker")
async def test_a_killed_worker_costs_no_word(tmp_path):
    question, texts, kills = sample("count-to-twenty.wav"), [], 0
    with serving(tmp_path / "log") as (server, address):
        for deadly in (False, True):
            text = ""
            async with connect(f"ws://{address}") as voice:
                async for frame in Microphone(speed=FAST).frames(question.pcm + bytes(32_000)):
                    await voice.send(frame)
                async for event in voice:
                    match event:
                        case Partial(seq=seq, delta=delta):
                            text += delta
                            if deadly and seq == 2:
                                os.kill(worker_of(server), signal.SIGKILL)
                                kills += 1
                        case Final():
                            assert event.finish == "stop"
                            assert event.text == text
                            break
            texts.append(text)
    assert kills == 1
    assert texts[0] == texts[1] == INDEX[question.name]["answer"]


@pytest.mark.skipif(not shutil.which("espeak-ng"), reason="espeak-ng speaks the questions")
async def test_questions_spoken_anew_by_an_unknown_voice_are_answered(server):
    questions = {
        "what is the capital of italy": "Rome.",
        "turn off the garden radio": "Okay, the garden radio is off.",
        "what is the opposite of hot": "Cold.",
        "what day comes after monday": "Tuesday.",
        "set a timer for five minutes": "Timer set for five minutes.",
        "good morning": "Good morning to you.",
        "what is seven plus six": "Thirteen.",
        "turn on the bedroom fan": "Okay, the bedroom fan is on.",
        "my name is peter": "Nice to meet you, Peter.",
        "count to five": "One, two, three, four, five.",
    }
    right = 0
    for words, answer in questions.items():
        async with connect(server, rate=44100) as voice:
            exchange = await Dialogue(voice, Microphone(rate=44100, speed=FAST)).ask(speak(words))
        right += exchange.answers[-1].text == answer
    assert right >= 9  # the model itself is right in 96 % of such questions


def speak(words: str) -> Question:
    """Say something by a voice that was kept out of training, at 44.1 kHz."""
    command = ["espeak-ng", "-v", "en-us+paul", "-s", "150", "--stdout", words]
    wav = subprocess.run(command, capture_output=True, check=True).stdout
    samples = np.frombuffer(wav[44 : len(wav) - len(wav) % 2], np.int16)  # at 22.05 kHz
    return Question(words, np.repeat(samples, 2).tobytes())


async def test_minutes_of_silence_say_nothing(server):
    async with connect(server) as voice:
        for _ in range(180):
            await voice.send(bytes(32_000))
        await voice.ping()
        async for event in voice:
            assert not isinstance(event, SpeechStarted | Partial | Final)
            if isinstance(event, Pong):
                break
