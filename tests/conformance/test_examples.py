"""The examples with the stock `openai` package do what they say, as programs of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from conformance.peer import INDEX, SAMPLES

EXAMPLES = Path(__file__).parents[2] / "client" / "examples"
TWENTY = INDEX["count-to-twenty.wav"]["answer"]


def run(server: str, name: str, *words: str) -> str:
    """Run an example; give what it prints."""
    words = tuple(str(SAMPLES / word) if word.endswith(".wav") else word for word in words)
    env = {**os.environ, "OPENAI_BASE_URL": f"http://{server}/v1", "OPENAI_API_KEY": "none"}
    command = [sys.executable, "-W", "error", EXAMPLES / name, *words]
    ran = subprocess.run(command, capture_output=True, text=True, env=env)
    assert (ran.returncode, ran.stderr) == (0, "")
    return ran.stdout


@pytest.mark.real_time
def test_a_voice_chat(server):
    said = run(server, "openai_voice_chat.py", "my-name-is-anna.wav", "what-is-my-name.wav")
    assert said == "Nice to meet you, Anna.\nYour name is Anna.\n"


@pytest.mark.real_time
def test_audio_analysis(server):
    said = run(server, "openai_audio_analysis.py", "siren.wav", "What's that sound?")
    assert said == "It is a siren.\n"


@pytest.mark.real_time
def test_push_to_talk(server):
    assert (
        run(server, "openai_push_to_talk.py", "good-morning-8khz.wav") == "Good morning to you.\n"
    )


@pytest.mark.real_time
def test_barge_in(server):
    words = ("count-to-twenty.wav", "what-is-two-plus-three.wav")
    first, second = run(server, "openai_barge_in.py", *words).splitlines()
    assert TWENTY.startswith(first.removesuffix(" --"))
    assert first.endswith(" --")
    assert second == "Five."


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("openai_*.py")), ids=lambda path: path.stem)
def test_a_recording_that_is_not_there_ends_an_example(path, server):
    env = {**os.environ, "OPENAI_BASE_URL": f"http://{server}/v1", "OPENAI_API_KEY": "none"}
    two = path.stem in ("openai_audio_analysis", "openai_barge_in")
    words = ["nowhere.wav"] * (2 if two else 1)
    ran = subprocess.run([sys.executable, path, *words], capture_output=True, text=True, env=env)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert "nowhere.wav" in ran.stderr
    assert ran.stderr.count("\n") == 1


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("openai_*.py")), ids=lambda path: path.stem)
def test_the_examples_need_nothing_of_ours(path):
    imported = [line.split()[1] for line in path.read_text().splitlines() if "import " in line]
    ours = {"realtime", "client"}
    assert not {name.split(".")[0] for name in imported} & ours
