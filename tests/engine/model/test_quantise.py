"""Weights in 8 bits say nearly the same; without torchao that is told before anything is loaded."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from realtime.engine.model import build as building
from realtime.engine.model import memory, quantise
from realtime.engine.model.load import load
from realtime.engine.worker.config import WorkerConfig
from realtime.engine.worker.main import load_model
from realtime.errors import ModelError

DEMO = Path(__file__).parents[3] / "realtime" / "demo_model"


class Deaf:
    """A gateway that nobody listens at."""

    def send(self, message):
        """Drop a message."""


def scores(model) -> torch.Tensor:
    tokens = torch.randint(0, 300, (1, 60), generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        return model(input_ids=tokens).logits[0]


def test_without_torchao_it_is_told_at_once(monkeypatch):
    monkeypatch.setitem(sys.modules, "torchao.quantization", None)
    quantise.refuse("auto")
    config = WorkerConfig(str(DEMO), device="cpu", weights="int8")
    with pytest.raises(ModelError, match=r"int8 need the package torchao.*pip install torchao"):
        load_model(config, Deaf())


def test_other_weights_are_refused():
    with pytest.raises(ModelError, match="must be auto, int8, fp8, not 'int4'"):
        quantise.refuse("int4")


def test_weights_that_stay_as_they_are_are_not_touched(loaded):
    before = scores(loaded.model)
    quantise.quantise(loaded.model, "auto")
    assert scores(loaded.model).equal(before)
    assert quantise.weight_bytes(loaded.model) == sum(p.nbytes for p in loaded.model.parameters())


@pytest.mark.parametrize(("weights", "tolerance"), [("int8", 0.1), ("fp8", 0.35)])
def test_weights_in_8_bits_give_nearly_the_same_scores(weights, tolerance):
    pytest.importorskip("torchao")
    model = load(str(DEMO), device="cpu").model
    exact, whole = scores(model), quantise.weight_bytes(model)
    heads = model.lm_head.weight.clone(), model.model.multi_modal_projector.linear.weight.clone()
    quantise.quantise(model, weights)
    rough = scores(model)
    error = (rough - exact).abs().max() / exact.std()
    assert 0 < error < tolerance
    assert (rough.argmax(-1) == exact.argmax(-1)).float().mean() >= 0.9
    linears = sum(
        part.weight.numel()
        for part in model.model.language_model.layers.modules()
        if isinstance(part, torch.nn.Linear)
    )
    # A byte instead of four, and a scale per row.
    assert whole - 3 * linears < quantise.weight_bytes(model) < whole - 2.8 * linears
    assert model.lm_head.weight.equal(heads[0])
    assert model.model.multi_modal_projector.linear.weight.equal(heads[1])


def test_a_brain_with_weights_in_8_bits_answers():
    pytest.importorskip("torchao")
    loaded, fresh = (load(str(DEMO), device="cpu") for _ in range(2))
    plain = sum(p.nbytes for p in loaded.model.parameters())
    quantise.quantise(loaded.model, "int8")
    _, info = building.build(loaded, slots=1, chunk=64, kv_dtype="fp8")
    assert info.memory.weights < plain
    assert memory.unpacked_bytes(loaded.model) > 0 == memory.unpacked_bytes(fresh.model)


def test_what_torchao_refuses_is_told(loaded, monkeypatch):
    torchao = pytest.importorskip("torchao.quantization")

    def fail(*_):
        raise RuntimeError("no kernel for this device")

    monkeypatch.setattr(torchao, "quantize_", fail)
    with pytest.raises(ModelError, match="cannot keep these weights as int8: no kernel"):
        quantise.quantise(loaded.model, "int8")


@pytest.mark.parametrize(
    ("weights", "device", "capability", "kept"),
    [
        ("int8", "cpu", None, "Int8WeightOnlyConfig"),
        ("int8", "cuda", (9, 0), "Int8WeightOnlyConfig"),
        ("fp8", "cpu", None, "Float8WeightOnlyConfig"),
        ("fp8", "cuda", (8, 0), "Float8WeightOnlyConfig"),
        ("fp8", "cuda", (8, 9), "Float8DynamicActivationFloat8WeightConfig"),
        ("fp8", "cuda", (9, 0), "Float8DynamicActivationFloat8WeightConfig"),
    ],
)
def test_what_the_gpu_multiplies_in_fp8_decides(monkeypatch, weights, device, capability, kept):
    torchao = pytest.importorskip("torchao.quantization")
    asked = []
    monkeypatch.setattr(torchao, "quantize_", lambda layers, config: asked.append(config))
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: capability)
    language = SimpleNamespace(layers=torch.nn.ModuleList([torch.nn.Linear(16, 16)]))
    core = SimpleNamespace(language_model=language)
    quantise.quantise(SimpleNamespace(device=torch.device(device), model=core), weights)
    assert [type(config).__name__ for config in asked] == [kept]


def test_a_model_without_plain_linear_layers_is_refused():
    pytest.importorskip("torchao")
    language = SimpleNamespace(layers=torch.nn.ModuleList([torch.nn.Identity()]))
    model = SimpleNamespace(
        device=torch.device("cpu"), model=SimpleNamespace(language_model=language)
    )
    with pytest.raises(ModelError, match="no plain linear layers to keep as int8"):
        quantise.quantise(model, "int8")


def test_the_worker_keeps_weights_as_it_is_told():
    pytest.importorskip("torchao")
    plain, narrow = (
        load_model(config, Deaf())[1].memory.weights
        for weights in ("auto", "int8")
        for config in [WorkerConfig(str(DEMO), device="cpu", weights=weights, slots=1, chunk=64)]
    )
    assert narrow < 0.8 * plain
