"""The benchmark measures both sides on a tiny model, refuses what it cannot do, and draws."""

from __future__ import annotations

import json
import os
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import structlog
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import bench_engine
import random_model
from bench import floor, ours, plot, stock
from bench.plan import SMOKE, Plan


@pytest.fixture(autouse=True)
def _own_log():
    yield
    structlog.reset_defaults()


@pytest.mark.script_scale
def test_smoke_measures_everything_on_both_sides(tmp_path, capsys):
    code = bench_engine.main(
        ["--smoke", "--device=cpu", "--threads=1", "--plot", str(tmp_path / "docs")]
    )
    told = capsys.readouterr()
    assert code == 0, told.err
    (line,) = told.out.splitlines()
    found = json.loads(line)
    first, rates = found["first_token"], found["tokens_per_second"]["at_once"]
    assert len(first["ours_ms"]) == len(first["transformers_ms"]) == SMOKE.turns
    assert min(first["ours_ms"] + first["transformers_ms"]) > 0
    assert [row["conversations"] for row in rates] == [1, 2]
    for row in rates:
        assert min(row.values()) > 0
    assert found["cancel_ms"]["ours_step"] > 0
    assert found["cancel_ms"]["transformers"] >= 0
    assert found["memory_mib"]["ours"] > 100
    assert found["memory_mib"]["transformers"] > 100
    plan = found["memory_mib"]["plan_of_ours"]
    assert plan["kv"] > 0
    assert plan["tokens_kept"] >= 2048
    assert found["parameters"] < 1_000_000
    assert 0 < found["decode_alone"]["weights_mb"] < 1
    assert found["decode_alone"]["ours_ms"] > found["decode_alone"]["floor_ms"] > 0
    drawn = ET.parse(tmp_path / "docs" / found["plot"]).getroot()
    assert drawn.tag.endswith("svg")


def test_the_log_mel_is_the_same_as_whispers(capsys):
    assert bench_engine.main(["--mel", "--smoke", "--device=cpu"]) == 0
    (row,) = json.loads(capsys.readouterr().out)["mel"]
    assert row["seconds"] == 0.5
    assert row["max_difference"] < 1e-6
    assert row["ours_ms"] > 0
    assert row["whisper_feature_extractor_ms"] > 0


def test_the_7b_shape_is_refused_on_a_cpu(capsys):
    assert bench_engine.main(["--shape", "7b", "--device", "cpu"]) == 2
    told = capsys.readouterr()
    assert "needs CUDA" in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
def test_cuda_is_refused_where_there_is_none(capsys):
    assert bench_engine.main(["--shape", "mid", "--device", "cuda"]) == 2
    assert "no cuda here" in capsys.readouterr().err


def test_what_is_no_model_is_told(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench_engine, "recordings", lambda: ())
    assert bench_engine.main(["--model", str(tmp_path / "gone"), "--device", "cpu"]) == 1
    assert "there is no folder" in capsys.readouterr().err


def test_options_change_the_plan(monkeypatch):
    monkeypatch.setattr(bench_engine, "recordings", lambda: (np.zeros(1600, np.int16),))
    options = bench_engine.parse(["--turns=5", "--conversations=1,3", "--tokens=9"])
    plan = bench_engine.plan_of(options)
    assert (plan.turns, plan.conversations, plan.tokens) == (5, (1, 3), 9)
    assert len(plan.turn(1, 2).pcm) == 1600
    assert bench_engine.plan_of(bench_engine.parse(["--shape=mid"])).sounds == ()


def test_questions_are_unlike_in_every_group_and_turn():
    plan = Plan(clip_s=0.2)
    clips = [*plan.crowd(3, 4), *plan.crowd(3, 5), plan.turn(0, 1), plan.turn(1, 1)]
    assert len({clip.id for clip in clips}) == len({clip.pcm.tobytes() for clip in clips}) == 8
    assert all(1.0 <= len(clip.pcm) / 16_000 <= 4.0 for clip in clips[:6])


def test_transformers_stops_counting_at_the_end_token():
    class Model:
        device = torch.device("cpu")

        generation_config = SimpleNamespace(eos_token_id=[7, 8])

        def generate(self, input_ids, **_):
            new = torch.tensor([[1, 2, 8, 0, 0], [7, 0, 0, 0, 0], [1, 1, 1, 1, 1]])
            return torch.cat((input_ids, new), 1)

    class Loaded(stock.Stock):
        def inputs(self, conversations):
            return {"input_ids": torch.zeros(3, 4, dtype=torch.long)}

    assert Loaded(Model(), None).generate([[], [], []], 5) == 2 + 0 + 5


def test_a_decode_step_reads_all_but_the_embeddings_and_the_encoder():
    shape = random_model.Shape(hidden=8, layers=1, heads=2, kv_heads=1, inner=16, rows=500)
    made = random_model.model(random_model.processor(), shape)
    attention = (8 * 8 + 8) + 2 * (8 * 4 + 4) + 8 * 8
    assert floor.decode_bytes(made) == 4 * (attention + 3 * 8 * 16 + 3 * 8 + 500 * 8)


def test_memory_is_read_from_the_system():
    assert 10 < ours.peak_mib(os.getpid()) < 1_000_000


@pytest.mark.parametrize("log_x", [False, True])
def test_a_plot_stays_within_its_frame(log_x):
    lines = {"a <b>": [(1.0, 5.0), (2.0, 900.0), (32.0, 0.0)], "c": [(1.0, 3.0), (32.0, 3.0)]}
    drawn = plot.svg(
        "title & more", [plot.Panel("p", "x", lines, log_x), plot.Panel("q", "x", lines)]
    )
    root = ET.fromstring(drawn)
    circles = [e for e in root.iter() if e.tag.endswith("circle")]
    assert len(circles) == 2 * 4  # a value of 0 has no place on a logarithmic scale
    for circle in circles:
        assert plot.LEFT <= float(circle.get("cx")) <= plot.WIDTH - plot.RIGHT
        assert plot.TOP <= float(circle.get("cy")) <= plot.HEIGHT - plot.BOTTOM
    assert "a <b>" in {e.text for e in root.iter()}


def test_one_point_is_a_plot_too():
    ET.fromstring(plot.svg("t", [plot.Panel("p", "x", {"a": [(1.0, 1.0)]}, log_x=True)]))


@pytest.mark.parametrize(
    ("least", "most", "marks"),
    [(41, 6000, [20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000]), (1, 1, [1, 2]), (3, 5, [2, 5])],
)
def test_the_marks_of_a_scale_hold_every_value(least, most, marks):
    assert plot.scale(least, most) == pytest.approx(marks)


def test_of_many_turns_round_ones_are_written():
    assert plot.labelled([1.0, 2.0, 4.0]) == [1.0, 2.0, 4.0]
    assert plot.labelled([float(n) for n in range(1, 21)]) == [1.0, 5.0, 10.0, 15.0, 20.0]
