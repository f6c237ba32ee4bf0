"""The comparison finds the two sides equal, and would find a difference."""

from __future__ import annotations

import json
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

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

from compare_transformers import (
    Architecture,
    clips_from,
    main,
    report,
    report_random,
    show,
    show_random,
)
from parity import drawn
from parity.documented import examples
from parity.sides import Answer, Result, spliced

SAID = Answer(10, (1, 2, 3), "one two three", "stop")


@pytest.fixture(autouse=True)
def _own_log():
    yield
    structlog.reset_defaults()


@pytest.mark.script_scale
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


@pytest.mark.script_scale
def test_a_random_architecture_is_token_for_token_equal(tmp_path, capsys):
    with pytest.raises(SystemExit) as caught:
        main(device="cpu", threads=1, random=1)
    told = capsys.readouterr()
    assert caught.value.code == 0, told.err
    result = json.loads(told.out)
    sequences = drawn.CROWD + drawn.DIALOGUES * drawn.TURNS + drawn.BATCH
    assert result["sequences"] == result["sequences_equal"] == sequences
    assert result["tokens"] > sequences
    (architecture,) = result["architectures"]
    near = architecture["bfloat16"]
    assert near["tokens"] > 0
    assert 0 <= near["gap"] <= near["tolerance"]
    assert near["noise"] > 0
    assert "MHA, seed 0" in told.err


def test_random_architectures_differ_in_heads():
    made = dict(drawn.architectures(6))
    assert len(made) == 6
    assert {1, 2} < {shape.heads // shape.kv_heads for shape in made.values()}
    assert all(shape.heads % shape.kv_heads == 0 for shape in made.values())
    assert all(shape.hidden % shape.heads == 0 for shape in made.values())


def test_the_same_seed_draws_the_same_conversations():
    def drawn_by(seed):
        draw = drawn.Draw(seed).apart(2)
        return [
            part if isinstance(part, str) else part.pcm.tobytes()
            for _ in range(20)
            for part in draw.user().parts
        ]

    assert drawn_by("3") == drawn_by("3") != drawn_by("4")
    seconds = [len(drawn.Draw(str(seed)).clip().pcm) / 16_000 for seed in range(50)]
    assert 0.3 <= min(seconds) < 1
    assert 4 < max(seconds) <= 6.02


def test_what_was_said_by_ids_takes_its_place():
    assert spliced([1, 0, 2, 0], 0, [(7, 8), (9,)]) == [1, 7, 8, 2, 9]
    with pytest.raises(AssertionError):
        spliced([1, 2], 0, [(7,)])


def test_a_difference_on_a_random_architecture_is_told_with_its_margin():
    parted = Result("crowd 3", SAID, replace(SAID, tokens=(1, 2, 4)), margin=0.25)
    near, far = (drawn.Nearness(10, gap=gap, noise=0.1) for gap in (0.5, 0.7))
    assert (near.within, far.within) == (True, False)
    compared = [
        Architecture("good", [Result("crowd 1", SAID, SAID)], near),
        Architecture("parted", [parted], near),
        Architecture("imprecise", [Result("crowd 1", SAID, SAID)], far),
    ]
    assert [one.equal for one in compared] == [True, False, False]
    told = report_random(compared)
    assert (told["equal"], told["sequences"], told["sequences_equal"]) == (False, 3, 2)
    assert told["architectures"][1]["differences"][0]["example"] == "crowd 3"
    console = Console(file=StringIO(), width=200)
    show_random(compared, console)
    assert "parted, crowd 3: from token 2 on (margin 2.5e-01)" in console.file.getvalue()
