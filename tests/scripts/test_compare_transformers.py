"""The comparison finds the two sides equal, and would find a difference."""

from __future__ import annotations

import json
from dataclasses import replace
from io import StringIO

import numpy as np
import pytest
import soundfile
import structlog
import tiny_model
import typer
from rich.console import Console

from realtime.engine.api import Clip
from scripts.compare_transformers import Answer, Result, clips_from, examples, main, report, show

SAID = Answer(10, (1, 2, 3), "one two three", "stop")


@pytest.fixture(autouse=True)
def _own_log():
    yield
    structlog.reset_defaults()


def test_the_documentations_examples_are_token_for_token_equal(tmp_path, capsys):
    model = tiny_model.save(tmp_path / "model", repetition_penalty=1.1)
    with pytest.raises(SystemExit) as caught:
        main(str(model), tmp_path, max_tokens=24, device="cpu", threads=1)
    told = capsys.readouterr()
    assert caught.value.code == 0, told.err
    (line,) = told.out.splitlines()
    result = json.loads(line)
    assert result["equal"] is True
    assert [one["example"] for one in result["results"]] == [
        "caption, audio tags",
        "caption, no audio tags",
        "voice chat",
        "audio analysis",
        "batch of two",
        "batch of two",
    ]
    assert result["tokens"] == sum(one["tokens"] for one in result["results"]) > 60
    assert "voice chat" in told.err


def test_a_folder_that_is_no_model_is_told(tmp_path, capsys):
    with pytest.raises(typer.Exit) as caught:
        main(str(tmp_path), tmp_path)
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
