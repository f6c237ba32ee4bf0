"""Keys and values beyond what fp8 holds are found before they are kept, and kept divided."""

from __future__ import annotations

import copy
import re

import pytest
import torch
from engine.bed import CONVERSATIONS, GREEDY, build

from realtime.engine.model import build as building
from realtime.engine.model import scales
from realtime.engine.model.kv_cache import FP8, FP8_MOST, PLAIN
from realtime.engine.model.load import load
from realtime.engine.model.runner import Runner
from realtime.engine.steps import Part, Sequence
from realtime.errors import ModelError

TIMES = 512.0


@pytest.fixture(scope="module")
def demo(request):
    return load(str(request.config.rootpath / "realtime" / "demo_model"), device="cpu")


@pytest.fixture(scope="module")
def large(demo):
    """The same model with larger keys and values, but for what it says.

    Queries make up for the keys, and what reads them for the values: powers of two, so exactly.
    """
    made = copy.deepcopy(demo.model)
    with torch.no_grad():
        for layer in made.model.language_model.layers:
            attention = layer.self_attn
            for part, times in (("k", TIMES), ("q", 1 / TIMES), ("v", TIMES), ("o", 1 / TIMES)):
                for numbers in getattr(attention, f"{part}_proj").parameters():
                    numbers.mul_(times)
    return type(demo)(made, demo.processor, demo.info, demo.ends, demo.choice)


def scores(loaded, kv_dtype, found=(), *, gather=False):
    prompt = build(loaded, CONVERSATIONS["two turns"])
    size = len(prompt.ids)
    runner = Runner(loaded, cells=1024, kv_dtype=kv_dtype, scales=found, gather=gather)
    for serial, base in ((1, 64), (2, 640)):
        runner.begin(Sequence(serial, prompt, GREEDY))
        said = [
            runner._forward((Part(serial, at, min(at + 7, size - 1), base, False),))
            for at in range(0, size - 1, 7)
        ]
    both = tuple(Part(s, size - 1, size, base, False) for s, base in ((1, 64), (2, 640)))
    return loaded.model.lm_head(torch.cat([*said, runner._forward(both)]))


@torch.inference_mode()
@pytest.mark.parametrize("gather", [False, True])
def test_large_keys_and_values_are_kept_as_well_as_small_ones(demo, large, gather):
    exact = scores(demo, None)
    torch.testing.assert_close(scores(large, None), exact, atol=1e-4, rtol=1e-4)
    small = scores(demo, FP8, gather=gather)
    found = scales.measured(large)
    assert all(scale.keys >= TIMES / 256 for scale in found)
    spread = exact.std()

    def off(other):
        return float((other - exact).square().mean().sqrt() / spread)

    assert off(scores(large, FP8, found, gather=gather)) < 1.5 * off(small) < 0.05
    # Cut off at 448, as they would be without.
    assert off(scores(large, FP8, gather=gather)) > 0.3


def test_a_model_whose_numbers_fit_is_kept_as_it_is(demo, capsys):
    assert set(scales.measured(demo)) == {PLAIN}
    assert capsys.readouterr().err == ""


def test_what_is_divided_is_told(large, capsys):
    made, _ = building.build(large, slots=2, chunk=64, kv_bytes=1 << 20, kv_dtype="fp8")
    assert PLAIN not in made.runner.kv.scales
    layers = len(made.runner.kv.scales)
    told = rf"reach [\d,]+ where fp8 ends at 448: {layers} of {layers} layers .* by up to \d+\n"
    assert re.search(told, capsys.readouterr().err)


def test_scales_leave_room():
    assert scales.fitting(0.0) == scales.fitting(224.0) == 1.0
    assert scales.fitting(225.0) == scales.fitting(448.0) == 2.0
    assert scales.fitting(10_000.0) == 64.0
    for reached in (1.0, 300.0, 448.0, 449.0, 70_000.0):
        assert scales.HEADROOM * reached / scales.fitting(reached) <= FP8_MOST


def test_numbers_that_are_not_finite_are_refused(demo):
    broken = copy.deepcopy(demo.model)
    with torch.no_grad():
        broken.model.language_model.layers[0].self_attn.k_proj.weight[0, 0] = float("nan")
    with pytest.raises(ModelError, match="not finite"):
        scales.measured(type(demo)(broken, *(getattr(demo, n) for n in demo.__slots__[1:])))
