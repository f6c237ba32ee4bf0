"""The comparison finds the two sides equal, and would find a difference."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import soundfile
import structlog
import tiny_model
import typer
from rich.console import Console

from realtime.engine.api import Clip
from scripts.compare_transformers import Answer, Result, clips_from, examples, main, report, show

PROGRAM = Path(__file__).parents[2] / "scripts" / "compare_transformers.py"
SAID = Answer(10, (1, 2, 3), "one two three", "stop")


def run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, PROGRAM, "--threads=1", *arguments], capture_output=True, text=True
    )


def test_the_documentations_examples_are_token_for_token_equal(tmp_path):
    model = tiny_model.save(tmp_path / "model", repetition_penalty=1.1)
    ran = run(f"--model={model}", f"--samples={tmp_path}", "--max-tokens=24")
    assert ran.returncode == 0, ran.stderr
    (line,) = ran.stdout.splitlines()
    told = json.loads(line)
    assert told["equal"] is True
    assert [result["example"] for result in told["results"]] == [
        "caption, audio tags",
        "caption, no audio tags",
        "voice chat",
        "audio analysis",
        "batch of two",
        "batch of two",
    ]
    assert told["tokens"] == sum(result["tokens"] for result in told["results"]) > 60
    assert "voice chat" in ran.stderr


def test_a_folder_that_is_no_model_is_told(tmp_path, capsys):
    with pytest.raises(typer.Exit) as caught:
        main(str(tmp_path), tmp_path)
    structlog.reset_defaults()
    assert caught.value.exit_code == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "no model" in told.err


@pytest.mark.parametrize(
    ("other", "where"),
    [
        (replace(SAID, tokens=(1, 9, 3)), "from token 1 on"),
        (replace(SAID, tokens=(1, 2)), "from token 2 on"),
        (replace(SAID, prompt_tokens=11), "prompts: 10 and 11 tokens"),
        (replace(SAID, finish="length"), "from token 3 on"),
    ],
)
def test_a_difference_is_told_and_where(other, where):
    results = [Result("same", SAID, SAID), Result("chat", SAID, other)]
    assert [result.equal for result in results] == [True, False]
    told = report("m", results)
    assert told["equal"] is False
    assert told["results"][1]["transformers"]["tokens"] == other.tokens
    console = Console(file=StringIO(), width=200)
    show(results, console)
    assert where in console.file.getvalue()


def test_recordings_are_taken_in_the_order_of_their_names(tmp_path):
    for name in ("b", "a"):
        soundfile.write(tmp_path / f"{name}.wav", np.zeros(8000, np.int16), 8000)
    (tmp_path / "samples.json").write_text("{}")
    clips = clips_from(tmp_path)
    assert [clip.id for clip in clips] == ["a", "b"]
    assert all(len(clip.pcm) == 16_000 for clip in clips)
    assert len(clips_from(tmp_path / "none")) == 4


def test_one_recording_is_enough_for_every_example():
    clip = Clip("only", np.zeros(16_000, np.int16))
    assert len(examples([clip])) == 5
