"""The examples do what they say, as programs of their own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import wave
from pathlib import Path

import pytest
from fake_pcm_server import FakePcmServer, serving_in_thread, tone

SAMPLES = Path(__file__).parents[2] / "client" / "samples"
EXAMPLES = sorted((Path(__file__).parents[2] / "client" / "examples").glob("*.py"))
EXAMPLE = next(path for path in EXAMPLES if path.stem == "pcm_minimal")


def speak(tmp_path, fake):
    with wave.open(str(tmp_path / "question.wav"), "wb") as file:
        file.setparams((1, 2, 16000, 0, "NONE", ""))
        file.writeframes(tone(100))
    with serving_in_thread(fake):
        command = [sys.executable, "-W", "error", EXAMPLE, tmp_path / "question.wav", fake.url]
        return subprocess.run(command, capture_output=True, text=True, timeout=60)


def test_the_minimal_client_prints_the_answer(tmp_path):
    run = speak(tmp_path, fake := FakePcmServer(["It is Paris."]))
    assert (run.stdout, run.stderr, run.returncode) == ("It is Paris.\n", "", 0)
    assert fake.peers[0].query == {"rate": "16000"}


def test_the_minimal_client_says_what_went_wrong(tmp_path):
    broken = {"code": "engine_error", "message": "It broke.", "fatal": False}
    run = speak(tmp_path, FakePcmServer([broken]))
    assert (run.stdout, run.returncode) == ("It broke.\n", 0)


def test_the_minimal_client_needs_nothing_of_ours():
    imported = [line.split()[1] for line in EXAMPLE.read_text().splitlines() if "import " in line]
    assert {name.split(".")[0] for name in imported} == {
        "asyncio",
        "json",
        "sys",
        "wave",
        "websockets",
    }


def run(example, *arguments, **environment):
    command = [sys.executable, example, *arguments]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=60, env=os.environ | environment
    )


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_without_arguments_an_example_says_how_it_is_used(example):
    alone = run(example)
    assert (alone.returncode, alone.stdout) == (1, "")
    assert alone.stderr.startswith(f"usage: {example.name} ")
    assert alone.stderr.count("\n") == 1


@pytest.mark.parametrize("name", ["pcm_minimal", "openai_push_to_talk", "openai_voice_chat"])
@pytest.mark.parametrize("file", ["nowhere.wav", "what-is-two-plus-three.wav", "siren.mp3"])
def test_a_file_or_a_server_that_is_not_there_is_one_sentence(
    name, file, tmp_path, unused_tcp_port
):
    shutil.copy(SAMPLES / "what-is-two-plus-three.wav", tmp_path)
    (tmp_path / "siren.mp3").write_bytes(b"ID3")
    nobody = f"127.0.0.1:{unused_tcp_port}"
    server = [f"ws://{nobody}"] if name == "pcm_minimal" else []
    gone = run(
        EXAMPLE.with_stem(name), tmp_path / file, *server, OPENAI_BASE_URL=f"http://{nobody}/v1"
    )
    assert (gone.returncode, gone.stdout) == (1, "")
    assert gone.stderr.count("\n") == 1
