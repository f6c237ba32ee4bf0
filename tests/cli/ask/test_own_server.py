"""`realtime ask` with a server of its own: the real gateway, a scripted or a tiny real engine."""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import wave
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import structlog
from fakes import LoudVad, loud, quiet
from typer.testing import CliRunner

from realtime.cli.ask import own_server
from realtime.cli.main import app
from realtime.engine.api import Clip, Loading
from realtime.engine.fake import FakeEngine
from realtime.errors import ModelError
from realtime.gateway.routes.app import create_app

ROOT = Path(__file__).parents[3]


class Worker(FakeEngine):
    """A scripted engine that starts and stops as a worker does."""

    def __init__(self, script="Hello there.", error=None):
        super().__init__(script)
        self.error = error
        self.on_loading = None
        self.ended = False

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        self.ended = True

    async def ready(self):
        self.on_loading(Loading("reading weights", 0.5))
        if self.error:
            raise self.error


@pytest.fixture(autouse=True)
def logging_as_before():
    """Put back what the command sets up for its process."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


@pytest.fixture
def start(monkeypatch):
    """Let the command start this engine in the place of a worker, and hear loudness as speech."""

    def put(engine):
        monkeypatch.setattr(own_server, "WorkerEngine", lambda config: engine)
        loudness = partial(create_app, vad_factory=LoudVad)
        monkeypatch.setattr(own_server, "create_app", loudness)
        return engine

    return put


@pytest.fixture
def wav(tmp_path):
    """Make recordings: their names in a temporary folder."""

    def make(*sounds, name="question.wav"):
        with wave.open(str(tmp_path / name), "wb") as file:
            file.setparams((1, 2, 16000, 0, "NONE", ""))
            file.writeframes(np.concatenate(sounds).tobytes())
        return str(tmp_path / name)

    return make


def ask(*arguments):
    return CliRunner().invoke(app, ["ask", "--speed", "500", *arguments])


def parts(request):
    """Say what the last turn of a request holds: text, or the milliseconds of a clip."""
    return [
        len(part.pcm) // 16 if isinstance(part, Clip) else part for part in request.turns[-1].parts
    ]


def test_a_spoken_question_is_answered_through_the_real_gateway(start, wav):
    engine = start(Worker("It is Paris."))
    result = ask(wav(quiet(400), loud(600), quiet(100)))
    assert (result.exit_code, result.stdout) == (0, "It is Paris.\n")
    assert [parts(request) for request in engine.requests] == [[300 + 600 + 200]]
    assert "connected: fake" in result.stderr
    assert engine.ended


def test_several_recordings_are_turns_of_one_conversation(start, wav):
    engine = start(Worker(lambda request: f"{len(request.turns)} turns."))
    result = ask(wav(loud(400), name="a.wav"), wav(loud(400), name="b.wav"), "--json")
    lines = [json.loads(line) for line in result.stdout.splitlines()]
    assert [(line["turn"], line["text"]) for line in lines] == [(1, "1 turns."), (2, "3 turns.")]
    assert lines[0]["ms"]["hangover"] == 500
    assert len({request.conversation for request in engine.requests}) == 1


def test_a_recording_with_a_text_is_one_turn_whatever_is_in_it(start, wav):
    engine = start(Worker())
    question = wav(loud(300), quiet(900), loud(300))
    result = ask(question, "--text", "What does the person say?")
    assert result.stdout == "Hello there.\n"
    assert [parts(r) for r in engine.requests] == [[1500, "What does the person say?"]]


def test_a_sound_that_is_no_speech_is_asked_about_whole(start, wav):
    engine = start(Worker("It is rain."))
    hiss = np.full(16000, 300, np.int16)
    result = ask(wav(hiss))
    assert result.stdout == "It is rain.\n"
    [request] = engine.requests
    assert parts(request) == [2000], "the sound and the silence that was waited"
    assert (request.turns[-1].parts[0].pcm[:16000] == hiss).all()


def test_a_text_is_a_question_of_its_own(start):
    engine = start(Worker("Five."))
    result = ask("--text", "what is two plus three", "--instruction", "Be brief.")
    assert (result.exit_code, result.stdout) == (0, "Five.\n")
    assert parts(engine.requests[0]) == ["Be brief.\nwhat is two plus three"]


def test_a_key_for_the_server_started_here_is_told_to_be_of_no_use(start, monkeypatch):
    start(Worker("Five."))
    result = ask("--text", "what is two plus three", "--key", "sk-secret")
    assert (result.exit_code, result.stdout) == (0, "Five.\n")
    assert result.stderr.splitlines()[0].startswith("--key is not used: ")
    assert "sk-secret" not in result.stderr
    monkeypatch.setenv("REALTIME_KEY", "sk-secret")
    assert "--key" not in ask("--text", "what is two plus three").stderr


def test_texts_are_turns_of_one_conversation(start):
    engine = start(Worker(lambda request: f"{len(request.turns)} turns."))
    result = ask("-t", "my name is anna", "-t", "what is my name")
    assert result.stdout == "1 turns.\n3 turns.\n"
    assert engine.ended


def test_a_recording_too_short_to_be_heard_is_not_answered(start, wav):
    start(Worker())
    result = ask(wav(loud(60)), "--text", "What's that?")
    assert (result.exit_code, result.stdout) == (1, "")
    assert "  server: " in result.stderr


def test_an_answer_that_fails_is_exit_code_1(start, wav):
    start(Worker(lambda request: [ModelError("out of memory")]))
    result = ask(wav(loud(300)))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "  server: " in result.stderr


def test_a_model_that_cannot_be_loaded_is_one_sentence(start):
    engine = start(Worker(error=ModelError("config.json says gpt2, not qwen2_audio")))
    result = ask("--text", "hello", "--model", "gpt2")
    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr == "realtime ask: config.json says gpt2, not qwen2_audio\n"
    assert engine.ended


def test_bad_input_is_found_before_anything_is_started(start, wav):
    engine = start(Worker())
    result = ask(wav(loud(300)), "nowhere.wav")
    assert (result.exit_code, result.stdout) == (2, "")
    assert engine.on_loading is None
    assert not engine.ended


def test_a_setting_that_cannot_be_used_is_one_sentence(monkeypatch):
    monkeypatch.setenv("REALTIME_WORKER_SLOTS", "many")
    result = ask("--text", "hello")
    assert result.exit_code == 2
    assert result.stderr.startswith("realtime ask: worker.slots = 'many'")


# ---- as processes -------------------------------------------------------------------------------


def descendants(pid):
    """List the processes below one (Linux: /proc)."""
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text()
            except OSError:  # gone meanwhile
                continue
            parents[int(entry.name)] = int(stat.rpartition(")")[2].split()[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def test_it_leaves_no_process_behind(tmp_path_factory):
    from tiny_model import Tiny, save  # imports torch

    model = save(tmp_path_factory.mktemp("tiny"), Tiny(stops=False))
    command = [sys.executable, "-m", "realtime", "ask", "--model", str(model), "--text", "hello"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=ROOT,
        env=environment,
    ) as process:
        shown = ""
        while "connected" not in shown:
            shown += process.stderr.read(1) or pytest.fail(shown)
        below = descendants(process.pid)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert below, "the worker was there"
    assert not [pid for pid in below if Path(f"/proc/{pid}").exists()]
    assert process.returncode in (0, 130)
    assert "Traceback" not in shown + err
