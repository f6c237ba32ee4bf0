"""Memory is shared out from what is free, and too little of it is told plainly."""

from __future__ import annotations

import functools

import pytest
import tiny_model
import torch

from realtime.engine.api import Memory
from realtime.engine.model import build as building
from realtime.engine.model import memory
from realtime.engine.model.graphs import BATCHES, GRAPH_BYTES, Bucket, buckets_of
from realtime.engine.model.kv_cache import FP8, KeyValues, cell_bytes
from realtime.engine.model.load import load
from realtime.errors import ModelError

GIB = 1 << 30


def planned(loaded, free: int, kv_bytes: int | None = None, **more) -> Memory:
    given = {"slots": 4, "chunk": 64, "gather": False} | more
    return memory.plan(loaded, kv_bytes=kv_bytes, free=free, **given)


def test_the_parts_fit_into_what_is_free(loaded):
    made = planned(loaded, GIB)
    assert made.kv + made.embeddings + made.workspace <= GIB * memory.SHARE["cpu"]
    assert made.cells * cell_bytes(loaded.model.config.text_config, torch.float32) == made.kv
    assert made.weights == sum(p.nbytes for p in loaded.model.parameters())


def test_more_memory_keeps_more_up_to_what_can_be_of_use(loaded):
    cells = [planned(loaded, n * GIB // 2).cells for n in (1, 2, 10**6)]
    assert cells == sorted(cells)
    assert cells[-1] == memory.CONVERSATIONS * 2048


def test_on_a_cpu_little_is_taken_but_for_some_whole_conversations(loaded, monkeypatch):
    monkeypatch.setattr(memory, "CPU_MOST", 1000)
    assert planned(loaded, GIB).cells == memory.CPU_CONTEXTS * 2048


def test_what_is_told_to_be_taken_is_taken(loaded):
    one = cell_bytes(loaded.model.config.text_config, torch.float32)
    assert planned(loaded, GIB, kv_bytes=1000 * one).cells == 960


@pytest.mark.parametrize(("free", "kv_bytes"), [(0, None), (90 << 20, None), (GIB, 1000)])
def test_too_little_memory_is_told(loaded, free, kv_bytes):
    with pytest.raises(ModelError, match=r"out of memory: of .* that are free"):
        planned(loaded, free, kv_bytes)


def test_the_context_is_what_memory_allows(loaded):
    one = cell_bytes(loaded.model.config.text_config, torch.float32)
    made, info = building.build(loaded, slots=2, chunk=64, kv_bytes=640 * one)
    assert (info.context, made.context, made.cells) == (640, 640, 640)
    assert info.memory.cells == 640
    assert "640 tokens" in str(info.memory)


def test_keys_and_values_that_cannot_be_taken_are_told_while_loading(loaded, monkeypatch):
    def fail(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 100 GiB")

    monkeypatch.setattr(KeyValues, "__init__", fail)
    with pytest.raises(ModelError, match="cannot answer: out of memory"):
        building.build(loaded, slots=2, chunk=64)


def test_half_the_bytes_per_number_keep_twice_as_much(loaded, tmp_path):
    half = load(str(tiny_model.save(tmp_path)), dtype="bfloat16")
    text = loaded.model.config.text_config
    assert cell_bytes(text, torch.float32) == 2 * cell_bytes(text, half.model.dtype) == 768


def test_a_batch_that_is_gathered_needs_workspace(loaded):
    sizes = [
        memory.workspace_bytes(loaded.model, slots=512, chunk=1, gather=gather)
        for gather in (False, True)
    ]
    assert sizes[0] < sizes[1]


def test_fp8_keeps_four_times_as_much_as_float32_and_twice_as_much_as_bfloat16(loaded, tmp_path):
    half = load(str(tiny_model.save(tmp_path)), dtype="bfloat16")
    for model, times in ((loaded, 4), (half, 2)):
        plain, narrow = (
            planned(model, GIB, kv_bytes=10 << 20, kv_dtype=kind) for kind in (None, FP8)
        )
        assert narrow.cells == pytest.approx(times * plain.cells, abs=64 * times)
        assert narrow.workspace >= plain.workspace


def test_recorded_steps_are_part_of_the_workspace(loaded):
    buckets = buckets_of(4, 2048, flash=False)
    plain, recorded, flash = (
        planned(loaded, GIB, buckets=some, flash=way)
        for some, way in (((), False), (buckets, False), (buckets, True))
    )
    text = loaded.model.config.text_config
    copied = 2 * 4 * 2048 * text.hidden_size * 4  # keys and values of 4 answers in one layer
    least = copied + GRAPH_BYTES * len(buckets) + BATCHES[-1] * cell_bytes(text, torch.float32)
    assert recorded.workspace - plain.workspace >= least
    assert recorded.workspace - flash.workspace >= copied
    assert recorded.cells <= plain.cells


def test_without_room_for_graphs_there_are_none(loaded, capsys):
    buckets = (Bucket(1, 128),) * 30
    plan = functools.partial(planned, loaded, GIB)
    made, left = building.planned_with(lambda some: plan(buckets=some), buckets)
    assert left == ()
    assert made == plan()
    assert "no memory for CUDA graphs" in capsys.readouterr().err
    with pytest.raises(ModelError, match="out of memory"):
        building.planned_with(lambda some: planned(loaded, 0, buckets=some), ())


def test_a_brain_with_fp8_keeps_more(loaded):
    plain, narrow = (
        building.build(loaded, slots=2, chunk=64, kv_bytes=1 << 20, kv_dtype=kind)[1].memory.cells
        for kind in ("auto", "fp8")
    )
    assert narrow == pytest.approx(4 * plain, abs=256)


def test_a_limit_of_the_container_counts(tmp_path):
    assert memory.group_free(tmp_path) == 1 << 62
    (tmp_path / "memory.current").write_text("300\n")
    (tmp_path / "memory.max").write_text("max\n")
    assert memory.group_free(tmp_path) == 1 << 62
    (tmp_path / "memory.max").write_text("1000\n")
    assert memory.group_free(tmp_path) == 700
    version1 = tmp_path / "one" / "memory"
    version1.mkdir(parents=True)
    (version1 / "memory.limit_in_bytes").write_text("50")
    (version1 / "memory.usage_in_bytes").write_text("80")
    assert memory.group_free(tmp_path / "one") == 0


def test_what_the_system_has_free(tmp_path):
    meminfo = tmp_path / "meminfo"
    meminfo.write_text("MemTotal:  9 kB\nMemAvailable:    7 kB\n")
    assert memory.system_free(meminfo) == 7 * 1024
    assert memory.system_free(tmp_path / "none") > 0
    assert memory.free_bytes(torch.device("cpu")) > 0
