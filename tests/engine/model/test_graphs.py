"""Decode steps of fixed shapes give the tokens of `generate()`; nobody sees the rows left over.

A CUDA graph is stood in for by calling what it would record.
"""

from __future__ import annotations

import contextlib
from functools import partial

import numpy as np
import pytest
import tiny_model
import torch
from engine import plain_flash
from engine.bed import CONVERSATIONS, GREEDY, MODELS, Bed, build, run, stock

from realtime.engine.api import Clip, Sampling, UserTurn
from realtime.engine.model import build as building
from realtime.engine.model import graphs
from realtime.engine.model.graphs import Bucket, FixedDecode, buckets_of
from realtime.engine.model.load import load
from realtime.engine.model.runner import Runner


@pytest.fixture(scope="module", params=MODELS)
def model(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    return load(str(tiny_model.save(folder, MODELS[request.param])), device="cpu")


class FixedBed(Bed):
    """A runner whose decode steps have fixed shapes."""

    def __init__(self, model, *, flash=False, batches=(1, 2, 4), lengths=(128, 256), **config):
        super().__init__(model, **config)
        buckets = tuple(Bucket(b, n) for b in batches for n in lengths)
        kernel = plain_flash.varlen if flash else None
        cells = self.scheduler.config.cells
        self.runner = Runner(model, cells=cells, buckets=buckets, kernel=kernel)
        # What was never written may hold anything.
        for layer in self.runner.kv.arenas:
            layer.keys.fill_(float("nan"))
            layer.values.fill_(float("nan"))
        self.replayed: list[Bucket] = []
        self.fixed.arm(self.record)

    @property
    def fixed(self) -> FixedDecode:
        fixed = self.runner.fixed
        assert fixed is not None
        return fixed

    def record(self, bucket):
        def replay():
            self.replayed.append(bucket)
            self.fixed.compute(bucket)

        return replay


@pytest.mark.parametrize("flash", [False, True])
@pytest.mark.parametrize("name", CONVERSATIONS)
def test_tokens_are_those_of_generate(model, name, flash):
    prompt = build(model, CONVERSATIONS[name])
    bed = FixedBed(model, flash=flash)
    bed.ask(1, prompt)
    expected = stock(model, prompt)
    assert bed.finish()[1] == expected
    assert len(bed.replayed) >= len(expected) - 1 > 0


@pytest.mark.parametrize("flash", [False, True])
def test_answers_that_arrive_and_end_at_different_times_are_those_of_generate(model, flash):
    random = np.random.default_rng(4)
    bed = FixedBed(model, flash=flash, slots=5, chunk=48)
    expected = {}
    for serial in range(14):
        clip = Clip(f"m{serial}", tiny_model.speechlike(random.uniform(0.3, 4), serial))
        text = ("", "What is this?", "hello " * 9)[serial % 3]
        prompt = build(model, (UserTurn((clip, text) if text else (clip,)),))
        count = int(random.integers(8, 30))
        bed.ask(serial, prompt, count=count)
        expected[serial] = stock(model, prompt, count)
        for _ in range(random.integers(0, 5)):
            bed.step()
    assert bed.finish() == expected
    assert len({bucket.batch for bucket in bed.replayed}) >= 2
    assert len({bucket.length for bucket in bed.replayed}) == 2
    assert max(bed.widths) == 5  # which no bucket holds


def test_scores_are_those_of_a_step_without_a_shape(endless):
    model = load(str(endless))
    prompts = [build(model, turns) for turns in CONVERSATIONS.values()][:3]
    beds = [FixedBed(model), Bed(model), Bed(model, gather=True)]
    for bed in beds:
        for serial, prompt in enumerate(prompts):
            bed.ask(serial, prompt, Sampling(temperature=0.0, logprobs=5), count=9)
        bed.finish()
    fixed, *others = (
        torch.tensor([[p for _, p in one.top] for one in bed.logprobs]) for bed in beds
    )
    for other in others:
        torch.testing.assert_close(fixed, other, atol=2e-5, rtol=1e-5)


def test_sampled_tokens_and_penalties_are_the_same(loaded):
    prompt = build(loaded, CONVERSATIONS["voice chat"])
    sampling = Sampling(temperature=1.5, top_k=0, top_p=0.95, repetition_penalty=1.2, seed=5)
    bed = FixedBed(loaded)
    bed.ask(1, prompt, sampling, count=15)
    assert bed.finish()[1] == run(loaded, prompt, sampling, count=15)


def test_what_fits_no_shape_is_computed_without(loaded):
    prompt = build(loaded, CONVERSATIONS["text only"])
    size = len(prompt.ids)
    bed = FixedBed(loaded, lengths=(size + 3,))
    bed.ask(1, prompt, count=10)
    assert bed.finish()[1] == stock(loaded, prompt, 10)
    assert len(bed.replayed) == 3


def test_prompts_and_audio_are_computed_without(endless):
    model = load(str(endless))
    prompt = build(model, CONVERSATIONS["voice chat"])
    bed = FixedBed(model, chunk=1)
    bed.ask(1, prompt, count=4)
    assert bed.finish()[1] == stock(model, prompt, 4)
    # The last position of the prompt, and one for each token but the last.
    assert len(bed.replayed) == 4


def test_rows_left_over_write_to_cells_of_nobody(endless):
    model = load(str(endless))
    bed = FixedBed(model, batches=(4,), lengths=(256,))
    prompt = build(model, CONVERSATIONS["text only"])
    bed.ask(1, prompt, count=4)
    bed.step()
    kv = bed.runner.kv.arenas[0].keys
    before = kv.clone()
    position = bed.scheduler.running[1].allocation.start + len(prompt.ids)
    bed.step()
    changed = (kv != before).any(-1).any(0) & ~(kv.isnan() & before.isnan()).all(-1).all(0)
    cells = bed.scheduler.config.cells
    # The scratch cell of row 0 is not needed while a row is used.
    assert changed.nonzero().flatten().tolist() == [position, *range(cells + 1, cells + 4)]


def test_rows_that_are_left_over_name_cells_of_nobody_again(loaded):
    bed = FixedBed(loaded)
    scratch = bed.scheduler.config.cells
    bed.fixed.fill([(5, 9, 64), (6, 8, 128), (7, 3, 192)])
    bed.fixed.fill([(4, 10, 64)])
    tokens, positions, bases = bed.fixed.inputs.tolist()
    assert tokens == [4, 0, 0, 0]
    assert positions == [10, 0, 0, 0]
    assert bases == [64, scratch + 1, scratch + 2, scratch + 3]


def test_shapes_by_slots_and_context():
    assert buckets_of(1, 256, flash=False) == (Bucket(1, 128), Bucket(1, 256))
    made = buckets_of(8, 8192, flash=False)
    assert {b.batch for b in made} == {1, 2, 4, 8}
    assert {b.length for b in made} == {128, 256, 512, 1024, 2048, 4096, 8192}
    assert {b.batch for b in buckets_of(5, 100, flash=False)} == {1, 2, 4, 8}
    assert buckets_of(100, 8192, flash=True) == tuple(Bucket(b, 8192) for b in graphs.BATCHES)
    assert buckets_of(1, 96, flash=False) == (Bucket(1, 96),)


def test_the_smallest_shape_that_fits_is_taken_if_it_is_armed(loaded):
    fixed = FixedBed(loaded).fixed
    assert fixed.bucket(1, 128) == Bucket(1, 128)
    assert fixed.bucket(3, 129) == Bucket(4, 256)
    assert fixed.bucket(5, 1) is None
    assert fixed.bucket(1, 257) is None
    fixed.replays.clear()
    assert fixed.bucket(1, 128) is None


def test_the_largest_is_recorded_first_and_progress_is_told(loaded):
    fixed = FixedBed(loaded, batches=(1, 2), lengths=(64, 128)).fixed
    seen, told = [], []
    fixed.arm(lambda bucket: seen.append(bucket) or partial(fixed.compute, bucket), told.append)
    assert seen == [Bucket(2, 128), Bucket(2, 64), Bucket(1, 128), Bucket(1, 64)]
    assert told == [0, 0.25, 0.5, 0.75]


def test_without_cuda_recording_fails_and_answers_go_on(loaded, capsys):
    bed = FixedBed(loaded)
    assert not graphs.capture(bed.fixed, lambda fraction: None)
    assert "without CUDA graphs" in capsys.readouterr().err
    prompt = build(loaded, CONVERSATIONS["text only"])
    bed.ask(1, prompt, GREEDY, count=5)
    assert bed.finish()[1] == stock(loaded, prompt, 5)
    assert bed.replayed == []


def test_a_recording_that_fails_half_way_leaves_no_graphs(loaded, monkeypatch, capsys):
    class Failing:
        def __init__(self, fixed):
            self.left = 2

        def record(self, bucket):
            self.left -= 1
            if self.left == 0:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return lambda: None

    monkeypatch.setattr(graphs, "Recorder", Failing)
    fixed = FixedBed(loaded).fixed
    assert not graphs.capture(fixed, lambda fraction: None)
    assert fixed.replays == {}
    assert "OutOfMemoryError: CUDA out of memory" in capsys.readouterr().err


class FakeCuda:
    """The part of torch.cuda that records; a graph computes what ran while it was recorded."""

    def __init__(self, fixed):
        self.fixed = fixed
        self.calls: list[str] = []
        self.pools: list[object] = []
        compute = fixed.compute
        self.recording: list[Bucket] | None = None

        def watched(bucket):
            self.calls.append(f"compute {bucket.batch} {bucket.length}")
            if self.recording is not None:
                self.recording.append(bucket)
            compute(bucket)

        self.compute = compute
        fixed.compute = watched

    def install(self, monkeypatch):
        fake, nothing = self, contextlib.nullcontext

        class Stream:
            def __init__(self, device=None):
                assert device == fake.fixed.device

            def wait_stream(self, other):
                fake.calls.append("wait")

        class Graph:
            def __init__(self):
                self.recorded: list[Bucket] = []

            def replay(self):
                fake.calls.append("replay")
                for bucket in self.recorded:
                    fake.compute(bucket)

        @contextlib.contextmanager
        def graph(made, pool, stream):
            assert isinstance(stream, Stream)
            fake.pools.append(pool)
            fake.recording = made.recorded
            yield
            fake.recording = None

        for name, part in {
            "Stream": Stream,
            "CUDAGraph": Graph,
            "graph": graph,
            "stream": lambda stream: nothing(),
            "current_stream": Stream,
            "graph_pool_handle": lambda: (0, 1),
        }.items():
            monkeypatch.setattr(torch.cuda, name, part)


def test_recorded_steps_give_the_tokens_of_generate(loaded, monkeypatch):
    bed = FixedBed(loaded, batches=(1, 2), lengths=(256,))
    fake = FakeCuda(bed.fixed)
    fake.install(monkeypatch)
    told = []
    assert graphs.capture(bed.fixed, told.append)
    assert told == [0, 0.5]
    # Warmed up beside the stream of everything else, recorded, held against the warm-up.
    once = ["wait", "compute 2 256", "compute 2 256", "wait", "compute 2 256", "replay"]
    assert fake.calls[: len(once)] == once
    assert fake.pools == [(0, 1), (0, 1)]
    prompts = [build(loaded, turns) for turns in CONVERSATIONS.values()][:2]
    for serial, prompt in enumerate(prompts):
        bed.ask(serial, prompt, count=8)
    assert bed.finish() == {i: stock(loaded, prompt, 8) for i, prompt in enumerate(prompts)}
    assert fake.calls[-1] == "replay"


def test_a_recording_that_computes_something_else_is_not_used(loaded, monkeypatch, capsys):
    fixed = FixedBed(loaded, batches=(1,), lengths=(256,)).fixed
    fake = FakeCuda(fixed)
    fake.install(monkeypatch)
    fake.compute = lambda bucket: fixed.scores.fill_(1e3)
    assert not graphs.capture(fixed, lambda fraction: None)
    assert fixed.replays == {}
    assert "is off by" in capsys.readouterr().err


def test_a_graph_that_computes_something_else_is_found_out():
    scores = torch.randn(2, 9, generator=torch.Generator().manual_seed(0))
    graphs.compare(scores * 1.001, scores, Bucket(2, 64))
    for wrong in (scores + 1, scores * float("nan"), scores * 0):
        with pytest.raises(RuntimeError, match=r"graph of .*length=64.* is off by"):
            graphs.compare(wrong, scores, Bucket(2, 64))


def test_on_a_cpu_there_are_none(loaded):
    made, _ = building.build(loaded, slots=2, chunk=64)
    assert made.runner.fixed is None
