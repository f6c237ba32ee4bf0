"""The example of the README does what it says, as a program of its own."""

from __future__ import annotations

import subprocess
import sys
import wave
from pathlib import Path

from fake_pcm_server import FakePcmServer, serving_in_thread, tone

EXAMPLE = Path(__file__).parents[2] / "client" / "examples" / "pcm_minimal.py"


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
