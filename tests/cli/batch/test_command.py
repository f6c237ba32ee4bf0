"""`realtime batch` as a person runs it: from a manifest to answers, and every way to be wrong."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import pytest
import soundfile
import tiny_model
from fakes import undisturbed_logging
from typer.testing import CliRunner

from realtime.cli.batch import running
from realtime.cli.main import app
from realtime.engine.fake import FakeEngine
from realtime.errors import ModelError

ROOT = Path(__file__).parents[3]


@pytest.fixture(autouse=True)
def _clean(monkeypatch):
    for name in [name for name in os.environ if name.startswith("REALTIME_")]:
        monkeypatch.delenv(name)


@pytest.fixture
def files(tmp_path):
    """A folder with recordings."""
    for seed in range(3):
        soundfile.write(tmp_path / f"{seed}.wav", tiny_model.speechlike(0.5 + seed, seed), 16_000)
    (tmp_path / "broken.mp3").write_bytes(b"nothing" * 99)
    return tmp_path


def manifest(folder: Path, *lines: dict | str) -> Path:
    path = folder / "manifest.jsonl"
    path.write_text("".join((x if isinstance(x, str) else json.dumps(x)) + "\n" for x in lines))
    return path


def records(folder: Path) -> list[dict]:
    return [json.loads(line) for line in (folder / "out.jsonl").read_text().splitlines()]


def run(folder: Path, *options: str):
    arguments = ["batch", str(folder / "manifest.jsonl"), "-o", str(folder / "out.jsonl"), *options]
    with undisturbed_logging():
        return CliRunner().invoke(app, arguments)


class FakeWorker(FakeEngine):
    """A FakeEngine that is started and loaded as a worker is."""

    on_loading = None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass

    async def ready(self):
        return self.status()


@pytest.fixture
def engine(monkeypatch):
    """The engine that the command will start; `configs` of its workers are noted."""
    engine = FakeWorker("Fine.")
    engine.configs = []
    monkeypatch.setattr(
        running, "WorkerEngine", lambda config: engine.configs.append(config) or engine
    )
    return engine


def test_help_documents_the_format():
    told = CliRunner().invoke(app, ["batch", "--help"], env={"COLUMNS": "120"})
    assert told.exit_code == 0
    for words in ('"turns"', '"sampling"', '"prompt"', "<|AUDIO|>", "Exit codes", '"error"'):
        assert words in told.stdout


def test_the_tiny_model_answers_alike_alone_and_among_others(files):
    model = tiny_model.save(files / "model")
    greedy = {"temperature": 0, "max_tokens": 8}
    lines = [
        {
            "id": "chat",
            "turns": [{"audio": "0.wav"}, {"audio": ["1.wav", "2.wav"], "text": "And?"}],
        },
        {"id": "analysis", "audio": "1.wav", "text": "What's that sound?"},
        {
            "id": "caption",
            "prompt": "<|audio_bos|><|AUDIO|><|audio_eos|>Caption:",
            "audio": "2.wav",
        },
        {"id": "broken", "audio": "broken.mp3"},
        {"id": "again", "audio": "1.wav", "text": "What's that sound?"},
        "{oops",
        {"text": "Hello", "system": "You are brief."},
    ]
    manifest(files, *(x if isinstance(x, str) else x | {"sampling": greedy} for x in lines))
    told = run(files, "--model", str(model), "--device", "cpu", "--at-once", "3")
    assert told.exit_code == 1, told.output
    found = {record["line"]: record for record in records(files)}
    assert sorted(found) == [1, 2, 3, 4, 5, 6, 7]
    assert [found[n]["id"] for n in range(1, 8)] == [
        "chat", "analysis", "caption", "broken", "again", None, 7,
    ]  # fmt: skip
    assert [found[n]["error"]["code"] for n in (4, 6)] == ["bad_audio", "bad_line"]
    assert len(found[1]["answers"]) == 2
    for line in (1, 2, 3, 5, 7):
        for answer in found[line]["answers"]:
            assert answer["finish"] in ("stop", "length")
            assert 0 < answer["completion_tokens"] <= 8 or answer["finish"] == "stop"
            assert answer["prompt_tokens"] > 5
    assert found[2]["answers"][0]["text"] == found[5]["answers"][0]["text"]
    assert "5 answered, 2 failed in " in told.stderr
    assert told.stdout == ""


def test_all_answered_is_exit_code_0(files, engine):
    manifest(files, {"id": "a", "text": "Hi"}, {"id": "b", "audio": "0.wav"})
    told = run(files)
    assert told.exit_code == 0, told.output
    assert sorted(record["id"] for record in records(files)) == ["a", "b"]


def test_a_second_run_asks_only_what_is_left(files, engine):
    manifest(files, *({"id": n, "audio": f"{n}.wav"} for n in range(4)))
    assert run(files).exit_code == 1
    assert {record["id"] for record in records(files) if "error" in record} == {3}
    with (files / "out.jsonl").open("a") as torn:
        torn.write('{"id": 9, "line": 9, "ans')
    soundfile.write(files / "3.wav", tiny_model.speechlike(0.5), 16_000)
    engine.requests.clear()
    told = run(files)
    assert told.exit_code == 0, told.output
    assert [request.id for request in engine.requests] == ["4:1"]
    assert sorted(record["id"] for record in records(files)) == [0, 1, 2, 3]
    assert "1 answered, 3 answered before in " in told.stderr


def test_nothing_left_starts_no_engine(files, engine):
    manifest(files, {"id": "a", "text": "Hi"}, "{oops")
    assert run(files).exit_code == 1
    engine.configs.clear()
    told = run(files)
    assert told.exit_code == 1
    assert engine.configs == []
    assert [record["id"] for record in records(files)] == ["a", None]


def test_options_reach_the_worker(files, engine):
    manifest(files, {"text": "Hi"})
    assert run(files, "--at-once", "5", "--dtype", "float32", "--model", "m").exit_code == 0
    (config,) = engine.configs
    assert (config.slots, config.dtype, config.model) == (5, "float32", "m")
    assert config.spare_cores == 0
    assert running.capacity(config) == 10


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ([], "is empty"),
        (["", " "], "is empty"),
        (["RIFF", "{oops"], "is no manifest (see --help): line 1: "),
        ([{"id": "a"}], "line 1: there is nothing to answer"),
    ],
)
def test_a_manifest_without_a_good_line_is_exit_code_2(files, engine, lines, words):
    manifest(files, *lines)
    told = run(files)
    assert told.exit_code == 2
    assert words in told.stderr
    assert told.stderr.count("\n") == 1
    assert not (files / "out.jsonl").exists()


def test_what_cannot_be_used_is_one_sentence_and_exit_code_2(files, engine, monkeypatch):
    assert "cannot be read" in run(files).stderr
    manifest(files, {"text": "Hi"})
    assert "slots must be at least 1" in run(files, "--at-once", "0").stderr
    (files / "out.jsonl").write_text("precious\n")
    told = run(files)
    assert told.exit_code == 2
    assert "something else than answers" in told.stderr
    assert (files / "out.jsonl").read_text() == "precious\n"
    (files / "out.jsonl").unlink()

    async def never():
        raise ModelError("there is no folder m")

    monkeypatch.setattr(engine, "ready", never)
    told = run(files)
    assert (told.exit_code, told.stderr) == (2, "realtime batch: there is no folder m\n")


def test_a_lost_engine_is_exit_code_1_and_keeps_what_is_done(files, engine):
    engine.script = lambda request: "Fine." if request.id == "1:1" else [ModelError("gone")]
    manifest(files, {"text": "Hi"}, {"text": "Ho"})
    told = run(files)
    assert told.exit_code == 1
    assert "the engine is lost: gone" in told.stderr
    assert {record["line"] for record in records(files)} <= {1}


@contextmanager
def started(folder: Path, *options: str):
    command = [sys.executable, "-m", "realtime", "batch", str(folder / "manifest.jsonl")]
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [*command, "-o", str(folder / "out.jsonl"), *options],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.parametrize(
    ("sent", "code", "word"), [(signal.SIGINT, 130, "interrupted"), (signal.SIGTERM, 143, "term")]
)
def test_an_interrupted_run_keeps_what_is_done_and_goes_on(files, engine, sent, code, word):
    model = tiny_model.save(files / "model", tiny_model.Tiny(stops=False))
    long = {"temperature": 0, "max_tokens": 1900}
    manifest(
        files,
        {"text": "Hi", "sampling": {"temperature": 0, "max_tokens": 1}},
        *({"text": "Hi", "sampling": long} for _ in range(9)),
    )
    with started(files, "--model", str(model), "--device", "cpu") as process:
        assert "realtime batch: 1 of 10, " in process.stderr.readline()
        process.send_signal(sent)
        _, told = process.communicate(timeout=120)
    assert process.returncode == code
    assert word in told
    before = [record["id"] for record in records(files)]
    assert before[0] == 1
    assert run(files).exit_code == 0
    assert len(engine.requests) == 10 - len(before)
    assert sorted(record["id"] for record in records(files)) == list(range(1, 11))
