"""The benchmark against the device's floors runs from end to end on tiny weights."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import bench_cuda
import random_model
from bench import floor


@pytest.fixture
def _little(monkeypatch):
    monkeypatch.setitem(floor.BYTES, "cpu", 1 << 20)


@pytest.mark.script_scale
@pytest.mark.usefixtures("_little")
@pytest.mark.parametrize("more", [[], ["--attention=eager", "--kv-dtype=fp8"]])
def test_a_dry_run_measures_everything(capsys, more):
    assert bench_cuda.main(["--dry", "--device=cpu", *more]) == 0
    told = capsys.readouterr()
    (line,) = told.out.splitlines()
    found = json.loads(line)
    assert (found["gpu"], found["shape"], found["graphs"]) == ("no GPU", "dry", 0)
    assert found["weights_floor_ms"] < found["decode_floor_ms"] < found["decode_ms"]
    assert found["step_floor_ms"] < found["step_ms"]
    assert found["conversations"] == bench_cuda.SMALL.conversations
    assert found["second_turn_ms"] > 0
    assert found["tokens_per_second_while_all_talk"] > found["tokens_per_second"] > 0
    assert set(found["reached"]) == set(bench_cuda.AIMS)
    for words in ("GB/s", "of the floor (aim 80 %", "to its first token", "4 conversations"):
        assert words in told.err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is CUDA")
@pytest.mark.parametrize(
    ("options", "words"), [(["--device=cuda"], "no cuda here"), ([], "only --dry runs")]
)
def test_without_cuda_nothing_else_runs(capsys, options, words):
    assert bench_cuda.main(options) == 2
    assert words in capsys.readouterr().err


@pytest.mark.usefixtures("_little")
def test_what_cannot_be_is_told_in_one_line(capsys):
    assert bench_cuda.main(["--dry", "--device=cpu", "--attention=flash_attention_2"]) == 1
    assert "bench_cuda: flash_attention_2 runs on CUDA only" in capsys.readouterr().err


def test_the_floor_counts_weights_and_what_each_answer_reads():
    alone = bench_cuda.Alone(step=4.0, cells=1000, second_turn=7.0, cell_bytes=1000, graphs=0)
    together = bench_cuda.Together(
        step=20.0, tokens_per_second=900.0, talking_per_second=1600.0, cells=32_000, count=32
    )
    found = bench_cuda.held_against_floor(alone, together, 2_000_000, 1e9)
    assert found["decode_floor_ms"] == 3.0
    assert found["decode_of_floor"] == 0.75
    assert found["throughput_of_floor"] == 1.7
    assert found["reached"] == {
        "decode_of_floor": False,
        "second_turn_ms": True,
        "throughput_of_floor": True,
    }


def test_the_weights_that_a_step_reads_are_those_of_the_real_size():
    with torch.device("meta"):
        processor = random_model.processor()
    config = random_model.config(processor.tokenizer, random_model.QWEN_7B)
    with torch.device("meta"):
        model = random_model.Qwen2AudioForConditionalGeneration(config).to(torch.bfloat16)
    assert sum(p.numel() for p in model.parameters()) == 8_397_094_912
    assert bench_cuda.read_bytes(model) == 2 * (6_476_660_736 + 639_107_072 + 4096)
