"""Every step at Qwen2-Audio-7B's size on a GPU that is not there: shapes, devices, dtypes, waits.

Operands on two devices or of two dtypes are refused there. The layers are all alike, so that few of
them show what all would; `scripts/count_kernels.py` runs all.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import DynamicOutputShapeException

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "scripts"))

import count_kernels
import random_model
from bench.pretend import CHECKPOINT, DEVICE, GREEDY, Pretended, watched

from realtime.engine.api import Sampling
from realtime.engine.model import rehearsal, scales
from realtime.engine.model.graphs import Bucket, buckets_of
from realtime.engine.model.kv_cache import FP8, Scale

LAYERS = 2
SHAPE = random_model.Shape(
    hidden=4096, layers=LAYERS, heads=32, kv_heads=32, inner=11_008,
    encoder_hidden=1280, encoder_layers=LAYERS, encoder_heads=20, encoder_inner=5120,
    rows=156_032, context=8192, norm_eps=1e-5, dtype=torch.bfloat16,
)  # fmt: skip
SAMPLINGS = {
    "greedy": [GREEDY] * 8,
    "greedy with a penalty": [Sampling(temperature=0.0, repetition_penalty=1.1)] * 8,
    "as the checkpoint says": [CHECKPOINT] * 8,
    "everything in order": [Sampling(temperature=1.0, top_k=0, top_p=0.9)] * 8,
    "all kinds": [GREEDY, CHECKPOINT, Sampling(temperature=2.0, top_k=0, top_p=1.0)] * 2,
}
WAYS = {
    "fixed shape": {"buckets": [Bucket(8, 1024)]},
    "fixed shape, flash attention": {"buckets": [Bucket(8, 8192)], "kernel": count_kernels.flash},
    "fixed shape, fp8": {"buckets": [Bucket(8, 1024)], "kv_dtype": FP8},
    "gathered": {},
    "one by one": {"gather": False},
    "flash attention": {"kernel": count_kernels.flash},
    "fp8": {"kv_dtype": FP8, "scales": [Scale(4.0, 2.0)] * LAYERS},
}


@pytest.fixture(scope="module")
def plain():
    return Pretended(SHAPE)


@pytest.mark.parametrize("way", WAYS)
def test_a_decode_step_never_waits_for_the_device(way):
    """But once, for its tokens; what it is given goes through pinned memory."""
    pretended = Pretended(SHAPE, **WAYS[way])
    for sampling in ("greedy", "all kinds"):
        watch = pretended.run(pretended.talking(900, SAMPLINGS[sampling]))
        assert watch.waits == []
        assert watch.fetched == 1
        assert watch.count > 100


@pytest.mark.parametrize("name", SAMPLINGS)
def test_choosing_tokens_never_waits_and_sends_one_tensor_at_most(plain, name):
    draws = plain.talking(900, SAMPLINGS[name])
    with plain.mode, torch.inference_mode(), watched() as watch:
        logits = torch.empty(len(draws), SHAPE.rows, dtype=SHAPE.dtype, device=DEVICE)
        plain.runner.sampler.choose(logits, [plain.runner.draw(p.serial) for p in draws])
    assert watch.waits == []
    assert (watch.sent, watch.fetched) == (0 if name == "greedy" else 1, 1)


@pytest.mark.parametrize("batch", [1, 2, 8])
def test_what_a_graph_records_has_nothing_to_do_with_the_host(batch):
    buckets = [bucket for bucket in buckets_of(8, 8192, flash=False) if bucket.batch == batch]
    pretended = Pretended(SHAPE, answers=1, buckets=buckets)
    fixed = pretended.runner.fixed
    for bucket in (buckets[0], buckets[-1]):
        with pretended.mode, torch.inference_mode(), watched() as watch:
            fixed.compute(bucket)
        assert (watch.waits, watch.sent, watch.fetched) == ([], 0, 0)


@pytest.mark.parametrize("way", ["gathered", "one by one", "flash attention", "fp8"])
def test_prompts_never_wait(way):
    pretended = Pretended(SHAPE, **WAYS[way])
    whole = pretended.ask(256, CHECKPOINT, clip_s=5.0)
    later = replace(whole, start=100)
    talking = pretended.talking(900, [CHECKPOINT] * 5)
    for parts in ([whole], [later], [*talking, whole], [*talking, later, pretended.ask(7, GREEDY)]):
        watch = pretended.run(parts)
        assert watch.waits == []
        assert watch.fetched == 1
    # A prompt that goes on in the next step has no token yet.
    assert pretended.run([replace(whole, last=False)]).fetched == 0


def test_likelihoods_never_wait_but_for_what_they_tell(plain):
    told = replace(CHECKPOINT, logprobs=5)
    watch = plain.run(plain.talking(300, [told, CHECKPOINT]))
    assert watch.waits == []


def test_audio_of_several_lengths_is_heard_without_waiting(plain):
    asked = [plain.ask(800, GREEDY, clip_s=seconds) for seconds in (0.1, 2.0, 2.2, 29.0, 30.0)]
    watch = plain.run(asked)
    assert watch.waits == []
    assert watch.fetched == 1


@pytest.mark.parametrize("way", ["fixed shape", "one by one", "flash attention", "fp8"])
def test_the_largest_steps_can_be_rehearsed(way):
    pretended = Pretended(SHAPE, answers=1)
    options = {"kernel": None, "gather": None, "kv_dtype": None, "buckets": ()} | WAYS[way]
    options.pop("scales", None)
    ran = []

    def peak(run):
        with watched() as watch:
            run()
        ran.append(watch)
        return 1

    with pretended.mode, watched():
        rehearsal.rehearse(pretended.loaded, peak, free=100 << 30, slots=8, chunk=256, **options)
    assert len(ran) == 4 + bool(options["buckets"])
    assert [name for watch in ran for name in watch.waits] == []


def test_asking_how_far_keys_reach_is_possible():
    """Which waits, once and long before anybody asks anything."""
    pretended = Pretended(SHAPE, answers=1)
    with pretended.mode, watched() as watch:
        found = scales.reaches(pretended.loaded)
    assert len(found) == LAYERS
    assert len(watch.waits) == 2 * LAYERS


def waiting_item(held):
    return held.sum().item()


def waiting_branch(held):
    return 1 if (held > 0).any() else 2


def waiting_copy(held):
    return held.to("cpu")


def waiting_upload(held):
    return held + torch.as_tensor([[1.0]] * 3).to(held.device)


@pytest.mark.parametrize("wrong", [waiting_item, waiting_branch, waiting_copy, waiting_upload])
def test_what_waits_is_seen(plain, wrong):
    with plain.mode, watched() as watch:
        held = torch.zeros(3, 4, device=DEVICE)
        assert watch.waits == []
        wrong(held)
    assert watch.waits


def test_what_a_gpu_would_refuse_is_refused(plain):
    with plain.mode, watched():
        held = torch.zeros(3, 4, device=DEVICE)
        with pytest.raises(RuntimeError, match="device"):
            held + torch.zeros(3, 4)
        with pytest.raises(DynamicOutputShapeException):
            held[held > 0]
        with pytest.raises(RuntimeError, match="dtype"):
            held @ torch.zeros(4, 3, device=DEVICE, dtype=torch.bfloat16)


def test_views_are_not_counted_and_composite_operations_are_taken_apart(plain):
    with plain.mode, torch.inference_mode(), watched() as watch:
        held = torch.empty(3, 4, device=DEVICE)
        held.T[1:].view(3, 3)
        assert watch.count == 0
        torch.nn.functional.linear(held, held, held[:, 0])
    assert watch.kernels == {"addmm": 1}


def test_kernels_are_counted_on_one_line(capsys):
    assert count_kernels.main(["--layers=1"]) == 0
    (line,) = capsys.readouterr().out.splitlines()
    found = json.loads(line)
    steps = found["steps"]
    assert all(step["waits"] == [] for step in steps.values())
    assert steps["decode, as a graph records it"]["fetched"] == 0
    few = steps["decode, as a graph records it"]["kernels"]
    each = count_kernels.recorded(
        Pretended(count_kernels.shape(2), answers=8, buckets=[count_kernels.BUCKET])
    ).count
    # What one more layer costs; the figure at 7B is in the log.
    assert 30 < each - few <= 43
